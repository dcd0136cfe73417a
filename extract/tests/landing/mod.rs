//! Objects of any size that take no memory: their bytes are made when a range of them is asked for.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    Attributes, CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart, path::Path,
};
use stepwell_pipeline::{
    StageError,
    progress::Unwatched,
    request::RunRequest,
    stage::{Buckets, StageContext},
    store::{self, ObjectRef, Stores},
};

/// The content of an object: a head, a middle of equal length for each number, a tail.
#[derive(Clone)]
pub(crate) struct Content {
    pub(crate) head: Bytes,
    pub(crate) unit: Unit,
    pub(crate) units: u64,
    pub(crate) tail: Bytes,
}

/// What stands in the middle, again and again.
#[derive(Clone)]
pub(crate) enum Unit {
    /// The same bytes.
    Same(Bytes),
    /// So many bytes, made from the unit's number.
    Numbered(usize, fn(u64) -> Vec<u8>),
}

impl Unit {
    fn bytes(&self, number: u64) -> Bytes {
        match self {
            Self::Same(bytes) => bytes.clone(),
            Self::Numbered(_, make) => make(number).into(),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Same(bytes) => bytes.len() as u64,
            Self::Numbered(bytes, _) => *bytes as u64,
        }
    }
}

impl Content {
    pub(crate) fn of(bytes: impl Into<Bytes>) -> Self {
        Self { head: bytes.into(), unit: Unit::Same(Bytes::new()), units: 0, tail: Bytes::new() }
    }

    pub(crate) fn repeated(head: impl Into<Bytes>, unit: impl Into<Bytes>, units: u64, tail: impl Into<Bytes>) -> Self {
        Self { head: head.into(), unit: Unit::Same(unit.into()), units, tail: tail.into() }
    }

    fn len(&self) -> u64 {
        self.head.len() as u64 + self.unit.len() * self.units + self.tail.len() as u64
    }

    fn read(&self, range: Range<u64>) -> Bytes {
        let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
        let mut at = range.start;
        let middle = self.head.len() as u64;
        let tail = middle + self.unit.len() * self.units;
        while at < range.end {
            let (piece, offset) = if at < middle {
                (self.head.clone(), at)
            } else if at < tail {
                (self.unit.bytes((at - middle) / self.unit.len()), (at - middle) % self.unit.len())
            } else {
                (self.tail.clone(), at - tail)
            };
            let piece = &piece[offset as usize..];
            let piece = &piece[..piece.len().min((range.end - at) as usize)];
            bytes.extend_from_slice(piece);
            at += piece.len() as u64;
        }
        bytes.into()
    }
}

/// A landing bucket with one object under every key.
pub(crate) struct Landing(Content);

impl fmt::Debug for Landing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Landing")
    }
}

impl fmt::Display for Landing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[async_trait]
impl ObjectStore for Landing {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(object_store::Error::NotImplemented { operation: "put".into(), implementer: "Landing".into() })
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(object_store::Error::NotImplemented { operation: "put".into(), implementer: "Landing".into() })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let meta = ObjectMeta {
            location: location.clone(),
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: self.0.len(),
            e_tag: Some("generated".into()),
            version: None,
        };
        let range = match &options.range {
            Some(range) => range.as_range(meta.size).expect("within the object"),
            None => 0..meta.size,
        };
        let bytes = if options.head { Bytes::new() } else { self.0.read(range.clone()) };
        let payload = GetResultPayload::Stream(futures::stream::iter([Ok(bytes)]).boxed());
        Ok(GetResult { payload, meta, range, attributes: Attributes::default() })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        locations
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        futures::stream::empty().boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Ok(ListResult { common_prefixes: Vec::new(), objects: Vec::new() })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(object_store::Error::NotImplemented { operation: "copy".into(), implementer: "Landing".into() })
    }
}

/// A bucket that counts the bytes of staged parts and forgets them; all else it keeps in another.
#[derive(Debug)]
pub(crate) struct Forgetful {
    pub(crate) kept: Arc<dyn ObjectStore>,
    pub(crate) forgotten_bytes: Arc<AtomicU64>,
}

impl fmt::Display for Forgetful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forgetful")
    }
}

#[derive(Debug)]
struct ForgetfulUpload(Arc<AtomicU64>);

#[async_trait]
impl MultipartUpload for ForgetfulUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.0.fetch_add(data.content_length() as u64, Ordering::Relaxed);
        Box::pin(async move {
            // As if the network took its time.
            tokio::task::yield_now().await;
            drop(data);
            Ok(())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl ObjectStore for Forgetful {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.kept.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        if at.as_ref().ends_with(".arrow") {
            return Ok(Box::new(ForgetfulUpload(self.forgotten_bytes.clone())));
        }
        self.kept.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.kept.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.kept.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.kept.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.kept.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.kept.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct TwoStores {
    landing: Arc<Landing>,
    work: Arc<dyn ObjectStore>,
}

impl Stores for TwoStores {
    fn bucket(&self, name: &str) -> Result<Arc<dyn ObjectStore>, StageError> {
        Ok(if name == "landing" { self.landing.clone() } else { self.work.clone() })
    }
}

/// A context whose landing bucket has that content under every key, and the request for it. The work bucket holds
/// the spec.
pub(crate) async fn land(
    content: Content,
    key: &str,
    spec: String,
    work: Arc<dyn ObjectStore>,
) -> (StageContext, RunRequest) {
    let stores = TwoStores { landing: Arc::new(Landing(content)), work };
    let buckets = Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() };
    let context = StageContext::new(Arc::new(stores), buckets, Arc::new(Unwatched));
    store::put(&*context.stores, &ObjectRef::new("work", "pipelines/hostile.yaml"), spec).await.expect("the spec");
    (context, RunRequest { bucket: "landing".into(), key: key.into(), ..RunRequest::default() })
}
