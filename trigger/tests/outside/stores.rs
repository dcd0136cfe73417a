//! The buckets behind a line.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use futures::{StreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};
use stepwell_pipeline::{
    StageError,
    store::{MemoryStores, Stores},
};

use super::{line::LateWrite, ports::Behind};

/// As S3 does it: a request removes up to a thousand objects.
const DELETED_AT_ONCE: usize = 1000;

impl Stores for Behind<MemoryStores> {
    fn bucket(&self, name: &str) -> std::result::Result<Arc<dyn ObjectStore>, StageError> {
        let bucket: Arc<dyn ObjectStore> = self.inner.bucket(name)?;
        Ok(Behind::new(bucket, &self.line))
    }
}

type Bucket = Behind<dyn ObjectStore>;

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Bucket {
    fn listed(&self, prefix: Option<&Path>, offset: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, line, prefix, offset) = (self.inner.clone(), self.line.clone(), prefix.cloned(), offset.cloned());
        let listed = async move {
            let listed = async {
                let metas = match &offset {
                    Some(offset) => inner.list_with_offset(prefix.as_ref(), offset),
                    None => inner.list(prefix.as_ref()),
                };
                Ok(metas.collect::<Vec<_>>().await)
            };
            line.call(("LIST", prefix.as_ref().map_or("", AsRef::as_ref)), listed).await
        };
        stream::once(listed).flat_map(one_by_one).boxed()
    }
}

/// What one request gave, or how it failed.
fn one_by_one<T: Send + 'static>(given: Result<Vec<Result<T>>>) -> BoxStream<'static, Result<T>> {
    stream::iter(given.unwrap_or_else(|error| vec![Err(error)])).boxed()
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if self.line.is_denied(location.as_ref()) {
            return Err(Error::PermissionDenied { path: location.to_string(), source: "no such right".into() });
        }
        let name = if options.head { "HEAD" } else { "GET" };
        self.line.call((name, location.as_ref()), self.inner.get_opts(location, options)).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let key = prefix.map_or("", AsRef::as_ref);
        self.line.call(("LIST", key), self.inner.list_with_delimiter(prefix)).await
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let late = LateWrite {
            bucket: self.inner.clone(),
            location: location.clone(),
            payload: payload.clone(),
            options: options.clone(),
        };
        let done = self.inner.put_opts(location, payload, options);
        self.line.call_or_leave(("PUT", location.as_ref()), done, Some(late)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, line) = (self.inner.clone(), self.line.clone());
        let requests = locations.chunks(DELETED_AT_ONCE).then(move |chunk| {
            let (inner, line) = (inner.clone(), line.clone());
            async move {
                let key = chunk.iter().flatten().next().map(ToString::to_string).unwrap_or_default();
                let deleted = async { Ok(inner.delete_stream(stream::iter(chunk).boxed()).collect::<Vec<_>>().await) };
                line.call(("DELETE", &key), deleted).await
            }
        });
        requests.flat_map(one_by_one).boxed()
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented { operation: "put_multipart".into(), implementer: "this bucket".into() })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(Error::NotImplemented { operation: "copy".into(), implementer: "this bucket".into() })
    }
}
