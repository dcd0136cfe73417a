//! The object port: `object_store`'s own trait per bucket, and what a deployment's buckets offer together.

mod conditional;
mod memory;
#[cfg(test)]
mod tests;
mod upload;

use std::{fmt, fmt::Debug, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
pub use conditional::put_if;
use futures::{StreamExt, TryStreamExt};
pub use memory::MemoryStores;
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload, path::Path};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
pub use upload::PartsUpload;

use crate::{ErrorKind, StageError};

/// An object's address, or a prefix's where the key ends in `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// The bucket's name.
    pub bucket: String,
    /// The key, decoded.
    pub key: String,
}

impl ObjectRef {
    /// The address of a key in a bucket.
    pub fn new(bucket: impl Into<String>, key: impl Into<String>) -> Self {
        Self { bucket: bucket.into(), key: key.into() }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// The buckets that a deployment can reach.
#[async_trait]
pub trait Stores: Debug + Send + Sync {
    /// The store of one bucket. Whether the bucket exists shows at the first use.
    ///
    /// # Errors
    /// `InvalidInput` for a name that no bucket can have.
    fn bucket(&self, name: &str) -> Result<Arc<dyn ObjectStore>, StageError>;

    /// Copies an object, possibly to another bucket, replacing what is there.
    ///
    /// Backends that can copy on their side do so; this default moves the bytes through the caller in bounded
    /// chunks.
    ///
    /// # Errors
    /// As [`classify`] says.
    async fn copy(&self, from: &ObjectRef, to: &ObjectRef) -> Result<(), StageError> {
        use futures::StreamExt;

        let reading = |error| classify(error, &format!("cannot read {from}"));
        let writing = |error| classify(error, &format!("cannot write {to}"));
        let source = self.bucket(&from.bucket)?.get(&path(&from.key)?).await.map_err(reading)?;
        let mut upload = object_store::buffered::BufWriter::new(self.bucket(&to.bucket)?, path(&to.key)?);
        let mut chunks = source.into_stream();
        while let Some(chunk) = chunks.next().await {
            upload.put(chunk.map_err(reading)?).await.map_err(writing)?;
        }
        tokio::io::AsyncWriteExt::shutdown(&mut upload)
            .await
            .map_err(|error| classify_io(error, &format!("cannot write {to}")))
    }
}

/// The `object_store` path of a key.
///
/// # Errors
/// `InvalidInput` for keys that begin with `/`, or have empty, `.` or `..` segments or control characters.
pub fn path(key: &str) -> Result<Path, StageError> {
    // `Path` drops a leading slash, which S3 takes as part of the key: that would be another object.
    match Path::parse(key) {
        Ok(path) if !key.starts_with('/') => Ok(path),
        _ => Err(StageError::new(
            ErrorKind::InvalidInput,
            format!("key has an empty, `.` or `..` segment or a control character, and cannot be addressed: {key:?}"),
        )),
    }
}

/// The stage error of a store's error.
///
/// Adapters that know better put a [`StageError`] inside `Generic`, and its kind is taken; all else that is not
/// plainly one of the permanent kinds is `Internal`, which is permanent too.
pub fn classify(error: object_store::Error, message: &str) -> StageError {
    use object_store::Error;
    let kind = match &error {
        Error::NotFound { .. } => ErrorKind::SourceMissing,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => ErrorKind::Conflict,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => ErrorKind::AccessDenied,
        Error::Generic { source, .. } => {
            source.downcast_ref::<StageError>().map_or(ErrorKind::Internal, StageError::kind)
        }
        _ => ErrorKind::Internal,
    };
    StageError::with_source(kind, message, error)
}

/// The stage error of an error that came through one of `object_store`'s writers, which wrap it for [`std::io`].
pub fn classify_io(error: std::io::Error, message: &str) -> StageError {
    match error.downcast::<object_store::Error>() {
        Ok(error) => classify(error, message),
        Err(error) => StageError::with_source(ErrorKind::Internal, message, error),
    }
}

/// An object's metadata, or nothing where there is no such object.
///
/// # Errors
/// As [`classify`] says.
pub async fn head(stores: &dyn Stores, object: &ObjectRef) -> Result<Option<ObjectMeta>, StageError> {
    match stores.bucket(&object.bucket)?.head(&path(&object.key)?).await {
        Ok(meta) => Ok(Some(meta)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(classify(error, &format!("cannot look at {object}"))),
    }
}

/// An object's bytes and metadata, or nothing where there is no such object. For small objects.
///
/// # Errors
/// As [`classify`] says.
pub async fn get(stores: &dyn Stores, object: &ObjectRef) -> Result<Option<(Bytes, ObjectMeta)>, StageError> {
    let reading = |error| classify(error, &format!("cannot read {object}"));
    match stores.bucket(&object.bucket)?.get_opts(&path(&object.key)?, GetOptions::default()).await {
        Ok(result) => {
            let meta = result.meta.clone();
            let bytes = result.bytes().await.map_err(reading)?;
            whole(bytes.len(), meta.size, object)?;
            Ok(Some((bytes, meta)))
        }
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(reading(error)),
    }
}

/// A range of an object's bytes.
///
/// # Errors
/// As [`classify`] says; `StoreUnavailable` where other bytes come than were asked for.
pub async fn get_range(
    bucket: &dyn ObjectStore,
    object: &ObjectRef,
    range: std::ops::Range<u64>,
) -> Result<Bytes, StageError> {
    let wanted = range.end.saturating_sub(range.start);
    let bytes = bucket
        .get_range(&path(&object.key)?, range)
        .await
        .map_err(|error| classify(error, &format!("cannot read {object}")))?;
    whole(bytes.len(), wanted, object)?;
    Ok(bytes)
}

/// A body that ends early without an error would pass for the whole.
fn whole(came: usize, wanted: u64, object: &ObjectRef) -> Result<(), StageError> {
    if came as u64 == wanted {
        return Ok(());
    }
    let message = format!("{came} bytes of {object} came where there are {wanted}");
    Err(StageError::new(ErrorKind::StoreUnavailable, message))
}

/// Writes a small object, replacing what is there.
///
/// # Errors
/// As [`classify`] says.
pub async fn put(stores: &dyn Stores, object: &ObjectRef, bytes: impl Into<Bytes>) -> Result<(), StageError> {
    let payload = PutPayload::from_bytes(bytes.into());
    stores
        .bucket(&object.bucket)?
        .put(&path(&object.key)?, payload)
        .await
        .map(|_| ())
        .map_err(|error| classify(error, &format!("cannot write {object}")))
}

/// Removes an object. One that is not there is no error.
///
/// # Errors
/// As [`classify`] says.
pub async fn delete(stores: &dyn Stores, object: &ObjectRef) -> Result<(), StageError> {
    match stores.bucket(&object.bucket)?.delete(&path(&object.key)?).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(classify(error, &format!("cannot remove {object}"))),
    }
}

/// A JSON document, or nothing where there is no such object.
///
/// # Errors
/// As [`classify`] says; `Internal` for a document of another shape.
pub async fn get_json<T: DeserializeOwned>(stores: &dyn Stores, object: &ObjectRef) -> Result<Option<T>, StageError> {
    let Some((bytes, _)) = get(stores, object).await? else { return Ok(None) };
    let document = serde_json::from_slice(&bytes).map_err(|error| {
        StageError::with_source(ErrorKind::Internal, format!("{object} is not what Stepwell wrote there"), error)
    })?;
    Ok(Some(document))
}

/// Deletes objects of one bucket; those that are gone already are no error. `action` says in errors what could not be done.
///
/// # Errors
/// What the store says.
pub async fn delete_all(stores: &dyn Stores, bucket: &str, objects: Vec<Path>, action: &str) -> Result<(), StageError> {
    if objects.is_empty() {
        return Ok(());
    }
    let removed = stores.bucket(bucket)?.delete_stream(futures::stream::iter(objects).map(Ok).boxed());
    removed
        .map(|result| match result {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(classify(error, action)),
        })
        .try_collect()
        .await
}

/// Writes a JSON document, replacing what is there.
///
/// # Errors
/// As [`classify`] says.
pub async fn put_json<T: Serialize + Sync>(
    stores: &dyn Stores,
    object: &ObjectRef,
    document: &T,
) -> Result<(), StageError> {
    put(stores, object, json_bytes(document)?).await
}

/// The bytes of a JSON document as Stepwell writes it: indented, since people read them.
///
/// # Errors
/// `Internal` for a document that JSON cannot hold.
pub fn json_bytes<T: Serialize>(document: &T) -> Result<Bytes, StageError> {
    serde_json::to_vec_pretty(document)
        .map(Bytes::from)
        .map_err(|error| StageError::with_source(ErrorKind::Internal, "cannot write JSON", error))
}
