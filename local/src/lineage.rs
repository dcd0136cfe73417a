//! Where lineage is told on this machine.

use std::{
    env,
    error::Error,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use percent_encoding::percent_decode_str;
use stepwell_pipeline::{
    lineage::{DEFAULT_NAMESPACE, Lineage, StoredLineage},
    store::{ObjectRef, Stores},
};

use crate::directory::DirectoryStores;

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
        return Ok(Some(Lineage::new(Arc::new(in_folder(&folder)?), &namespace)));
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

/// Events in a folder, which is made if it is not there.
fn in_folder(folder: &Path) -> io::Result<StoredLineage> {
    let folder = std::path::absolute(folder)?;
    let (Some(parent), Some(name)) = (folder.parent(), folder.file_name().and_then(|name| name.to_str())) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "OPENLINEAGE_URL names no folder with a name in UTF-8",
        ));
    };
    let stores = DirectoryStores::open(parent, &[name])?;
    Ok(StoredLineage::new(Arc::new(stores), ObjectRef::new(name, "")))
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
