use std::{io, path::Path};

use stepwell_pipeline::{spec::CheckedSpec, store::ObjectRef};

use crate::directory::{DirectoryStores, link_file};

/// The key under which a file lands: the folder of the pipeline's `match`, and the file's own name.
///
/// # Errors
/// What to do where that key does not fit the `match`.
pub(crate) fn key_of(spec: &CheckedSpec, file: &Path) -> Result<String, String> {
    let name = file
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| format!("{} has no name that a key could have; give one with --key", file.display()))?;
    let key = format!("{}{name}", spec.match_glob.folder());
    fitting(spec, key)
}

/// A key that was given, if it fits.
///
/// # Errors
/// What does not fit.
pub(crate) fn fitting(spec: &CheckedSpec, key: String) -> Result<String, String> {
    if spec.match_glob.fits(&key) {
        return Ok(key);
    }
    let pattern = spec.match_glob.pattern();
    Err(format!("the key {key} does not fit the pipeline's `match` `{pattern}`; give one that does with --key"))
}

/// Puts a file into the landing bucket, as an upload would. A file that is there already, unchanged by size and time,
/// stays the same version.
pub(crate) async fn land(stores: &DirectoryStores, file: &Path, object: &ObjectRef) -> io::Result<()> {
    let target = stores.file(object).map_err(|error| io::Error::other(error.report()))?;
    let source_meta = tokio::fs::metadata(file).await?;
    if source_meta.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder; name its files"));
    }
    let modified = source_meta.modified()?;
    if let Ok(landed) = tokio::fs::metadata(&target).await
        && landed.len() == source_meta.len()
        && landed.modified()? == modified
    {
        return Ok(());
    }
    link_file(file, &target).await
}
