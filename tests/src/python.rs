//! Virtual environments of the tests: each installed once into the target folder, from its list of requirements.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use stepwell_sandbox::environment::{self, Environment};

use crate::workspace;

/// A virtual environment in the target folder.
#[derive(Debug)]
pub struct Installed {
    requirements: &'static str,
    folder: &'static str,
    takes: &'static str,
    environment: OnceLock<Environment>,
}

/// Engines and linters that tests of runs need.
pub static TESTS: Installed = Installed::new("tests/requirements.txt", "venv", "about a minute");

/// What checks the template; apart, since it is ten times as large and nothing else needs it.
pub static INFRA: Installed = Installed::new("infra/check/requirements.txt", "venv-infra", "1 to 2 minutes, 1.2 GB");

impl Installed {
    const fn new(requirements: &'static str, folder: &'static str, takes: &'static str) -> Self {
        Self { requirements, folder, takes, environment: OnceLock::new() }
    }

    /// The environment, installed by the first who asks.
    pub fn environment(&self) -> &Environment {
        self.environment.get_or_init(|| self.install())
    }

    /// A program of the environment.
    pub fn program(&self, name: &str) -> PathBuf {
        self.environment().program(name)
    }

    /// Runs a program of the environment to its end and returns what it printed; panics if it fails.
    pub fn run(&self, name: &str, arguments: &[&str]) -> String {
        let output = Command::new(self.program(name)).args(arguments).output();
        let output = output.expect("a program of the environment starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{name} {} failed with {}:\n{text}{errors}",
            arguments.join(" "),
            output.status
        );
        text
    }

    fn install(&self) -> Environment {
        let requirements = workspace::root().join(self.requirements);
        let folder = workspace::target().join(self.folder);
        let lock = File::create(folder.with_extension("lock")).expect("the lock file can be made");
        lock.lock().expect("the lock can be waited for");
        if !environment::is_installed(&folder, &requirements).expect("the requirements can be read") {
            eprintln!("installing {} into {} (once, {})", self.requirements, folder.display(), self.takes);
        }
        environment::install(&folder, &requirements, &environment::python(), None)
            .unwrap_or_else(|error| panic!("{error}"))
    }
}

/// A program of [`TESTS`]: `python`, `ministack`, `moto_server`, `statelint`.
pub fn program(name: &str) -> PathBuf {
    TESTS.program(name)
}

/// The folder of the programs of [`TESTS`].
pub fn folder() -> PathBuf {
    TESTS.program("")
}

/// Runs a program of [`TESTS`] to its end and returns what it printed; panics if it fails.
pub fn run(name: &str, arguments: &[&str]) -> String {
    TESTS.run(name, arguments)
}

/// The path as an argument.
pub fn argument(path: &Path) -> &str {
    path.to_str().expect("the workspace's path is UTF-8")
}
