//! Buckets as folders of a directory.

use std::{
    fmt,
    fs::File,
    io,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use futures::{StreamExt, TryFutureExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, local::LocalFileSystem, path::Path,
};
use stepwell_pipeline::{
    ErrorKind, StageError,
    store::{self, ObjectRef, Stores},
};

const STORE: &str = "directory";

/// A directory with one folder for each bucket.
#[derive(Clone, Debug)]
pub struct DirectoryStores {
    directory: PathBuf,
}

impl DirectoryStores {
    /// The buckets of a directory, which is made if it is not there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(directory: impl Into<PathBuf>, buckets: &[&str]) -> io::Result<Self> {
        let directory = directory.into();
        for bucket in buckets {
            std::fs::create_dir_all(directory.join(bucket))?;
        }
        Ok(Self { directory: directory.canonicalize()? })
    }

    /// The file that holds an object.
    ///
    /// # Errors
    /// `InvalidInput` for a key that cannot be addressed.
    pub fn file(&self, object: &ObjectRef) -> Result<PathBuf, StageError> {
        store::path(&object.key)?;
        Ok(self.directory.join(&object.bucket).join(object.key.trim_end_matches('/')))
    }
}

#[async_trait]
impl Stores for DirectoryStores {
    fn bucket(&self, name: &str) -> Result<Arc<dyn ObjectStore>, StageError> {
        let folder = self.directory.join(name);
        let is_name = !name.is_empty() && !name.contains(['/', '\\']) && name != "." && name != "..";
        if !is_name || !folder.is_dir() {
            let message = format!("the bucket {name} does not exist: there is no folder {}", folder.display());
            return Err(StageError::new(ErrorKind::SourceMissing, message));
        }
        let files = LocalFileSystem::new_with_prefix(&folder)
            .map_err(|error| store::classify(error, &format!("cannot use {}", folder.display())))?
            .with_automatic_cleanup(true);
        Ok(Arc::new(DirectoryStore { files, lock_file: self.directory.join(".lock") }))
    }

    async fn copy(&self, from: &ObjectRef, to: &ObjectRef) -> Result<(), StageError> {
        self.bucket(&to.bucket)?;
        let (source, target) = (self.file(from)?, self.file(to)?);
        link_file(&source, &target).await.map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::NotFound => ErrorKind::SourceMissing,
                io::ErrorKind::PermissionDenied => ErrorKind::AccessDenied,
                _ => ErrorKind::Internal,
            };
            StageError::with_source(kind, format!("cannot copy {} to {}", source.display(), target.display()), error)
        })
    }
}

/// Puts a file's content under another name, so that it appears there whole or not at all: as a second name of the same
/// file, which costs nothing whatever its size, or as a copy where the file system or the file's owner do not allow that.
///
/// Nothing of ours writes into a file that has its name already, so names that share a file stay apart.
pub(crate) async fn link_file(source: &FilePath, target: &FilePath) -> io::Result<()> {
    let (source, target) = (source.to_owned(), target.to_owned());
    let linked = tokio::task::spawn_blocking(move || {
        let mut staging = target.clone().into_os_string();
        // `object_store` takes names that end in `#` and digits for unfinished files, and does not list them.
        staging.push(format!("#{}", rand::random::<u32>()));
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let done = link_or_copy(&source, FilePath::new(&staging)).and_then(|()| std::fs::rename(&staging, &target));
        // It stays after an error, and where the target was a name of the same file already: POSIX renames nothing then.
        // What matters is the error; a staging file that cannot be removed is not listed.
        let _ = std::fs::remove_file(&staging);
        done
    });
    linked.await.map_err(io::Error::other)?
}

fn link_or_copy(source: &FilePath, target: &FilePath) -> io::Result<()> {
    // A link to a symbolic link would follow it when it has changed.
    let file = source.canonicalize()?;
    if std::fs::hard_link(&file, target).is_ok() {
        return Ok(());
    }
    std::fs::copy(&file, target)?;
    let modified = std::fs::metadata(&file)?.modified()?;
    File::open(target)?.set_modified(modified)
}

/// One folder as an object store: `LocalFileSystem`, which lacks only the conditional replacement.
#[derive(Debug)]
struct DirectoryStore {
    files: LocalFileSystem,
    lock_file: PathBuf,
}

impl DirectoryStore {
    async fn replace_if(&self, location: &Path, payload: PutPayload, seen: Option<String>) -> Result<PutResult> {
        let lock_file = self.lock_file.clone();
        let locked = tokio::task::spawn_blocking(move || -> io::Result<File> {
            let lock = File::create(lock_file)?;
            lock.lock()?;
            Ok(lock)
        });
        let failed = |source: io::Error| object_store::Error::Generic { store: STORE, source: Box::new(source) };
        // Held until it is dropped.
        let _lock = locked.await.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)?;
        let found = match self.files.head(location).await {
            Ok(meta) => meta.e_tag,
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        if found.is_none() || found != seen {
            return Err(object_store::Error::Precondition {
                path: location.to_string(),
                source: "it is no longer the one that was seen".into(),
            });
        }
        self.files.put(location, payload).await
    }
}

/// Whether what went wrong is that no file can have the name: it is too long, goes on below a file, or is one of those
/// that `object_store` gives to unfinished files.
fn is_no_name(location: &Path, error: &object_store::Error) -> bool {
    let is_staged = |name: &str| {
        name.rsplit_once('#').is_some_and(|(_, end)| !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    location.parts().any(|part| is_staged(part.as_ref()))
        || causes.any(|cause| {
            let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
            matches!(kind, Some(io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename))
        })
}

impl fmt::Display for DirectoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for DirectoryStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match options.mode {
            PutMode::Update(seen) => self.replace_if(location, payload, seen.e_tag).await,
            _ => self.files.put_opts(location, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.files.put_multipart_opts(location, options).await
    }

    /// A folder keeps no versions, and has nothing under names that no file can have.
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if let Some(version) = &options.version {
            let source = format!("a folder keeps no versions, and so not {version}").into();
            return Err(object_store::Error::NotFound { path: location.to_string(), source });
        }
        self.files.get_opts(location, options).await.map_err(|error| match is_no_name(location, &error) {
            true => object_store::Error::NotFound { path: location.to_string(), source: Box::new(error) },
            false => error,
        })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    /// In the order of the keys, as S3 lists them.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.files.list(prefix);
        let sorted = async move {
            let mut metas: Vec<ObjectMeta> = listed.try_collect().await?;
            metas.sort_by(|one, other| one.location.cmp(&other.location));
            Ok(futures::stream::iter(metas).map(Ok))
        };
        sorted.try_flatten_stream().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await
    }
}
