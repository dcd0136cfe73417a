//! The whole path on this machine, against an engine of another origin: `stepwell run` on the full flights table
//! gives what DuckDB gives for the same file, types and SQL.

use std::{fs, process::Command};

use serde_json::Value;
use stepwell_tests::{flights, python, workspace};

#[test]
fn the_local_run_of_the_full_table_equals_duckdb() {
    let folder = workspace::scratch("duckdb");
    let pipeline = workspace::root().join("examples/flights/pipeline.yaml");
    let csv = flights::csv();
    let run = Command::new(workspace::binary("stepwell"))
        .args(["run", python::argument(&pipeline), python::argument(&csv), "--json", "--dir"])
        .arg(&folder)
        .output()
        .expect("stepwell starts");
    let (printed, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert_eq!(run.status.code(), Some(0), "{printed}\n{errors}");
    fs::write(folder.join("run.json"), printed.as_bytes()).expect("the scratch folder takes files");
    let summary: Value = serde_json::from_str(printed.trim()).expect("--json prints one JSON document");

    let table = folder.join("lake/flights");
    let script = workspace::root().join("tests/python/duckdb_compare.py");
    let arguments = [&script, &pipeline, &csv, &table].map(|path| python::argument(path));
    let records = python::run("python", &arguments).trim().to_owned();
    // Of 336,776 flights 8,255 never left, which the pipeline's SQL leaves out.
    assert_eq!(records, "328521");
    assert!(printed.contains(&records), "the summary says how many records are loaded: {summary}");
}
