//! Personal data: whatever a record is like, its values stand nowhere but where they landed.

use std::{
    fs::{self, File},
    path::Path,
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    ipc::reader::FileReader,
};
use parquet::arrow::ArrowWriter;

use crate::folder::{Folder, rows};

const KEY: &str = "a key of the test";

fn spec(format: &str, pii: &str, extra: &str) -> String {
    format!(
        "pipeline: t\nsource: {{ match: \"in/*\", format: {format} }}\nschema:\n  - {{ name: id, type: int32, required: true }}\n  \
         - {{ name: mail, type: string, path: user.mail, pii: {pii}{extra} }}\n  - {{ name: note, type: string }}\n\
         unknown_columns: keep\nrejects: {{ tolerate: \"90%\" }}\nload: {{ target: parquet, path: lake/t/ }}\n"
    )
}

/// Good and bad records of every sort; each value of the personal column contains `secret`.
const CSV: &str = "id,user.mail,note,more\n1,secret1@x.org,n,m\nx,secret2@x.org,n,m\n3,secret3@x.org\n\
                   4,a,secret4@x.org,n,m\n5,\"secret5\"@x.org,n,m\n6,secret6@x.org,n,m\n7,,n,m\n";
const NDJSON: &str = "{\"id\":1,\"user\":{\"mail\":\"secret1@x.org\",\"age\":7},\"note\":\"n\"}\n\
                      {\"id\":\"x\",\"user\":{\"mail\":\"secret2@x.org\"}}\n\
                      {\"id\":3,\"user\":{\"mail\":\"secret3@x.org\"\n\
                      {\"user\":{\"mail\":[\"secret4@x.org\"]}}\n\
                      {\"id\":\"y\",\"user\":{\"\\u006dail\":\"secret5@x.org\"}}\n\
                      {\"id\":7}\n";

/// The files outside the landing bucket in which a text stands, among their bytes or, for columnar files, their values.
fn found(folder: &Folder, text: &str) -> Vec<String> {
    let landing = folder.path.join(".stepwell/landing");
    let input = |path: &Path| path.parent() == Some(&folder.path) || path.starts_with(&landing);
    let files = folder.files().into_iter().filter(|path| !input(path));
    let holding = files.filter(|path| {
        let bytes = fs::read(path).expect("a file");
        let stands = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        let values: Vec<String> = if bytes.starts_with(b"ARROW1") {
            let reader = FileReader::try_new(File::open(path).expect("a file"), None).expect("Arrow IPC");
            reader.flat_map(|batch| rows(&batch.expect("a batch"))).collect()
        } else if bytes.starts_with(b"PAR1") {
            folder.table("t").rows
        } else {
            Vec::new()
        };
        stands(&bytes) || values.iter().any(|value| stands(value.as_bytes()))
    });
    holding.map(|path| path.file_name().expect("a name").to_string_lossy().into_owned()).collect()
}

#[test]
fn what_is_redacted_or_dropped_stands_nowhere() {
    for (pii, columns) in [("redact", 4), ("drop", 3)] {
        for (file, content, loaded, rejected) in [("a.csv", CSV, 3, 4), ("a.ndjson", NDJSON, 2, 4)] {
            let folder = Folder::new(&format!("pii-{pii}-{file}"));
            let format = &file[2..];
            folder.file(file, content);
            let run = folder.load(&spec(format, pii, ""), file, [loaded, rejected]);
            assert_eq!(found(&folder, "secret"), [""; 0], "{pii} {file}");
            assert!(!found(&folder, "\"n\"").is_empty() || file == "a.csv", "what is not personal is kept");
            let table = folder.table("t");
            assert_eq!(table.columns.len(), columns, "{:?}", table.columns);
            assert_eq!(table.rows[0].contains("***"), pii == "redact");
            let kept = fs::read_to_string(run["rejects"]["records"].as_str().expect("a path")).expect("the rejects");
            assert!(kept.contains("***"), "{kept}");
        }
    }
}

