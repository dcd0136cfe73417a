//! Objects over S3: `object_store`'s trait on aws-sdk-s3, one store per bucket.
//!
//! `object_store` brings an S3 client of its own, which would be a second HTTP stack beside the SDK's, with
//! credentials and retries of its own.

mod attributes;
mod copy;
mod delete;
mod error;
mod link;
mod list;
mod read;
mod upload;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use aws_sdk_s3::{Client, primitives::ByteStream};
use bytes::Bytes;
use error::{generic, operation_error, unsupported};
use futures::{StreamExt, stream::BoxStream};
pub use link::S3Links;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};
use stepwell_pipeline::{
    ErrorKind, StageError,
    store::{ObjectRef, Stores, classify, path},
};

use crate::{fault::Fault, s3::attributes::with_attributes};

/// The objects of one bucket.
///
/// Entity tags are given without their quotes and taken with or without. Errors that may pass carry a
/// [`StageError`] of a transient kind as the source of [`object_store::Error::Generic`].
///
/// A conditional write that the SDK had to repeat, because the answer to the first attempt was lost, may report
/// that the object exists already although this very call wrote it: a caller looks at what is there.
#[derive(Clone, Debug)]
pub struct S3Store {
    client: Client,
    bucket: Arc<str>,
}

impl S3Store {
    /// The store of one bucket.
    pub fn new(client: Client, bucket: &str) -> Self {
        Self { client, bucket: bucket.into() }
    }
}

impl fmt::Display for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let request = self.client.put_object().bucket(&*self.bucket).key(location.as_ref());
        let request = with_attributes!(request, &options.attributes, &options.tags);
        let request = match &options.mode {
            PutMode::Overwrite => request,
            PutMode::Create => request.if_none_match("*"),
            PutMode::Update(seen) => match &seen.e_tag {
                Some(etag) => request.if_match(quoted(etag)),
                None => return Err(unsupported("an update needs the entity tag that was seen")),
            },
        };
        let sent = request
            .body(ByteStream::from(Bytes::from(payload)))
            .customize()
            // The SDK's CRC32 and TLS guard the bytes already; hashing them a second time costs much more.
            .disable_payload_signing()
            .send()
            .await;
        match sent {
            Ok(output) => Ok(PutResult { e_tag: output.e_tag.map(unquoted), version: output.version_id }),
            Err(error) => Err(match (&options.mode, Fault::of(&error)) {
                (PutMode::Create, Fault::ConditionFailed) => {
                    object_store::Error::AlreadyExists { path: location.to_string(), source: error.into() }
                }
                // What was seen has been deleted since (S3 User Guide, "How to prevent object overwrites with
                // conditional writes": If-Match on a deleted object gives 404).
                (PutMode::Update(_), Fault::Missing) if !error::is_bucket_missing(&error) => {
                    object_store::Error::Precondition { path: location.to_string(), source: error.into() }
                }
                _ => operation_error(error, location),
            }),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(upload::begin(self, location, options).await?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head { read::head(self, location, options).await } else { read::get(self, location, options).await }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        delete::delete_all(self.clone(), locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        list::objects(self.clone(), prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        list::objects(self.clone(), prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        list::level(self, prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let from = ObjectRef::new(&*self.bucket, from.as_ref());
        copy::copy(&self.client, &from, &self.bucket, to, matches!(options.mode, CopyMode::Create)).await
    }
}

/// The buckets that a role can reach, each by its own name.
#[derive(Clone, Debug)]
pub struct S3Stores {
    client: Client,
}

impl S3Stores {
    /// The buckets that a client can reach.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Stores for S3Stores {
    fn bucket(&self, name: &str) -> std::result::Result<Arc<dyn ObjectStore>, StageError> {
        if !is_bucket_name(name) {
            return Err(StageError::new(ErrorKind::InvalidInput, format!("no bucket can be called {name:?}")));
        }
        Ok(Arc::new(S3Store::new(self.client.clone(), name)))
    }

    async fn copy(&self, from: &ObjectRef, to: &ObjectRef) -> std::result::Result<(), StageError> {
        let (source, target) = (path(&from.key)?, path(&to.key)?);
        for bucket in [&from.bucket, &to.bucket] {
            self.bucket(bucket)?;
        }
        let from = ObjectRef::new(&from.bucket, source.as_ref());
        copy::copy(&self.client, &from, &to.bucket, &target, false)
            .await
            .map_err(|error| classify(error, &format!("cannot copy {from} to {to}")))
    }
}

/// 3 to 63 of lowercase letters, digits, `.` and `-` (S3 User Guide, "General purpose bucket naming rules"); old
/// buckets of us-east-1 have up to 255 characters, capitals and `_` as well.
fn is_bucket_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    (3..=255).contains(&bytes.len()) && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(byte))
}

fn unquoted(etag: String) -> String {
    match etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"')) {
        Some(inner) => inner.to_owned(),
        None => etag,
    }
}

/// One or more entity tags as conditional headers take them.
fn quoted(etags: &str) -> String {
    let quote = |etag: &str| match etag.trim() {
        "*" => "*".to_owned(),
        etag if etag.starts_with('"') || etag.starts_with("W/") => etag.to_owned(),
        etag => format!("\"{etag}\""),
    };
    etags.split(',').map(quote).collect::<Vec<_>>().join(", ")
}

/// The body of an answer as a stream; what breaks it off may pass.
fn body_stream(body: ByteStream) -> BoxStream<'static, Result<Bytes>> {
    futures::stream::try_unfold(body, |mut body| async move {
        match body.next().await {
            None => Ok(None),
            Some(Ok(chunk)) => Ok(Some((chunk, body))),
            Some(Err(error)) => {
                Err(generic(StageError::with_source(ErrorKind::StoreUnavailable, "the object's body broke off", error)))
            }
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_lose_and_gain_their_quotes() {
        assert_eq!(unquoted("\"abc-2\"".into()), "abc-2");
        assert_eq!(unquoted("abc".into()), "abc");
        assert_eq!(quoted("abc"), "\"abc\"");
        assert_eq!(quoted("\"abc\", def"), "\"abc\", \"def\"");
        assert_eq!(quoted("*"), "*");
    }

    #[test]
    fn what_no_bucket_can_be_called_is_told() {
        for name in ["lake", "my.bucket-1", "Old_Bucket"] {
            assert!(is_bucket_name(name), "{name}");
        }
        for name in ["", "ab", "a/b/c", "s3://lake", "arn:aws:s3:::lake", "läke", "la ke"] {
            assert!(!is_bucket_name(name), "{name}");
        }
    }
}
