//! The command as people and machines use it: what it prints, where it puts things, and its exit codes.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// A folder that has neither specs nor definitions in it.
const EMPTY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/flights");

/// A folder of its own for one test, removed at the test's end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("command-{test}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).expect("a file");
        path
    }

    fn stepwell(&self, arguments: &[&str]) -> Answer {
        let output = Command::new(env!("CARGO_BIN_EXE_stepwell"))
            .args(arguments)
            .current_dir(&self.0)
            .output()
            .expect("the command starts");
        Answer {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug)]
struct Answer {
    code: i32,
    out: String,
    err: String,
}

impl Answer {
    /// The only run of a `--json` document.
    fn run(&self) -> Value {
        let mut document: Value = serde_json::from_str(&self.out).expect("nothing but JSON on standard output");
        assert_eq!(document["runs"].as_array().map(Vec::len), Some(1));
        document["runs"][0].take()
    }
}

fn example(file: &str) -> String {
    format!("{EXAMPLE}/{file}")
}

const PEOPLE: &str = "pipeline: people\nsource: { match: \"in/*.csv\" }\nschema:\n  - { name: id, type: int16 }\n\
                      rejects: { tolerate: \"0\" }\nload: { target: parquet, path: lake/people/ }\n";

#[test]
fn the_example_becomes_a_table_and_a_second_run_changes_nothing() {
    let folder = Folder::new("example");
    let (spec, data) = (example("pipeline.yaml"), example("flights.csv"));
    let first = folder.stepwell(&["run", &spec, &data]);
    assert_eq!(first.code, 0, "{first:?}");
    for stage in ["Extract", "Transform", "Load"] {
        assert!(first.err.contains(&format!("  {stage}")), "{}", first.err);
    }
    assert!(first.out.contains("read            5,613 records"), "{}", first.out);
    let partitions = fs::read_dir(folder.0.join(".stepwell/lake/flights/year=2013")).expect("the table").count();
    assert_eq!(partitions, 12);

    let again = folder.stepwell(&["run", "--json", &spec, &data]).run();
    assert_eq!((&again["status"], &again["commit"]), (&"succeeded".into(), &"already_committed".into()));
    let count = |name: &str| again[name].as_u64().expect(name);
    assert_eq!(count("records_read"), count("records_loaded") + count("records_filtered") + count("records_rejected"));
    assert_eq!(count("files"), 12);
    let report = fs::read_to_string(again["report"].as_str().expect("a path")).expect("the report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let tailnum =
        report["profile"].as_array().and_then(|columns| columns.iter().find(|column| column["name"] == "tailnum"));
    assert!(tailnum.expect("profiled")["nulls"].as_u64() > Some(0));
}

#[test]
fn a_run_tells_what_it_would_cost_and_a_second_run_costs_only_its_own() {
    let folder = Folder::new("cost");
    let (spec, data) = (example("pipeline.yaml"), example("flights.csv"));
    let first = folder.stepwell(&["run", "--json", &spec, &data]).run();
    let again = folder.stepwell(&["run", &spec, &data]);
    assert!(again.out.contains("  cost") && again.out.contains(" on AWS in us-east-1, estimated"), "{}", again.out);
    let again = folder.stepwell(&["run", "--json", &spec, &data]).run();

    let template = include_str!("../../infra/template.yaml");
    let stages = first["usage"]["stages"].as_array().expect("stages");
    assert_eq!(stages.iter().map(|stage| &stage["stage"]).collect::<Vec<_>>(), ["Extract", "Transform", "Load"]);
    for stage in stages {
        let name = stage["stage"].as_str().expect("a name");
        let (_, function) = template.split_once(&format!("\n  {name}Function:\n")).expect("a function");
        let (_, memory) = function.split_once("MemorySize: ").expect("its memory");
        let (memory, _) = memory.split_once('\n').expect("a line");
        assert_eq!(stage["memory_mib"], memory.trim().parse::<u64>().expect("a number"), "{name}");
    }
    let bytes = fs::metadata(&data).expect("the file").len();
    let extract = |run: &Value, name: &str| run["usage"]["stages"][0][name].as_u64().expect("a count");
    assert!(extract(&first, "bytes_read") >= bytes && extract(&again, "bytes_read") < bytes / 10, "{first:#}{again:#}");
    assert_eq!(extract(&again, "bytes_written"), 0);
    let usd = |run: &Value| run["usage"]["cost_usd"].as_f64().expect("a price");
    assert!(usd(&again) < usd(&first), "{first:#}{again:#}");
    for run in [&first, &again] {
        assert_eq!(run["usage"]["transitions"], 7);
    }
    let report = fs::read_to_string(again["report"].as_str().expect("a path")).expect("the report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["cost"]["usage"]["stages"][0], again["usage"]["stages"][0]);
}

#[test]
fn what_is_asked_wrongly_ends_in_2_and_says_what_is_right() {
    let folder = Folder::new("usage");
    let spec = folder.file("people.yaml", PEOPLE);
    let spec = spec.to_str().expect("UTF-8");
    folder.file("wrong.yaml", &PEOPLE.replace("schema:", "shcema:"));
    folder.file("sql.yaml", &format!("{PEOPLE}transform: {{ sql: SELECT ib FROM input }}\n"));
    folder.file("loop.yaml", &PEOPLE.replace("lake/people/", "landing/in/out/"));
    folder.file("a.csv", "id\n1\n");
    folder.file("a.txt", "id\n1\n");
    let cases: &[(&[&str], &str)] = &[
        (&["run"], "required arguments were not provided"),
        (&["run", "none.yaml", "a.csv"], "cannot read the spec none.yaml: No such file"),
        (&["run", "wrong.yaml", "a.csv"], "wrong.yaml:3: unknown key `shcema`; did you mean `schema`?"),
        (&["check", "wrong.yaml", spec], "wrong.yaml:3: unknown key `shcema`"),
        (&["check", "sql.yaml"], "sql.yaml:7: the SQL names a column `ib` that does not exist; did you mean `id`?"),
        (&["run", "loop.yaml", "a.csv"], "loop.yaml:6: the pipeline's own `match` `in/*.csv` could pick up"),
        (&["run", spec, "b.csv"], "cannot read b.csv: No such file"),
        (&["run", spec, "."], "has no name that a key could have"),
        (&["run", spec, "a.txt"], "the key in/a.txt does not fit the pipeline's `match` `in/*.csv`"),
        (&["run", spec, "a.csv", "./a.csv"], "two of the files would land as in/a.csv"),
        (&["run", spec, "a.csv", "--key", "out/a.csv"], "the key out/a.csv does not fit"),
        (&["replay", "people-1", "--dir", "none"], "there is no directory none"),
        (&["fly"], "unrecognized subcommand 'fly'"),
    ];
    for (arguments, expected) in cases {
        let answer = folder.stepwell(arguments);
        assert_eq!(answer.code, 2, "{arguments:?}: {answer:?}");
        assert!(answer.err.contains(expected), "{arguments:?}\n  expected {expected}\n  got      {}", answer.err);
    }
    assert_eq!(folder.stepwell(&["check", spec]).code, 0);
    assert_eq!(folder.stepwell(&["--help"]).code, 0);
}

#[test]
fn definitions_of_state_machines_are_checked_too() {
    let folder = Folder::new("machines");
    let machine = r#"{ "StartAt": "A", "States": { "A": { "Type": "Pass", "Next": "B" } } }"#;
    folder.file("wrong.asl.json", machine);
    let answer = folder.stepwell(&["check", "wrong.asl.json"]);
    assert_eq!(answer.code, 2, "{answer:?}");
    assert!(answer.err.contains("wrong.asl.json:1:62: error[unknown-state]: state `A`: goes on to"), "{answer:?}");
    assert!(answer.err.contains("    do:  correct the name, or add the state\n"), "{answer:?}");

    folder.file("people.yaml", PEOPLE);
    folder.file("compose.yaml", "services: {}\n");
    folder.file("notes.json", "[]");
    let answer = folder.stepwell(&["check", ".", "--json"]);
    assert_eq!(answer.code, 2, "{answer:?}");
    let document: Value = serde_json::from_str(&answer.out).expect("JSON");
    let files: Vec<_> = document["files"].as_array().expect("files").iter().map(|file| &file["file"]).collect();
    assert_eq!(files, ["./people.yaml", "./wrong.asl.json"]);
    assert_eq!(document["files"][0]["findings"], Value::Array(Vec::new()));
    let finding = &document["files"][1]["findings"][0];
    assert_eq!((&finding["rule"], &finding["line"]), (&"unknown-state".into(), &1.into()));

    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../statemachine");
    let answer = folder.stepwell(&["check", shipped]);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(answer.out.ends_with("etl.asl.json: the state machine is valid: nothing is found\n"), "{answer:?}");

    let answer = folder.stepwell(&["check", EMPTY]);
    assert_eq!(answer.code, 2, "{answer:?}");
    assert!(answer.err.contains("has no spec and no definition of a state machine in it"), "{answer:?}");
}

#[test]
fn a_run_that_fails_ends_in_1_with_the_error_by_name() {
    let folder = Folder::new("failed");
    folder.file("people.yaml", PEOPLE);
    let cases = [
        ("empty.csv", "", "UnreadableSource", "is empty: it has 0 bytes"),
        ("header.csv", "ib\n1\n", "SchemaMismatch", "missing `id` (is it `ib`?); extra `ib`"),
        (
            "utf16.csv",
            "\u{0}i\u{0}d",
            "UnreadableSource",
            "UTF-16 without a byte order mark? Then say `encoding: utf-16be`",
        ),
        ("rejects.csv", "id\n1\nx\n", "TooManyRejects", "1 × invalid_value in `id`, first on line 3"),
    ];
    for (file, content, error, message) in cases {
        folder.file(file, content);
        let answer = folder.stepwell(&["run", "people.yaml", file, "--json"]);
        assert_eq!(answer.code, 1, "{answer:?}");
        let run = answer.run();
        assert_eq!(
            (&run["status"], &run["stage"], &run["error"]),
            (&"failed".into(), &"Extract".into(), &error.into())
        );
        assert!(run["message"].as_str().expect("a message").contains(message), "{run:#}");
        assert!(folder.0.join(".stepwell/landing/in").join(file).is_file(), "the object stays");
    }
}

#[test]
fn a_failed_run_is_replayed_with_a_mended_spec_or_redriven() {
    let folder = Folder::new("replay");
    folder.file("people.yaml", PEOPLE);
    folder.file("a.csv", "id\n1\nx\n");
    let failed = folder.stepwell(&["run", "people.yaml", "a.csv", "--json"]).run();
    let run_id = failed["run"].as_str().expect("an id");
    assert_eq!(folder.stepwell(&["replay", run_id, "--json"]).run()["error"], "TooManyRejects");
    assert_eq!(folder.stepwell(&["replay", run_id, "--redrive", "--json"]).run()["error"], "TooManyRejects");

    folder.file("people.yaml", &PEOPLE.replace("\"0\"", "\"50%\""));
    let mended = folder.stepwell(&["replay", run_id, "--spec", "people.yaml", "--json"]).run();
    assert_eq!((&mended["status"], &mended["run"]), (&"succeeded".into(), &run_id.into()), "{mended:#}");
    assert_eq!((&mended["records_loaded"], &mended["records_rejected"]), (&1.into(), &1.into()));
    let kept = fs::read_to_string(mended["rejects"]["records"].as_str().expect("a path")).expect("the rejects");
    assert_eq!(kept, "id\nx\n");

    let prefix = &run_id[..run_id.len() - 4];
    assert_eq!(folder.stepwell(&["replay", prefix, "--json"]).run()["commit"], "already_committed");
    let done = folder.stepwell(&["replay", run_id, "--redrive"]);
    assert_eq!(done.code, 2, "{done:?}");
    let unknown = folder.stepwell(&["replay", "people-none"]);
    assert!(unknown.err.contains("there is no run people-none"), "{unknown:?}");
}

#[test]
fn a_newer_version_of_a_file_replaces_the_older() {
    let folder = Folder::new("newer");
    folder.file("people.yaml", PEOPLE);
    let rows = |folder: &Folder| folder.stepwell(&["run", "people.yaml", "a.csv", "--json"]).run();
    folder.file("a.csv", "id\n1\n");
    let first = rows(&folder);
    folder.file("a.csv", "id\n1\n2\n3\n");
    let second = rows(&folder);
    assert_ne!(first["run"], second["run"]);
    assert_eq!((&second["commit"], &second["records_loaded"]), (&"committed".into(), &3.into()));
    let data = fs::read_dir(folder.0.join(".stepwell/lake/people")).expect("the table");
    let names: Vec<String> =
        data.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(names.iter().filter(|name| name.ends_with(".parquet")).count(), 1, "{names:?}");
}

#[test]
fn what_failed_is_shown_and_then_replayed() {
    let folder = Folder::new("replay-failed");
    folder.file("strict.yaml", PEOPLE);
    folder.file("lenient.yaml", &PEOPLE.replace("\"0\"", "\"90%\""));
    folder.file("bad.csv", "id\n1\nx\n");
    folder.file("good.csv", "id\n2\n");
    assert_eq!(folder.stepwell(&["run", "strict.yaml", "bad.csv"]).code, 1);
    // Its spec is the pipeline's from now on.
    assert_eq!(folder.stepwell(&["run", "lenient.yaml", "good.csv"]).code, 0);

    let shown = folder.stepwell(&["replay", "--failed", "--since", "2h"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    for part in ["TooManyRejects", "in/bad.csv", "1 would be replayed; do it with --yes"] {
        assert!(shown.err.contains(part), "{part}: {shown:?}");
    }
    let replayed = folder.stepwell(&["replay", "--failed", "--since", "2h", "--yes", "--json"]);
    assert_eq!(replayed.code, 0, "{replayed:?}");
    assert_eq!(replayed.run()["records_loaded"], 1);
    let again = folder.stepwell(&["replay", "--failed"]);
    assert!(again.code == 0 && again.err.contains("nothing failed"), "{again:?}");
    assert_eq!(folder.stepwell(&["replay"]).code, 2, "a run or --failed");
}
