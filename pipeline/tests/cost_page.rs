//! docs/cost.md against the command that writes its tables from the price list and the measured runs.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use std::{env, path::Path, process::Command};

#[test]
fn the_page_has_the_tables_that_the_command_writes() {
    let command = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/cost");
    let python = env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = Command::new(python).arg(command).arg("--check").output().expect("python3");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}
