//! `stepwell serve` as people and programs use it: the real binary, files in its folder, requests to its port.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::{Value, json};

const PEOPLE: &str = "pipeline: people\nsource: { match: \"in/*.csv\" }\nschema:\n  - { name: id, type: int16 }\n\
                      rejects: { tolerate: \"1\" }\nload: { target: parquet, path: lake/people/ }\n";

/// A folder of its own for one test, with one pipeline; removed at the test's end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("serve-{test}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("pipelines")).expect("a folder");
        let folder = Self(path);
        folder.write("pipelines/people.yaml", PEOPLE);
        folder
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stepwell"));
        command.args(["serve", "--dir", "data", "--pipelines", "pipelines"]).args(arguments).current_dir(&self.0);
        command
    }

    /// The files below a folder.
    fn files(&self, folder: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.0.join(folder)) else { return Vec::new() };
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()).collect()
    }

    /// The records of the table.
    fn loaded(&self) -> i64 {
        let files = self.files("data/lake/people");
        files.iter().map(|file| rows(fs::read(file).expect("a file"))).sum()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn rows(bytes: Vec<u8>) -> i64 {
    SerializedFileReader::new(Bytes::from(bytes)).expect("Parquet").metadata().file_metadata().num_rows()
}

/// A server, ended with the test.
struct Served {
    child: Child,
    out: BufReader<ChildStdout>,
    address: String,
}

impl Served {
    fn start(folder: &Folder) -> Self {
        let mut command = folder.command(&["--address", "127.0.0.1:0", "--running-max", "2"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the command starts");
        let mut out = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        out.read_line(&mut line).expect("a line");
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
        Self { child, address: address.to_owned(), out }
    }

    /// Waits for a line of the output that has the text.
    fn wait_for(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.out.read_line(&mut line).expect("a line"), 0, "it ended before it said {text}");
            if line.contains(text) {
                return line;
            }
        }
    }

    fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let path = target.strip_prefix(&format!("http://{}", self.address)).unwrap_or(target);
        let mut stream = TcpStream::connect(&self.address).expect("the server listens");
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| *name == "host") {
            head.push_str(&format!("host: {}\r\n", self.address));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).expect("it takes the head");
        stream.write_all(body).expect("it takes the body");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head, body: answer[end + 4..].to_vec() }
    }

    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    fn post(&self, body: &Value) -> Answer {
        let headers = [("content-type", "application/json"), ("idempotency-key", "one")];
        self.send("POST", "/jobs", &headers, body.to_string().as_bytes())
    }

    /// Asks for a job until it has ended.
    fn ended(&self, job: &str) -> Value {
        loop {
            let answer = self.get(job).json();
            if answer["state"] == "DONE" || answer["state"] == "FAILED" {
                return answer;
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Interrupts it as a terminal does, and gives its exit code.
    fn interrupt(mut self) -> i32 {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().expect("kill starts");
        assert!(sent.success());
        self.child.wait().expect("it ends").code().expect("an exit code")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

#[test]
fn once_runs_what_is_there_and_says_what_nobody_takes() {
    let folder = Folder::new("once");
    folder.write("data/landing/in/a.csv", "id\n1\n2\nx\n");
    folder.write("data/landing/in/b.csv", "id\n3\n");
    folder.write("data/landing/in/c.csv.part", "id\n4\n");
    folder.write("data/landing/out/d.csv", "id\n5\n");
    let output = folder.command(&["--once"]).output().expect("the command starts");
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{out}{errors}");
    assert!(out.contains("in/a.csv → s3://lake/people/: 2 records loaded, 1 rejected, "), "{out}{errors}");
    assert!(out.contains("in/b.csv → s3://lake/people/: 1 records loaded, "), "{out}{errors}");
    assert!(errors.contains("dead letter: NoPipeline"), "{errors}");
    assert_eq!((folder.loaded(), folder.files("data/work/dead-letters").len()), (3, 1));

    // Nothing is run twice, by whichever process.
    fs::remove_file(folder.0.join("data/landing/out/d.csv")).expect("it goes");
    let output = folder.command(&["--once"]).output().expect("the command starts");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()), (Some(0), ""));
    assert_eq!(folder.loaded(), 3);
}

#[test]
fn once_waits_for_the_batches_that_it_cuts() {
    let folder = Folder::new("once-batch");
    folder.write("pipelines/people.yaml", &PEOPLE.replace("\"in/*.csv\"", "\"in/*.csv\", batch: { max_files: 2 }"));
    folder.write("data/landing/in/a.csv", "id\n1\n2\n");
    folder.write("data/landing/in/b.csv", "id\n3\n");
    let output = folder.command(&["--once"]).output().expect("the command starts");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(folder.loaded(), 3);
}

#[test]
fn files_and_jobs_are_run_as_they_come() {
    let folder = Folder::new("jobs");
    let mut served = Served::start(&folder);

    let made = served.post(&json!({"filename": "ü 1.csv"}));
    assert_eq!(made.status, 202, "{made:?}");
    let job = made.json();
    assert_eq!((&job["state"], &job["pipeline"]), (&json!("PENDING"), &json!("people")));
    assert_eq!(served.post(&json!({"filename": "ü 1.csv"})).json()["id"], job["id"]);
    assert_eq!(served.post(&json!({"filename": "other.csv"})).status, 422);
    let path = job["links"]["self"].as_str().expect("a path");
    assert_eq!(served.get(&format!("{path}/result")).status, 409);

    let url = job["upload"]["url"].as_str().expect("a URL");
    assert_eq!(served.send("GET", url, &[], b"").status, 403);
    assert_eq!(served.send("PUT", &url.replace(".csv", ".txt"), &[], b"id\n").status, 403);
    assert_eq!(served.send("PUT", url, &[], b"id\n1\n2\n3\nx\n").status, 200);
    let done = served.ended(path);
    assert_eq!(done["state"], "DONE", "{done:#}");
    assert_eq!(done["records"], json!({"read": 4, "rejected": 1, "filtered": 0, "loaded": 3}));
    let links = served.get(&format!("{path}/result")).json();
    let file = served.get(links["files"][0]["url"].as_str().expect("a URL"));
    assert_eq!((file.status, rows(file.body)), (200, 3));
    let rejects = served.get(links["rejects"].as_str().expect("a URL"));
    assert_eq!((rejects.status, rejects.body.as_slice()), (200, b"id\nx\n".as_slice()));
    let report = served.get(&format!("{path}/result?redirect=report"));
    assert_eq!(report.status, 303);
    let location = report.head.split("location: ").nth(1).and_then(|rest| rest.split("\r\n").next()).expect("a URL");
    assert_eq!(served.get(location).json()["records_loaded"], 3);

    // A file by itself, which is written slowly under another name.
    folder.write("data/landing/in/b.csv.part", "id\n4\n");
    fs::rename(folder.0.join("data/landing/in/b.csv.part"), folder.0.join("data/landing/in/b.csv")).expect("renamed");
    served.wait_for("in/b.csv → s3://lake/people/: 1 records loaded");
    let object = served.send(
        "POST",
        "/jobs",
        &[("content-type", "application/json")],
        json!({"bucket": "landing", "key": "in/b.csv"}).to_string().as_bytes(),
    );
    let again = served.ended(object.json()["links"]["self"].as_str().expect("a path"));
    assert_eq!(again["result"]["commit"], "already_committed", "{again:#}");

    assert_eq!(served.get("/jobs").json()["jobs"].as_array().map(Vec::len), Some(2));
    assert_eq!(served.send("GET", "/jobs", &[("host", "evil.example")], b"").status, 421);
    let second = folder.command(&["--once"]).output().expect("the command starts");
    assert!(String::from_utf8_lossy(&second.stderr).contains("another server does"));
    assert_eq!(served.interrupt(), 0);
    assert_eq!(folder.loaded(), 4);
}
