//! Child processes that end with the process that started them, however it ends.

use std::{
    fs::File,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
};

// A watcher waits for the end of a pipe that the test process holds. The system closes it even when that process
// is killed or when a static is never dropped; the watcher then ends the whole group, itself included.
const WITH_LIFELINE: &str =
    r#"exec 3<&0; { read -r _ <&3; kill -KILL 0; } >/dev/null 2>&1 & exec "$@" 3<&- </dev/null"#;

/// A running child process and all that it started.
#[derive(Debug)]
pub(crate) struct Supervised {
    child: Child,
    lifeline: Option<ChildStdin>,
}

impl Supervised {
    /// Starts a program in a process group of its own, its output going to the end of the log.
    pub(crate) fn start(program: &Path, arguments: &[&str], variables: &[(&str, &str)], log: &Path) -> Self {
        let out = File::options().create(true).append(true).open(log).expect("the log can be written");
        let errors = out.try_clone().expect("a file handle can be doubled");
        let mut child = Command::new("/bin/sh")
            .args(["-c", WITH_LIFELINE, "sh"])
            .arg(program)
            .args(arguments)
            .env_clear()
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        let lifeline = child.stdin.take();
        Self { child, lifeline }
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How the process ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked for its state")
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // The watcher's signal cannot be refused, so this returns; and there is nobody to tell of an error.
        let _ = self.child.wait();
    }
}
