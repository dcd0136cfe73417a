//! The virtual environment of the tests: installed once into the target folder, from `tests/requirements.txt`.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use stepwell_sandbox::environment::{self, Environment};

use crate::workspace;

pub(crate) static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(install);

/// A program of the virtual environment: `python`, `ministack`, `moto_server`, `statelint`.
pub fn program(name: &str) -> PathBuf {
    ENVIRONMENT.program(name)
}

/// Runs a program of the virtual environment to its end and returns what it printed; panics if it fails.
pub fn run(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(program(name)).args(arguments).output().expect("a program of the environment starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {} failed with {}:\n{text}{errors}", arguments.join(" "), output.status);
    text
}

fn install() -> Environment {
    let requirements = workspace::root().join("tests/requirements.txt");
    let folder = workspace::target().join("venv");
    let lock = File::create(workspace::target().join("venv.lock")).expect("the lock file can be made");
    lock.lock().expect("the lock can be waited for");
    if !environment::is_installed(&folder, &requirements).expect("the requirements can be read") {
        eprintln!("installing tests/requirements.txt into {} (once, about a minute)", folder.display());
    }
    environment::install(&folder, &requirements, &environment::python(), None).unwrap_or_else(|error| panic!("{error}"))
}

/// The path as an argument.
pub fn argument(path: &Path) -> &str {
    path.to_str().expect("the workspace's path is UTF-8")
}
