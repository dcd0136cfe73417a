//! Where things are in the workspace and in cargo's target folder.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Mutex,
};

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the workspace").to_owned()
}

/// The folder that cargo puts the binaries of this build into.
pub fn binaries() -> PathBuf {
    let this = env::current_exe().expect("a test knows its own path");
    let folder = this.parent().expect("a binary is in a folder");
    let folder =
        if folder.ends_with("deps") { folder.parent().expect("deps is in a profile's folder") } else { folder };
    folder.to_owned()
}

/// One of the workspace's binaries.
pub fn binary(name: &str) -> PathBuf {
    let path = binaries().join(name);
    assert!(
        path.is_file(),
        "{} is missing; build it: cargo build --release --workspace --all-features",
        path.display()
    );
    path
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    binaries().parent().expect("a profile's folder is in the target folder").to_owned()
}

// Held until the process ends.
static LOCKS: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// An emptied folder for the files of one suite of tests: logs, and what its engines write. It is this process's
/// alone: another test run that wants it waits.
pub fn scratch(suite: &str) -> PathBuf {
    let suites = target().join("stepwell-tests");
    fs::create_dir_all(&suites).expect("the target folder can be written");
    let lock = File::create(suites.join(format!("{suite}.lock"))).expect("the lock file can be made");
    lock.lock().expect("the lock can be waited for");
    LOCKS.lock().unwrap().push(lock);

    let folder = suites.join(suite);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("the scratch folder of an earlier run goes away");
    }
    fs::create_dir(&folder).expect("a scratch folder can be made");
    folder
}
