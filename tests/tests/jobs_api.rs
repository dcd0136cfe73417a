//! The jobs API of `stepwell serve` against its own OpenAPI document: schemathesis makes requests that the document allows
//! and requests that it does not, and holds each answer against it.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use stepwell_tests::{python, workspace};

const SPEC: &str = "pipeline: people\nsource: { match: \"in/*\", format: csv }\nschema:\n  - { name: id, type: int16 }\n\
                    load: { target: parquet, path: lake/people/ }\n";

/// A server, ended with the test.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_jobs_api_keeps_to_its_document() {
    let folder = workspace::scratch("jobs_api");
    fs::create_dir_all(folder.join("pipelines")).expect("a folder");
    fs::write(folder.join("pipelines/people.yaml"), SPEC).expect("a spec");
    let mut child = Command::new(workspace::binary("stepwell"))
        .args(["serve", "--dir", "data", "--pipelines", "pipelines", "--address", "127.0.0.1:0"])
        .current_dir(&folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut line = String::new();
    let out = child.stdout.take().expect("its output");
    let _served = Served(child);
    let mut out = BufReader::new(out);
    out.read_line(&mut line).expect("a line");
    let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");

    let configuration = workspace::root().join("tests/schemathesis.toml");
    let report = python::run(
        "schemathesis",
        &[
            "--config-file",
            python::argument(&configuration),
            "--no-color",
            "run",
            &format!("http://{address}/openapi.json"),
        ],
    );
    println!("{report}");
}
