//! Ports whose calls are counted, and go wrong where the test says.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, path::Path,
};
use stepwell_pipeline::{
    ErrorKind, StageError,
    execution::{Described, Executions, MemoryExecutions, Started},
    link::{Links, MemoryLinks},
    queue::{DeathCause, MemoryQueue, Queue},
    request::RunRequest,
    store::{MemoryStores, ObjectRef, Stores},
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
    /// The function's process dies before or after it.
    KilledBefore,
    KilledAfter,
}

pub(crate) const WAYS: [Way; 5] =
    [Way::FailsBefore, Way::Throttled, Way::ReplyLost, Way::KilledBefore, Way::KilledAfter];

impl Way {
    fn error(self) -> StageError {
        let kind = if self == Way::Throttled { ErrorKind::Throttled } else { ErrorKind::StoreUnavailable };
        StageError::new(kind, format!("{self:?}"))
    }

    fn store_error(self) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: Box::new(self.error()) }
    }
}

/// The calls of a case, and those of them that go wrong.
#[derive(Debug, Default)]
pub(crate) struct Line {
    pub(crate) calls: Mutex<usize>,
    pub(crate) faults: BTreeMap<usize, Way>,
    pub(crate) killed: Notify,
}

impl Line {
    /// Does a call as well as its fault allows.
    async fn call<T, E>(
        &self,
        fails: fn(Way) -> E,
        done: impl Future<Output = std::result::Result<T, E>>,
    ) -> std::result::Result<T, E> {
        let way = {
            let mut calls = self.calls.lock().unwrap();
            *calls += 1;
            self.faults.get(&(*calls - 1)).copied()
        };
        match way {
            None => done.await,
            Some(way @ (Way::FailsBefore | Way::Throttled)) => Err(fails(way)),
            Some(way @ Way::ReplyLost) => {
                let _ = done.await;
                Err(fails(way))
            }
            Some(way) => {
                if way == Way::KilledAfter {
                    let _ = done.await;
                }
                self.killed.notify_one();
                std::future::pending().await
            }
        }
    }
}

/// A bucket behind a line.
#[derive(Clone, Debug)]
struct Bucket(Arc<dyn ObjectStore>, Arc<Line>);

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.1.call(Way::store_error, self.0.get_opts(location, options)).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, line, prefix) = (self.0.clone(), self.1.clone(), prefix.cloned());
        let all = async move {
            line.call(Way::store_error, async { inner.list(prefix.as_ref()).try_collect::<Vec<_>>().await }).await
        };
        stream::once(all).map_ok(|listed| stream::iter(listed).map(Ok)).try_flatten().boxed()
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.1.call(Way::store_error, self.0.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(Way::FailsBefore.store_error())
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, line) = (self.0.clone(), self.1.clone());
        let deleted = async move {
            line.call(Way::store_error, async { inner.delete_stream(locations).try_collect::<Vec<_>>().await }).await
        };
        stream::once(deleted).map_ok(|paths| stream::iter(paths).map(Ok)).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.1.call(Way::store_error, self.0.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(Way::FailsBefore.store_error())
    }
}

#[derive(Debug)]
pub(crate) struct DisturbedStores(pub(crate) MemoryStores, pub(crate) Arc<Line>);

#[async_trait]
impl Stores for DisturbedStores {
    fn bucket(&self, name: &str) -> std::result::Result<Arc<dyn ObjectStore>, StageError> {
        Ok(Arc::new(Bucket(self.0.bucket(name)?, self.1.clone())))
    }
}

#[derive(Debug)]
pub(crate) struct DisturbedExecutions(pub(crate) Arc<MemoryExecutions>, pub(crate) Arc<Line>);

#[async_trait]
impl Executions for DisturbedExecutions {
    async fn start(&self, name: &str, request: &RunRequest) -> std::result::Result<Started, StageError> {
        if let Some(known) = self.0.started().get(name) {
            assert_eq!(known, request, "one name for two executions");
        }
        self.1.call(Way::error, self.0.start(name, request)).await
    }

    async fn describe(&self, name: &str) -> std::result::Result<Option<Described>, StageError> {
        self.1.call(Way::error, self.0.describe(name)).await
    }
}

#[derive(Debug)]
pub(crate) struct DisturbedQueue(pub(crate) Arc<MemoryQueue>, pub(crate) Arc<Line>);

#[async_trait]
impl Queue for DisturbedQueue {
    async fn send(&self, body: &str, delay_seconds: u16) -> std::result::Result<(), StageError> {
        self.1.call(Way::error, self.0.send(body, delay_seconds)).await
    }

    async fn bury(&self, body: &str, cause: &DeathCause) -> std::result::Result<(), StageError> {
        self.1.call(Way::error, self.0.bury(body, cause)).await
    }
}

#[derive(Debug)]
pub(crate) struct DisturbedLinks(pub(crate) Arc<Line>);

#[async_trait]
impl Links for DisturbedLinks {
    async fn download(&self, object: &ObjectRef, valid: Duration) -> std::result::Result<String, StageError> {
        self.0.call(Way::error, MemoryLinks.download(object, valid)).await
    }

    async fn upload(&self, object: &ObjectRef, valid: Duration) -> std::result::Result<String, StageError> {
        self.0.call(Way::error, MemoryLinks.upload(object, valid)).await
    }
}
