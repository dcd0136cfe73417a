//! Calls to the stores and to the state machine that go wrong on demand.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use futures::{StreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, path::Path,
};
use stepwell_pipeline::{
    ErrorKind, StageError,
    store::{MemoryStores, Stores},
};
use tokio::sync::Notify;

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Nothing is done.
    FailsBefore,
    /// Nothing is done, since there were too many calls.
    Throttled,
    /// It is done, and nobody hears of it.
    ReplyLost,
    /// The process dies before it.
    KilledBefore,
    /// The process dies after it.
    KilledAfter,
}

pub(crate) const WAYS: [Way; 5] =
    [Way::FailsBefore, Way::Throttled, Way::ReplyLost, Way::KilledBefore, Way::KilledAfter];

/// The calls of a case, and those of them that go wrong.
#[derive(Debug, Default)]
pub(crate) struct Line {
    calls: Mutex<usize>,
    pub(crate) faults: BTreeMap<usize, Way>,
    pub(crate) killed: Notify,
    /// Whether earlier calls take longer than later ones.
    is_uneven: bool,
}

impl Line {
    pub(crate) fn with(faults: BTreeMap<usize, Way>) -> Self {
        Self { faults, ..Self::default() }
    }

    pub(crate) fn uneven() -> Self {
        Self { is_uneven: true, ..Self::default() }
    }

    /// The calls that were made.
    pub(crate) fn calls(&self) -> usize {
        *self.calls.lock().unwrap()
    }

    /// Does a call as well as its fault allows.
    pub(crate) async fn call<T>(&self, fails: fn(Way) -> T, done: impl Future<Output = T>) -> T {
        let (way, number) = {
            let mut calls = self.calls.lock().unwrap();
            *calls += 1;
            (self.faults.get(&(*calls - 1)).copied(), *calls)
        };
        for _ in number..if self.is_uneven { 60 } else { 0 } {
            tokio::task::yield_now().await;
        }
        match way {
            None => done.await,
            Some(way @ (Way::FailsBefore | Way::Throttled)) => fails(way),
            Some(way @ Way::ReplyLost) => {
                done.await;
                fails(way)
            }
            Some(way) => {
                if way == Way::KilledAfter {
                    done.await;
                }
                self.killed.notify_one();
                std::future::pending().await
            }
        }
    }
}

/// As the adapter to S3 says it.
fn store_fails<T>(way: Way) -> Result<T> {
    let kind = if way == Way::Throttled { ErrorKind::Throttled } else { ErrorKind::StoreUnavailable };
    let source = StageError::new(kind, format!("{way:?}"));
    Err(object_store::Error::Generic { store: "S3", source: source.into() })
}

/// As the adapters to the state machine and to the queues say it.
pub(crate) fn target_fails<T>(way: Way) -> std::result::Result<T, StageError> {
    let kind = if way == Way::Throttled { ErrorKind::Throttled } else { ErrorKind::TargetUnavailable };
    Err(StageError::new(kind, format!("{way:?}")))
}

/// A bucket behind a line.
#[derive(Clone, Debug)]
struct Bucket(Arc<dyn ObjectStore>, Arc<Line>);

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Bucket {
    fn listed(&self, listing: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
        let line = self.1.clone();
        let all = async move { line.call(store_fails, async { Ok(listing.collect::<Vec<_>>().await) }).await };
        stream::once(all).map(|listed| stream::iter(listed.unwrap_or_else(|error| vec![Err(error)]))).flatten().boxed()
    }
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.1.call(store_fails, self.0.get_opts(location, options)).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.0.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.0.list_with_offset(prefix, offset))
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.1.call(store_fails, self.0.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        store_fails(Way::FailsBefore)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, line) = (self.0.clone(), self.1.clone());
        let all = async move {
            line.call(store_fails, async { Ok(inner.delete_stream(locations).collect::<Vec<_>>().await) }).await
        };
        stream::once(all)
            .map(|deleted| stream::iter(deleted.unwrap_or_else(|error| vec![Err(error)])))
            .flatten()
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.1.call(store_fails, self.0.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        store_fails(Way::FailsBefore)
    }
}

#[derive(Debug)]
pub(crate) struct Disturbed(pub(crate) MemoryStores, pub(crate) Arc<Line>);

#[async_trait]
impl Stores for Disturbed {
    fn bucket(&self, name: &str) -> std::result::Result<Arc<dyn ObjectStore>, StageError> {
        Ok(Arc::new(Bucket(self.0.bucket(name)?, self.1.clone())))
    }
}
