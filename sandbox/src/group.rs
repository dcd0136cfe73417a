//! A detached group of processes: it outlives who started it, ends as one, and can be found again without trusting a
//! process id that may have become somebody else's.
//!
//! The group's processes inherit a locked file as their standard input. The lock is the operating system's and goes
//! with the last of them, however they end; so while it is held, the id that the group wrote down is its own.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::SandboxError;

// Writes down the group's id, runs the program, and ends what the program leaves of the group when it ends. In a
// background job standard input would not be the locked file; hence the detour.
const KEEPER: &str = r#"echo $$ >"$1.new" && mv "$1.new" "$1" && shift || exit 1
exec 3<&0; "$@" <&3 3<&- & wait $!; kill -KILL 0"#;

/// After `kill -KILL`.
const END_LIMIT: Duration = Duration::from_secs(10);

/// The group that is kept track of in a folder.
#[derive(Clone, Debug)]
pub struct Group {
    lock: PathBuf,
    id: PathBuf,
}

impl Group {
    /// The group of this folder, running or not.
    pub fn of(folder: &Path) -> Self {
        Self { lock: folder.join("running.lock"), id: folder.join("group") }
    }

    /// Whether any process of it runs.
    ///
    /// # Errors
    /// If the lock cannot be asked for.
    pub fn is_running(&self) -> Result<bool, SandboxError> {
        match File::open(&self.lock) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(SandboxError::of_file("open", &self.lock, error)),
            Ok(file) => match file.try_lock() {
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(error)) => Err(SandboxError::of_file("lock", &self.lock, error)),
            },
        }
    }

    /// Starts a program with these environment variables alone, its output going to the end of the log. Of two who start
    /// a group in the same folder one is refused.
    ///
    /// # Errors
    /// If the group runs already, or cannot be started.
    pub fn start(
        &self,
        program: &Path,
        arguments: &[&Path],
        variables: &[(&str, String)],
        log: &Path,
    ) -> Result<(), SandboxError> {
        let lock = File::create(&self.lock).map_err(|error| SandboxError::of_file("write", &self.lock, error))?;
        lock.try_lock().map_err(|error| SandboxError::of_file("lock", &self.lock, error))?;
        let _ = fs::remove_file(&self.id);
        let out = File::options().create(true).append(true).open(log);
        let out = out.map_err(|error| SandboxError::of_file("write", log, error))?;
        let errors = out.try_clone().map_err(|error| SandboxError::of_file("write", log, error))?;
        // Nobody waits for the child: it is to outlive this process.
        Command::new("/bin/sh")
            .args(["-c", KEEPER, "sh"])
            .arg(&self.id)
            .arg(program)
            .args(arguments)
            .env_clear()
            .envs(variables.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::from(lock))
            .stdout(out)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(|error| SandboxError::new("cannot start /bin/sh", error))?;
        Ok(())
    }

    /// Ends all its processes, and returns once they have ended. Does nothing where none runs.
    ///
    /// # Errors
    /// If they cannot be ended.
    pub fn end(&self) -> Result<(), SandboxError> {
        let deadline = Instant::now() + END_LIMIT;
        while self.is_running()? {
            // One that has just been started has not written its id yet.
            if let Ok(id) = fs::read_to_string(&self.id) {
                let _ = Command::new("/bin/sh").args(["-c", r#"kill -KILL "-$1""#, "sh", id.trim()]).output();
            }
            if Instant::now() > deadline {
                return Err(SandboxError(format!("the processes of {} do not end", self.id.display())));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: (&str, &str) = ("PATH", "/usr/bin:/bin");

    fn variables() -> Vec<(&'static str, String)> {
        vec![(PATH.0, PATH.1.to_owned())]
    }

    fn started(folder: &Path, script: &str) -> Group {
        let group = Group::of(folder);
        let file = folder.join("script");
        fs::write(&file, script).unwrap();
        group.start(Path::new("/bin/sh"), &[&file], &variables(), &folder.join("log")).unwrap();
        group
    }

    fn until(is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !is_so() {
            assert!(Instant::now() < deadline, "waited in vain");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the process runs; one that has ended and that nobody has asked about counts as ended.
    fn is_alive(id: &str) -> bool {
        let output = Command::new("/bin/sh").args(["-c", "kill -0 $1 2>/dev/null", "sh", id.trim()]).status();
        let state = fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
        output.unwrap().success() && !state.contains(") Z ")
    }

    #[test]
    fn a_group_runs_until_it_is_ended_with_all_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let child = folder.path().join("child");
        assert!(!Group::of(folder.path()).is_running().unwrap());
        let script = format!("sleep 600 & echo $! > {}\nwait", child.display());
        let group = started(folder.path(), &script);
        assert!(group.is_running().unwrap());
        let again = group.start(Path::new("/bin/true"), &[], &variables(), &folder.path().join("log"));
        assert!(again.unwrap_err().to_string().contains("running.lock"));
        until(|| fs::read_to_string(&child).is_ok_and(|id| id.ends_with('\n')));
        group.end().unwrap();
        assert!(!group.is_running().unwrap());
        let child = fs::read_to_string(&child).unwrap();
        until(|| !is_alive(&child));
    }

    #[test]
    fn a_program_that_ends_takes_its_children_along() {
        let folder = tempfile::tempdir().unwrap();
        let child = folder.path().join("child");
        let script = format!("sleep 600 & echo $! > {}\nkill -KILL $$", child.display());
        let group = started(folder.path(), &script);
        until(|| !group.is_running().unwrap());
        let child = fs::read_to_string(&child).unwrap();
        until(|| !is_alive(&child));
        group.end().unwrap();
    }
}