#[test]
fn faults_of_personal_values_do_not_tell_them() {
    let conditions = [
        ", pattern: \"[a-z]+\"",
        ", enum: [a, b]",
        ", max_length: 3",
        ", check: \"mail <> 'a' AND length(mail) < 5\"",
        ", min: a, max: b",
    ];
    for (number, condition) in conditions.iter().enumerate() {
        let folder = Folder::new(&format!("pii-faults-{number}"));
        folder.file("a.csv", CSV);
        let spec = spec("csv", "redact", condition).replace("90%", "10%");
        let run = folder.run(&spec, "a.csv");
        assert_eq!(run["error"], "TooManyRejects", "{condition}: {run:#}");
        assert_eq!(found(&folder, "secret"), [""; 0], "{condition}");
        // Beside them is the folder of what was told.
        let notices = fs::read_dir(folder.path.join(".stepwell/work/notices")).expect("notices").flatten();
        let notices = notices.filter(|entry| entry.path().is_file()).count();
        assert_eq!(notices, 1, "{condition}");
    }
}

#[test]
fn hashes_are_keyed_equal_for_equal_values_and_only_the_rejects_file_shows_the_value() {
    let folder = Folder::new("pii-hash").with_hash_key(KEY);
    folder.file("a.csv", CSV);
    folder.load(&spec("csv", "hash", ""), "a.csv", [3, 4]);
    assert_eq!(found(&folder, "secret"), ["rejects.csv"], "it must be there to be mended");
    let hashes = |folder: &Folder| -> Vec<String> {
        folder.table("t").rows.iter().map(|row| row.split('|').nth(1).expect("a column").to_owned()).collect()
    };
    let first = hashes(&folder);
    // Python: hmac.new(b"a key of the test", b"secret1@x.org", "sha256").hexdigest()
    assert_eq!(first[0], HASH);
    assert_eq!(first[2], "∅", "null stays null");
    assert_ne!(first[0], first[1]);

    let other = Folder::new("pii-hash-other").with_hash_key("another key");
    other.file("a.csv", CSV);
    other.load(&spec("csv", "hash", ""), "a.csv", [3, 4]);
    assert_ne!(hashes(&other)[0], first[0]);
}

#[test]
fn typed_sources_hide_them_too() {
    let mails: ArrayRef = Arc::new(StringArray::from(vec!["secret1@x.org", "secret2@x.org", "secret3@x.org"]));
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(1 << 40), None]));
    let phones: ArrayRef = Arc::new(Int64Array::from(vec![987_650_001, 987_650_002, 987_650_003]));
    let batch = RecordBatch::try_from_iter([("id", ids), ("user.mail", mails), ("phone", phones)]).expect("a batch");
    for (pii, code) in [("redact", "out_of_range"), ("drop", "required_missing"), ("hash", "required_missing")] {
        let folder = Folder::new(&format!("pii-parquet-{pii}")).with_hash_key(KEY);
        let file = File::create(folder.path.join("a.parquet")).expect("a file");
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
        writer.write(&batch).expect("written");
        writer.close().expect("closed");
        let phone = format!("  - {{ name: phone, type: int64, pii: {pii} }}\nunknown_columns");
        let run = folder.load(&spec("parquet", pii, "").replace("unknown_columns", &phone), "a.parquet", [1, 2]);
        let expected: &[&str] = if pii == "hash" { &["rejects.ndjson"] } else { &[] };
        assert_eq!((found(&folder, "secret"), found(&folder, "98765000")), (names(expected), names(expected)), "{pii}");
        let reasons = fs::read_to_string(run["rejects"]["reasons"].as_str().expect("a path")).expect("the reasons");
        assert!(reasons.contains(code), "{reasons}");
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const HASH: &str = "8928481f893e9951882b88a8224bc930acf85bdd6d6de7f73a2ca8c3503cddcb";

#[test]
fn without_a_key_nothing_is_hashed_and_nothing_is_loaded() {
    let folder = Folder::new("pii-no-key");
    folder.file("a.csv", CSV);
    let run = folder.run(&spec("csv", "hash", ""), "a.csv");
    assert_eq!(run["status"], "failed", "{run:#}");
    let message = run["message"].as_str().expect("a message");
    assert!(message.contains("`mail`") && message.contains("PII_HASH_KEY"), "{message}");
    assert_eq!(found(&folder, "secret"), [""; 0]);
}
