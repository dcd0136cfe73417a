use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, UploadPart, path::Path,
};

use super::Requests;
use crate::{
    StageError,
    store::{ObjectRef, Stores},
};

/// The keys of a page of a listing (S3 API Reference, `ListObjectsV2`).
const KEYS_OF_PAGE: u64 = 1000;

/// Counts that many requests at the same time add to.
#[derive(Debug, Default)]
pub(super) struct Counts {
    get: AtomicU64,
    put: AtomicU64,
    delete: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
}

impl Counts {
    pub(super) fn requests(&self) -> Requests {
        let value = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Requests {
            requests_get: value(&self.get),
            requests_put: value(&self.put),
            requests_delete: value(&self.delete),
            bytes_read: value(&self.bytes_read),
            bytes_written: value(&self.bytes_written),
        }
    }

    fn write(&self, bytes: usize) {
        add(&self.put, 1);
        add(&self.bytes_written, bytes as u64);
    }

    /// Counts the pages of a listing as its objects come.
    fn pages(
        self: Arc<Self>,
        objects: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        add(&self.put, 1);
        let counted = objects.enumerate().inspect(move |(index, _)| {
            if *index > 0 && (*index as u64).is_multiple_of(KEYS_OF_PAGE) {
                add(&self.put, 1);
            }
        });
        counted.map(|(_, object)| object).boxed()
    }
}

fn add(count: &AtomicU64, amount: u64) {
    count.fetch_add(amount, Ordering::Relaxed);
}

/// Stores whose requests are counted, whatever carries them out: a folder is asked as often as S3 would be.
#[derive(Clone, Debug)]
pub(super) struct MeteredStores {
    stores: Arc<dyn Stores>,
    counts: Arc<Counts>,
}

impl MeteredStores {
    pub(super) fn new(stores: Arc<dyn Stores>, counts: Arc<Counts>) -> Self {
        Self { stores, counts }
    }
}

#[async_trait]
impl Stores for MeteredStores {
    fn bucket(&self, name: &str) -> std::result::Result<Arc<dyn ObjectStore>, StageError> {
        let bucket = self.stores.bucket(name)?;
        Ok(Arc::new(MeteredStore { bucket, counts: self.counts.clone() }))
    }

    async fn copy(&self, from: &ObjectRef, to: &ObjectRef) -> std::result::Result<(), StageError> {
        add(&self.counts.put, 1);
        self.stores.copy(from, to).await
    }
}

#[derive(Debug)]
struct MeteredStore {
    bucket: Arc<dyn ObjectStore>,
    counts: Arc<Counts>,
}

impl fmt::Display for MeteredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bucket.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for MeteredStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.counts.write(payload.content_length());
        self.bucket.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.counts.write(0);
        let upload = self.bucket.put_multipart_opts(location, options).await?;
        Ok(Box::new(MeteredUpload { upload, counts: self.counts.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        add(&self.counts.get, 1);
        let is_head = options.head;
        let result = self.bucket.get_opts(location, options).await?;
        if !is_head {
            add(&self.counts.bytes_read, result.range.end.saturating_sub(result.range.start));
        }
        Ok(result)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let counts = self.counts.clone();
        self.bucket.delete_stream(locations.inspect(move |_| add(&counts.delete, 1)).boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.counts.clone().pages(self.bucket.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.counts.clone().pages(self.bucket.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let result = self.bucket.list_with_delimiter(prefix).await;
        let keys = result.as_ref().map_or(0, |listed| listed.objects.len() + listed.common_prefixes.len());
        add(&self.counts.put, (keys as u64).div_ceil(KEYS_OF_PAGE).max(1));
        result
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.counts.write(0);
        self.bucket.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct MeteredUpload {
    upload: Box<dyn MultipartUpload>,
    counts: Arc<Counts>,
}

#[async_trait]
impl MultipartUpload for MeteredUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.counts.write(data.content_length());
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.counts.write(0);
        self.upload.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        add(&self.counts.delete, 1);
        self.upload.abort().await
    }
}
