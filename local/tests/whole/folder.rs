//! A folder of its own for each test, the command in it, and the table that it wrote.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use arrow::{
    array::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

/// A folder, removed at the test's end.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    hash_key: Option<&'static str>,
}

impl Folder {
    pub(crate) fn new(test: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("whole-{test}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Self { path, hash_key: None }
    }

    /// With a key for `pii: hash`.
    pub(crate) fn with_hash_key(mut self, key: &'static str) -> Self {
        self.hash_key = Some(key);
        self
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path.join(name), content).expect("a file");
    }

    pub(crate) fn stepwell(&self, arguments: &[&str]) -> Answer {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stepwell"));
        command.args(arguments).current_dir(&self.path).env_remove("PII_HASH_KEY");
        // Whatever a test looks for is to be looked for among the events, too.
        command.env("OPENLINEAGE_URL", "work");
        command.envs(self.hash_key.map(|key| ("PII_HASH_KEY", key)));
        let output = command.output().expect("the command starts");
        Answer {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Runs a spec on a file. Returns the run's part of the `--json` document.
    pub(crate) fn run(&self, spec: &str, file: &str) -> Value {
        self.file("pipeline.yaml", spec);
        let answer = self.stepwell(&["run", "--json", "pipeline.yaml", file]);
        let mut document: Value = serde_json::from_str(&answer.out).unwrap_or_else(|_| panic!("{answer:?}"));
        document["runs"][0].take()
    }

    /// Runs a spec on a file, which must succeed, with so many records loaded and rejected.
    pub(crate) fn load(&self, spec: &str, file: &str, [loaded, rejected]: [u64; 2]) -> Value {
        let run = self.run(spec, file);
        let found = (&run["status"], &run["records_loaded"], &run["records_rejected"]);
        assert_eq!(found, (&"succeeded".into(), &loaded.into(), &rejected.into()), "{file}: {run:#}");
        run
    }

    pub(crate) fn table(&self, name: &str) -> Table {
        Table::read(&self.path.join(".stepwell/lake").join(name))
    }

    /// All files below the folder.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        collect(&self.path, &mut files);
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// What the Parquet files below a folder hold.
#[derive(Debug)]
pub(crate) struct Table {
    /// `name: type`, of the first file.
    pub(crate) columns: Vec<String>,
    /// The values as texts, a null as `∅`; file after file in the order of their names.
    pub(crate) rows: Vec<String>,
    pub(crate) files: Vec<PathBuf>,
}

impl Table {
    fn read(folder: &Path) -> Self {
        let mut files = Vec::new();
        collect(folder, &mut files);
        files.retain(|file| file.extension().is_some_and(|extension| extension == "parquet"));
        files.sort();
        let mut table = Self { columns: Vec::new(), rows: Vec::new(), files };
        for file in &table.files {
            let file = File::open(file).expect("a file");
            for batch in ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("a reader") {
                let batch = batch.expect("a batch");
                let fields = batch.schema_ref().fields();
                table.columns = fields.iter().map(|field| format!("{}: {}", field.name(), field.data_type())).collect();
                table.rows.extend(rows(&batch));
            }
        }
        table
    }

    /// The rows, sorted.
    pub(crate) fn sorted(mut self) -> Vec<String> {
        self.rows.sort();
        self.rows
    }
}

/// A batch's rows as texts.
pub(crate) fn rows(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("∅");
    let columns: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).expect("a type that can be shown"))
        .collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|"))
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}
