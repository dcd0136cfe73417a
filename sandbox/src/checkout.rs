use std::path::{Path, PathBuf};

/// A clone of Stepwell's repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    root: PathBuf,
}

impl Checkout {
    /// The clone at this root.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The clone that a folder is in.
    pub fn around(folder: &Path) -> Option<Self> {
        let is_root = |folder: &&Path| Self::at(*folder).template().is_file() && folder.join("Cargo.toml").is_file();
        folder.ancestors().find(is_root).map(Self::at)
    }

    /// The clone's root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The SAM template.
    pub fn template(&self) -> PathBuf {
        self.root.join("infra/template.yaml")
    }

    /// The packages of the sandbox's environment.
    pub fn requirements(&self) -> PathBuf {
        self.root.join("sandbox/requirements.txt")
    }

    pub(crate) fn script(&self, name: &str) -> PathBuf {
        self.root.join("sandbox/python").join(name)
    }
}
