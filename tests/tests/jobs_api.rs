//! The jobs API of `stepwell serve` against its own OpenAPI document: schemathesis makes requests that the document allows
//! and requests that it does not, and holds each answer against it.
#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;
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
    fs::create_dir_all(folder.join("data/landing/in")).expect("a folder");
    fs::write(folder.join("data/landing/in/a.csv"), "id\n1\n2\n").expect("a file");
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

    // With a job that is done, whose id the requests use beside others.
    let job = done(address);
    let base = fs::read_to_string(workspace::root().join("tests/schemathesis.toml")).expect("the configuration");
    let configuration = folder.join("schemathesis.toml");
    fs::write(&configuration, format!("{base}\n[parameters]\n\"path.id\" = \"{job}\"\n")).expect("a file");
    let output = Command::new(python::program("schemathesis"))
        .args(["--config-file", python::argument(&configuration), "--no-color", "run"])
        .arg(format!("http://{address}/openapi.json"))
        .current_dir(&folder)
        .output()
        .expect("schemathesis starts");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    // It must have found every operation, and something to ask of each.
    assert!(report.contains("Tested: 4") && !report.contains("Missing test data"), "{report}");
    println!("{report}");
}

/// Makes a job of an object and waits for its end. Gives its id.
fn done(address: &str) -> String {
    let job = ask(address, "POST", "/jobs", r#"{"bucket": "landing", "key": "in/a.csv"}"#);
    let id = job["id"].as_str().expect("an id").to_owned();
    loop {
        let state = ask(address, "GET", &format!("/jobs/{id}"), "")["state"].take();
        match state.as_str() {
            Some("DONE") => return id,
            Some("PENDING" | "PROCESSING") => thread::sleep(Duration::from_millis(200)),
            other => panic!("the job is {other:?}"),
        }
    }
}

fn ask(address: &str, method: &str, path: &str, body: &str) -> Value {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("it takes the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).expect("JSON")
}
