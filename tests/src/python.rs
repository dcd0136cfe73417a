//! The virtual environment of the tests: installed once into the target folder, from `tests/requirements.txt`.

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

static ENVIRONMENT: OnceLock<PathBuf> = OnceLock::new();

/// A program of the virtual environment: `python`, `ministack`, `moto_server`, `statelint`.
pub fn program(name: &str) -> PathBuf {
    folder().join(name)
}

/// The folder of the virtual environment's programs.
pub fn folder() -> PathBuf {
    ENVIRONMENT.get_or_init(install).join("bin")
}

/// Runs a program of the virtual environment to its end and returns what it printed; panics if it fails.
pub fn run(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(program(name)).args(arguments).output().expect("a program of the environment starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {} failed with {}:\n{text}{errors}", arguments.join(" "), output.status);
    text
}

fn install() -> PathBuf {
    let requirements = workspace::root().join("tests/requirements.txt");
    let wanted = digest(&fs::read(&requirements).expect("the requirements can be read"));
    let folder = workspace::target().join("venv");
    let marker = folder.join("installed");

    let lock = File::create(workspace::target().join("venv.lock")).expect("the lock file can be made");
    lock.lock().expect("the lock can be waited for");
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return folder;
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("an outdated environment goes away");
    }
    let python = env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let started = Instant::now();
    eprintln!("installing tests/requirements.txt into {} (once, about a minute)", folder.display());
    step(Command::new(&python).args(["-m", "venv"]).arg(&folder), &python);
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    step(Command::new(folder.join("bin/python")).args(pip).arg(&requirements), "pip");
    fs::write(&marker, wanted).expect("the marker can be written");
    eprintln!("installed in {:.0} s", started.elapsed().as_secs_f64());
    folder
}

fn step(command: &mut Command, name: &str) {
    let status = command.status().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
    assert!(status.success(), "{name} failed with {status}");
}

/// The path as an argument.
pub fn argument(path: &Path) -> &str {
    path.to_str().expect("the workspace's path is UTF-8")
}
