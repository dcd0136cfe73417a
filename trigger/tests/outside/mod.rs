//! An outside whose every call may go wrong, and invocations of the function that take turns at each call: which goes
//! on next, and what goes wrong, hangs on a seed alone.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    cell::Cell,
    collections::BTreeMap,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream, stream::BoxStream, task::noop_waker};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, path::Path,
};
use rand::{Rng, rngs::SmallRng};
use serde_json::Value;
use stepwell_pipeline::{
    ErrorKind, StageError,
    progress::Unwatched,
    queue::{DeathCause, MemoryQueue, Queue},
    stage::{Buckets, StageContext},
    store::{MemoryStores, Stores},
};
use stepwell_trigger::{Ports, handler};

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
    /// The function's process dies, and a write that is on its way comes to pass much later. Of other calls: as before.
    KilledAndLate,
}

pub(crate) const WAYS: [Way; 6] =
    [Way::FailsBefore, Way::Throttled, Way::ReplyLost, Way::KilledBefore, Way::KilledAfter, Way::KilledAndLate];

/// A call to a store: its name, the bucket, the key.
pub(crate) type StoreCall = (&'static str, String);

/// Which calls go wrong.
#[derive(Debug)]
pub(crate) enum Faults {
    /// Those of these numbers.
    At(BTreeMap<usize, Way>),
    /// One in so many, as a generator says.
    OneIn(u32, SmallRng),
}

/// A write on its way.
type LateWrite = (Arc<dyn ObjectStore>, Path, PutPayload, PutOptions);

/// All calls go through it.
#[derive(Debug)]
pub(crate) struct Line {
    faults: Mutex<Faults>,
    pub(crate) calls: Mutex<Vec<StoreCall>>,
    /// Whether the invocation that is polled dies.
    dies: Mutex<bool>,
    late: Mutex<Vec<LateWrite>>,
}

impl Line {
    pub(crate) fn new(faults: Faults) -> Self {
        Self { faults: Mutex::new(faults), calls: Mutex::default(), dies: Mutex::default(), late: Mutex::default() }
    }

    pub(crate) fn calls_made(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    /// Nothing goes wrong any more.
    pub(crate) fn mend(&self) {
        *self.faults.lock().unwrap() = Faults::At(BTreeMap::new());
    }

    fn way(&self, name: &'static str, key: &str) -> Option<Way> {
        let mut calls = self.calls.lock().unwrap();
        calls.push((name, key.to_owned()));
        match &mut *self.faults.lock().unwrap() {
            Faults::At(faults) => faults.get(&(calls.len() - 1)).copied(),
            Faults::OneIn(many, random) => {
                random.random_ratio(1, *many).then(|| WAYS[random.random_range(0..WAYS.len())])
            }
        }
    }

    async fn die<T>(&self) -> T {
        *self.dies.lock().unwrap() = true;
        std::future::pending().await
    }

    /// Does a call as well as its fault allows; others take turns before and after it.
    pub(crate) async fn call<T>(
        &self,
        call: (&'static str, &str),
        fails: fn(Way) -> T,
        done: impl Future<Output = T>,
    ) -> T {
        self.call_or_leave(call, fails, done, None).await
    }

    async fn call_or_leave<T>(
        &self,
        (name, key): (&'static str, &str),
        fails: fn(Way) -> T,
        done: impl Future<Output = T>,
        late: Option<LateWrite>,
    ) -> T {
        take_turns().await;
        let outcome = match self.way(name, key) {
            None => done.await,
            Some(way @ (Way::FailsBefore | Way::Throttled)) => fails(way),
            Some(way @ Way::ReplyLost) => {
                done.await;
                fails(way)
            }
            Some(Way::KilledAfter) => {
                done.await;
                self.die().await
            }
            Some(Way::KilledBefore) => self.die().await,
            Some(Way::KilledAndLate) => {
                self.late.lock().unwrap().extend(late);
                self.die().await
            }
        };
        take_turns().await;
        outcome
    }

    /// Lets a write come to pass whose invocation died long ago.
    pub(crate) fn land_one(&self, random: &mut SmallRng) {
        let mut late = self.late.lock().unwrap();
        if !late.is_empty() {
            let at = random.random_range(0..late.len());
            let (bucket, location, payload, options) = late.swap_remove(at);
            let _ = bucket.put_opts(&location, payload, options).now_or_never();
        }
    }

    pub(crate) fn has_late(&self) -> bool {
        !self.late.lock().unwrap().is_empty()
    }
}

/// Lets others go on first.
async fn take_turns() {
    let mut is_polled = false;
    std::future::poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut is_polled, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn store_fails<T>(way: Way) -> Result<T> {
    let kind = if way == Way::Throttled { ErrorKind::Throttled } else { ErrorKind::StoreUnavailable };
    Err(object_store::Error::Generic { store: "S3", source: StageError::new(kind, format!("{way:?}")).into() })
}

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

#[async_trait]
impl ObjectStore for Bucket {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let name = if options.head { "HEAD" } else { "GET" };
        self.1.call((name, location.as_ref()), store_fails, self.0.get_opts(location, options)).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, line, prefix) = (self.0.clone(), self.1.clone(), prefix.cloned());
        let all = async move {
            let key = prefix.as_ref().map_or("", AsRef::as_ref);
            line.call(("LIST", key), store_fails, async { Ok(inner.list(prefix.as_ref()).collect::<Vec<_>>().await) })
                .await
        };
        stream::once(all).map(|listed| stream::iter(listed.unwrap_or_else(|error| vec![Err(error)]))).flatten().boxed()
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let late = (self.0.clone(), location.clone(), payload.clone(), options.clone());
        let done = self.0.put_opts(location, payload, options);
        self.1.call_or_leave(("PUT", location.as_ref()), store_fails, done, Some(late)).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(object_store::Error::NotImplemented { operation: "put".into(), implementer: "this bucket".into() })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, line) = (self.0.clone(), self.1.clone());
        locations
            .then(move |location| {
                let (inner, line) = (inner.clone(), line.clone());
                async move {
                    let location = location?;
                    let done = async {
                        let one = stream::once(std::future::ready(Ok(location.clone()))).boxed();
                        inner.delete_stream(one).next().await.unwrap()
                    };
                    line.call(("DELETE", location.as_ref()), store_fails, done).await
                }
            })
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let key = prefix.map_or("", AsRef::as_ref);
        self.1.call(("LIST", key), store_fails, self.0.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        store_fails(Way::FailsBefore)
    }
}

#[derive(Debug)]
struct Disturbed(MemoryStores, Arc<Line>);

#[async_trait]
impl Stores for Disturbed {
    fn bucket(&self, name: &str) -> std::result::Result<Arc<dyn ObjectStore>, StageError> {
        Ok(Arc::new(Bucket(self.0.bucket(name)?, self.1.clone())))
    }
}

/// The queues behind a line.
#[derive(Debug)]
pub(crate) struct Queues(pub(crate) Arc<MemoryQueue>, pub(crate) Arc<Line>);

#[async_trait]
impl Queue for Queues {
    async fn send(&self, body: &str, delay_seconds: u16) -> std::result::Result<(), StageError> {
        self.1.call(("SEND", ""), target_fails, self.0.send(body, delay_seconds)).await
    }

    async fn bury(&self, body: &str, cause: &DeathCause) -> std::result::Result<(), StageError> {
        self.1.call(("BURY", ""), target_fails, self.0.bury(body, cause)).await
    }
}

thread_local! {
    static NOW_MS: Cell<u64> = const { Cell::new(1_700_000_000_000) };
}

pub(crate) fn now_ms() -> u64 {
    NOW_MS.get()
}

/// Lets time pass for the tests of this thread.
pub(crate) fn pass_ms(ms: u64) {
    NOW_MS.set(NOW_MS.get() + ms);
}

pub(crate) fn context(stores: &MemoryStores, line: &Arc<Line>) -> StageContext {
    let context = StageContext::new(
        Arc::new(Disturbed(stores.clone(), line.clone())),
        Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() },
        Arc::new(Unwatched),
    );
    StageContext { now: || SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms()), ..context }
}

/// An invocation of the function.
pub(crate) struct Invocation<T> {
    /// What it was given.
    pub(crate) of: T,
    future: BoxFuture<'static, std::result::Result<Value, StageError>>,
}

/// How an invocation stands.
pub(crate) enum Turn {
    GoesOn,
    Died,
    Ended(std::result::Result<Value, StageError>),
}

impl<T> Invocation<T> {
    pub(crate) fn new(ports: &Ports, of: T, event: Value) -> Self {
        let ports = ports.clone();
        Self { of, future: Box::pin(async move { handler(&ports, event).await }) }
    }

    /// Lets it go on to its next call.
    pub(crate) fn poll(&mut self, line: &Line) -> Turn {
        let polled = Pin::new(&mut self.future).poll(&mut Context::from_waker(&noop_waker()));
        if std::mem::take(&mut *line.dies.lock().unwrap()) {
            return Turn::Died;
        }
        match polled {
            Poll::Pending => Turn::GoesOn,
            Poll::Ready(answer) => Turn::Ended(answer),
        }
    }
}
