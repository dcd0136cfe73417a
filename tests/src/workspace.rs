//! Where things are in the workspace and in cargo's target folder.

use std::{
    env, fs,
    path::{Path, PathBuf},
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

/// An emptied folder for the files of one suite of tests: logs, and what its engines write.
pub fn scratch(suite: &str) -> PathBuf {
    let folder = target().join("stepwell-tests").join(suite);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("the scratch folder of an earlier run goes away");
    }
    fs::create_dir_all(&folder).expect("a scratch folder can be made");
    folder
}
