//! A private Python environment: a `venv` with pinned packages from PyPI, in a folder of its own.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use stepwell_pipeline::run::digest;

use crate::SandboxError;

/// Written last, so that an installation that was interrupted does not count.
const MARKER: &str = "installed";

/// An environment that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// One of the environment's programs, such as `python`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// Runs a script of the environment to its end and returns what it printed.
    ///
    /// # Errors
    /// If it does not start, or fails.
    pub fn run(&self, script: &Path, arguments: &[&OsStr]) -> Result<String, SandboxError> {
        let mut command = Command::new(self.program("python"));
        output(command.arg(script).args(arguments), &script.display().to_string())
    }
}

/// The Python to make environments with: the variable `PYTHON`, else `python3`.
pub fn python() -> String {
    env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// Whether the folder has an environment of exactly these requirements.
///
/// # Errors
/// If a file of requirements cannot be read.
pub fn is_installed(folder: &Path, requirements: &Path) -> Result<bool, SandboxError> {
    let wanted = wanted(requirements)?;
    Ok(fs::read_to_string(folder.join(MARKER)).is_ok_and(|installed| installed == wanted))
}

/// Makes the environment in the folder, unless it is there; one of other requirements is replaced. Nothing is written
/// outside the folder, but for pip's cache where the variable `PIP_CACHE_DIR` says.
///
/// Whoever installs may be killed while pip goes on. pip keeps the `lock` that is given until it ends.
///
/// # Errors
/// If Python or its `venv` is missing, or a package cannot be installed.
pub fn install(
    folder: &Path,
    requirements: &Path,
    python: &str,
    lock: Option<&File>,
) -> Result<Environment, SandboxError> {
    let environment = Environment { folder: folder.to_owned() };
    if is_installed(folder, requirements)? {
        return Ok(environment);
    }
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| SandboxError::of_file("remove", folder, error))?;
    }
    let temporary = folder.join("tmp");
    fs::create_dir_all(&temporary).map_err(|error| SandboxError::of_file("make", &temporary, error))?;
    let step = |program: &OsStr| {
        let mut command = Command::new(program);
        command.env("TMPDIR", &temporary);
        // A lock is open for reading, too, and empty.
        command.stdin(lock.and_then(|lock| lock.try_clone().ok()).map_or_else(Stdio::null, Stdio::from));
        command
    };
    let hint = "it needs Python 3.10 or newer with venv (Debian and Ubuntu: apt install python3-venv); \
        the variable PYTHON names another Python";
    output(step(OsStr::new(python)).args(["-m", "venv"]).arg(folder), python)
        .map_err(|error| SandboxError(format!("cannot make a Python environment: {error}\n{hint}")))?;

    let mut pip = step(environment.program("python").as_os_str());
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(requirements);
    if env::var_os("PIP_CACHE_DIR").is_none() {
        pip.env("PIP_NO_CACHE_DIR", "1");
    }
    output(&mut pip, "pip").map_err(|error| {
        SandboxError(format!("cannot install {}: {error}\nit needs access to PyPI, and {hint}", requirements.display()))
    })?;
    let _ = fs::remove_dir_all(&temporary);
    let marker = folder.join(MARKER);
    fs::write(&marker, wanted(requirements)?).map_err(|error| SandboxError::of_file("write", &marker, error))?;
    Ok(environment)
}

/// A digest of the requirements and of those that they include.
fn wanted(requirements: &Path) -> Result<String, SandboxError> {
    let mut text = String::new();
    let mut files = vec![requirements.to_owned()];
    while let Some(file) = files.pop() {
        let more = fs::read_to_string(&file).map_err(|error| SandboxError::of_file("read", &file, error))?;
        let included = more.lines().filter_map(|line| line.strip_prefix("-r "));
        files.extend(included.map(|path| file.with_file_name(path.trim())));
        text.push_str(&more);
    }
    Ok(digest(text.as_bytes()))
}

fn output(command: &mut Command, name: &str) -> Result<String, SandboxError> {
    let output = command.output().map_err(|error| SandboxError(format!("cannot start {name}: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(SandboxError(format!("{name} failed with {}\n{text}{errors}", output.status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_included_file_is_part_of_what_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let (outer, inner) = (folder.path().join("outer.txt"), folder.path().join("inner.txt"));
        fs::write(&outer, "# what\n-r inner.txt\nb==1\n").unwrap();
        fs::write(&inner, "a==1\n").unwrap();
        let before = wanted(&outer).unwrap();
        fs::write(folder.path().join(MARKER), &before).unwrap();
        assert!(is_installed(folder.path(), &outer).unwrap());
        fs::write(&inner, "a==2\n").unwrap();
        assert!(!is_installed(folder.path(), &outer).unwrap());
    }

    #[test]
    fn a_python_that_is_missing_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let requirements = folder.path().join("requirements.txt");
        fs::write(&requirements, "").unwrap();
        let error =
            install(&folder.path().join("venv"), &requirements, "no-such-python", None).unwrap_err().to_string();
        assert!(error.contains("cannot start no-such-python") && error.contains("PYTHON"), "{error}");
    }
}
