//! Virtual environments of the tests: each installed once into the target folder, from its list of requirements.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Instant,
};

use stepwell_pipeline::run::digest;

use crate::workspace;

/// A virtual environment in the target folder.
#[derive(Debug)]
pub struct Environment {
    requirements: &'static str,
    folder: &'static str,
    takes: &'static str,
    installed: OnceLock<PathBuf>,
}

/// Engines and linters that tests of runs need.
pub static TESTS: Environment = Environment::new("tests/requirements.txt", "venv", "about a minute");

/// What checks the template; apart, since it is ten times as large and nothing else needs it.
pub static INFRA: Environment =
    Environment::new("infra/check/requirements.txt", "venv-infra", "1 to 2 minutes, 1.2 GB");

impl Environment {
    const fn new(requirements: &'static str, folder: &'static str, takes: &'static str) -> Self {
        Self { requirements, folder, takes, installed: OnceLock::new() }
    }

    /// A program of the environment.
    pub fn program(&self, name: &str) -> PathBuf {
        self.installed.get_or_init(|| self.install()).join("bin").join(name)
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

    fn install(&self) -> PathBuf {
        let requirements = workspace::root().join(self.requirements);
        let wanted = digest(&fs::read(&requirements).expect("the requirements can be read"));
        let folder = workspace::target().join(self.folder);
        let marker = folder.join("installed");

        let lock = File::create(folder.with_extension("lock")).expect("the lock file can be made");
        lock.lock().expect("the lock can be waited for");
        if fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
            return folder;
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("an outdated environment goes away");
        }
        let python = env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let started = Instant::now();
        eprintln!("installing {} into {} (once, {})", self.requirements, folder.display(), self.takes);
        step(Command::new(&python).args(["-m", "venv"]).arg(&folder), &python);
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        step(Command::new(folder.join("bin/python")).args(pip).arg(&requirements), "pip");
        fs::write(&marker, wanted).expect("the marker can be written");
        eprintln!("installed in {:.0} s", started.elapsed().as_secs_f64());
        folder
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

fn step(command: &mut Command, name: &str) {
    let status = command.status().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
    assert!(status.success(), "{name} failed with {status}");
}

/// The path as an argument.
pub fn argument(path: &Path) -> &str {
    path.to_str().expect("the workspace's path is UTF-8")
}
