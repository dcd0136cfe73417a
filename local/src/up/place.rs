use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use stepwell_sandbox::group::Group;

use crate::command::CommandError;

const LOCK: &str = "lock";
const ENVIRONMENT: &str = "venv";

/// The folder of a deployment, which is this process's alone until the value is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    folder: PathBuf,
    lock: File,
}

impl Place {
    /// The folder within a directory, made if it is not there.
    pub(crate) fn make(directory: &Path) -> Result<Self, CommandError> {
        loop {
            if let Some(place) = Self::enter(directory, true)? {
                return Ok(place);
            }
        }
    }

    /// The folder within a directory, if there is one.
    pub(crate) fn find(directory: &Path) -> Result<Option<Self>, CommandError> {
        if directory.join("up").exists() { Self::enter(directory, false) } else { Ok(None) }
    }

    /// Nothing if the folder was removed meanwhile.
    fn enter(directory: &Path, is_made: bool) -> Result<Option<Self>, CommandError> {
        let folder = directory.join("up");
        let unusable = |error: &dyn std::fmt::Display| {
            CommandError::Usage(format!("cannot use the folder {}: {error}", folder.display()))
        };
        if is_made {
            fs::create_dir_all(&folder).map_err(|error| unusable(&error))?;
        }
        let path = folder.join(LOCK);
        let is_foreign = !path.exists() && fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
        if is_foreign {
            return Err(unusable(&"`stepwell up` did not make it"));
        }
        let lock = match File::options().create(true).truncate(false).read(true).write(true).open(&path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(&error)),
        };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(unusable(&"another `stepwell up` or `stepwell down` is at work there"));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(&error)),
        }
        // Whoever held it before may have removed the file, and a lock on a file that nobody finds keeps nobody out.
        let locked = lock.metadata().map_err(|error| unusable(&error))?;
        let is_there = fs::metadata(&path).is_ok_and(|found| found.ino() == locked.ino());
        let folder = fs::canonicalize(&folder).unwrap_or(folder);
        Ok(is_there.then_some(Self { folder, lock }))
    }

    /// A file or folder in it; an absolute path.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What keeps others out, for processes that are to keep them out as long as they run.
    pub(crate) fn lock(&self) -> &File {
        &self.lock
    }

    /// The folder of the Python environment.
    pub(crate) fn environment(&self) -> PathBuf {
        self.join(ENVIRONMENT)
    }

    /// ministack and all that it started.
    pub(crate) fn group(&self) -> Group {
        Group::of(&self.folder)
    }

    /// Whether anything but the environment is in it.
    pub(crate) fn is_used(&self) -> bool {
        let is_more = |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|entry| !is_kept(&entry));
        fs::read_dir(&self.folder).is_ok_and(|mut entries| entries.any(is_more))
    }

    /// Empties the folder, but for the environment. Processes that are being killed may still write.
    pub(crate) fn clear(&self) -> Result<(), CommandError> {
        let mut tries = 0;
        while let Err(error) = self.clear_once() {
            tries += 1;
            if tries == 40 {
                let message = format!("cannot empty the folder {}: {error}", self.folder.display());
                return Err(CommandError::Failed(message));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn clear_once(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if is_kept(&entry) {
                continue;
            }
            if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) }?;
        }
        Ok(())
    }

    /// Removes the folder, the environment too, and the directory that it is in if nothing else is there.
    pub(crate) fn remove(self) -> Result<(), CommandError> {
        self.clear()?;
        let environment = self.environment();
        let removed = if environment.exists() { fs::remove_dir_all(&environment) } else { Ok(()) };
        removed
            .and_then(|()| fs::remove_file(self.join(LOCK)))
            .and_then(|()| fs::remove_dir(&self.folder))
            .map_err(|error| CommandError::Failed(format!("cannot remove {}: {error}", self.folder.display())))?;
        if let Some(directory) = self.folder.parent() {
            // Fails, as it is meant to, where there is something else.
            let _ = fs::remove_dir(directory);
        }
        Ok(())
    }
}

fn is_kept(entry: &fs::DirEntry) -> bool {
    [LOCK, ENVIRONMENT].iter().any(|kept| entry.file_name() == *kept)
}
