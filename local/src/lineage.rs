//! Where lineage is told on this machine.

use std::{
    env,
    error::Error,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use percent_encoding::percent_decode_str;
use stepwell_pipeline::{
    ErrorKind, StageError,
    lineage::{DEFAULT_NAMESPACE, Lineage, LineageSink, RunEvent, StoredLineage},
    store::{self, Stores},
};
use tokio::{fs, io::AsyncWriteExt};

/// The lineage that the environment's `OPENLINEAGE_URL` asks for: a folder (`file:lineage`, `file:///var/lineage`), the
/// folder `lineage` of the work bucket (`work`) or, where the program reaches AWS, an endpoint over HTTP.
///
/// # Errors
/// What is wrong with the URL. Here somebody is there to mend it.
pub(crate) fn of_environment(stores: Arc<dyn Stores>, work: &str) -> Result<Option<Lineage>, Box<dyn Error>> {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let Some(url) = variable("OPENLINEAGE_URL") else { return Ok(None) };
    let namespace = variable("OPENLINEAGE_NAMESPACE").unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    if let Some(folder) = folder(&url)? {
        return Ok(Some(Lineage::new(Arc::new(FolderLineage { folder }), &namespace)));
    }
    if let Some(place) = StoredLineage::place(&url, work) {
        return Ok(Some(Lineage::new(Arc::new(StoredLineage::new(stores, place)), &namespace)));
    }
    over_http(url, namespace, stores, work).map(Some)
}

#[cfg(feature = "aws")]
fn over_http(url: String, namespace: String, stores: Arc<dyn Stores>, work: &str) -> Result<Lineage, Box<dyn Error>> {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let settings = stepwell_aws::LineageSettings {
        url,
        endpoint: variable("OPENLINEAGE_ENDPOINT"),
        api_key: variable("OPENLINEAGE_API_KEY"),
        namespace,
    };
    let lineage = settings.connect(stores, work);
    lineage.ok_or_else(|| {
        format!("OPENLINEAGE_URL is {}; it can be file:…, work, http://… or https://…", settings.url).into()
    })
}

#[cfg(not(feature = "aws"))]
fn over_http(url: String, _: String, _: Arc<dyn Stores>, _: &str) -> Result<Lineage, Box<dyn Error>> {
    Err(format!("OPENLINEAGE_URL is {url}; it can be file:… or work, and http://… or https://… with the feature `aws`")
        .into())
}

/// The folder of a `file:` URL; nothing for any other.
fn folder(url: &str) -> Result<Option<PathBuf>, Box<dyn Error>> {
    let Some(path) = url.strip_prefix("file:") else { return Ok(None) };
    let path = path.strip_prefix("//localhost").or_else(|| path.strip_prefix("//")).unwrap_or(path);
    let path = percent_decode_str(path).decode_utf8()?;
    if path.is_empty() {
        return Err("OPENLINEAGE_URL names no folder; write file:lineage or file:///var/lineage".into());
    }
    Ok(Some(PathBuf::from(&*path)))
}

/// Keeps events in a folder, one file each.
#[derive(Debug)]
struct FolderLineage {
    folder: PathBuf,
}

#[async_trait]
impl LineageSink for FolderLineage {
    async fn emit(&self, event: &RunEvent) -> Result<(), StageError> {
        let file = self.folder.join(event.file_name());
        let bytes = store::json_bytes(event)?;
        write_new(&file, &bytes).await.map_err(|error| {
            StageError::with_source(ErrorKind::TargetUnavailable, format!("cannot write {}", file.display()), error)
        })
    }
}

/// Writes a file that is not there yet. Of repetitions the first stays.
async fn write_new(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).await?;
    }
    let mut new = match fs::File::create_new(file).await {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        opened => opened?,
    };
    new.write_all(bytes).await?;
    new.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_by_file_urls() {
        let path = |url: &str| folder(url).ok().flatten().map(|path| path.display().to_string());
        assert_eq!(path("file:lineage").as_deref(), Some("lineage"));
        assert_eq!(path("file:///var/my%20lineage").as_deref(), Some("/var/my lineage"));
        assert_eq!(path("file:/var/lineage").as_deref(), Some("/var/lineage"));
        assert_eq!(path("https://lineage.example"), None);
        assert!(folder("file:").is_err());
    }
}
