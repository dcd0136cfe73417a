//! A deployment in memory whose every call can go wrong in every way, in several processes at the same time.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, path::Path,
};
use serde_json::{Value, json};
use stepwell_pipeline::{
    ErrorKind, StageError,
    batch::{BATCHES_PREFIX, BatchList},
    execution::{Described, Executions, Started},
    link::MemoryLinks,
    progress::Unwatched,
    queue::{DeathCause, Queue},
    request::RunRequest,
    run::Source,
    stage::{Buckets, StageContext},
    store::{self, MemoryStores, ObjectRef, Stores},
};
use stepwell_trigger::{Ports, handler};
use tokio::sync::Notify;

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Nothing is done.
    FailsBefore,
    /// It is done, and nobody hears of it.
    ReplyLost,
    /// The process dies before or after it.
    KilledBefore,
    KilledAfter,
}

pub(crate) const WAYS: [Way; 4] = [Way::FailsBefore, Way::ReplyLost, Way::KilledBefore, Way::KilledAfter];

/// The calls of all processes, and those of them that go wrong.
#[derive(Debug, Default)]
pub(crate) struct Line {
    pub(crate) calls: Mutex<usize>,
    /// The calls by what was called.
    pub(crate) kinds: Mutex<BTreeMap<&'static str, usize>>,
    faults: BTreeMap<usize, Way>,
    /// Decides who goes first, where it is not nought.
    chance: Mutex<u64>,
}

impl Line {
    pub(crate) fn new(faults: &BTreeMap<usize, Way>, seed: u64) -> Self {
        Self { faults: faults.clone(), chance: Mutex::new(seed), ..Self::default() }
    }

    /// How often a process lets others go first.
    fn turns(&self) -> u64 {
        let mut chance = self.chance.lock().unwrap();
        // Xorshift.
        *chance ^= *chance << 13;
        *chance ^= *chance >> 7;
        *chance ^= *chance << 17;
        // Now and then for so long that another does its whole work meanwhile.
        if *chance >> 60 == 15 { 100 } else { (*chance >> 32) % 4 }
    }
}

/// One process's way to everything.
#[derive(Clone, Debug)]
struct Process {
    line: Arc<Line>,
    killed: Arc<Notify>,
}

impl Process {
    /// Does a call as well as its fault allows.
    async fn call<T>(&self, kind: &'static str, fails: fn(Way) -> T, done: impl Future<Output = T>) -> T {
        for _ in 0..self.line.turns() {
            tokio::task::yield_now().await;
        }
        let way = {
            let mut calls = self.line.calls.lock().unwrap();
            *calls += 1;
            self.line.faults.get(&(*calls - 1)).copied()
        };
        *self.line.kinds.lock().unwrap().entry(kind).or_default() += 1;
        match way {
            None => done.await,
            Some(way @ Way::FailsBefore) => fails(way),
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

fn store_fails<T>(way: Way) -> Result<T> {
    let error = StageError::new(ErrorKind::StoreUnavailable, format!("{way:?}"));
    Err(object_store::Error::Generic { store: "S3", source: error.into() })
}

fn port_fails<T>(way: Way) -> std::result::Result<T, StageError> {
    Err(StageError::new(ErrorKind::TargetUnavailable, format!("{way:?}")))
}

#[derive(Clone, Debug)]
struct Bucket(Arc<dyn ObjectStore>, Process);

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let kind = if options.head { "head" } else { "get" };
        if options.head && location.as_ref().contains("denied") {
            let path = location.to_string();
            return Err(object_store::Error::PermissionDenied { path, source: "no such right".into() });
        }
        self.1.call(kind, store_fails, self.0.get_opts(location, options)).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, process, prefix) = (self.0.clone(), self.1.clone(), prefix.cloned());
        let all = async move {
            let listed = async { Ok(inner.list(prefix.as_ref()).collect::<Vec<_>>().await) };
            process.call("list", store_fails, listed).await
        };
        stream::once(all).map(|listed| stream::iter(listed.unwrap_or_else(|error| vec![Err(error)]))).flatten().boxed()
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.1.call("put", store_fails, self.0.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        store_fails(Way::FailsBefore)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, process) = (self.0.clone(), self.1.clone());
        // As S3 does it: a request for each thousand.
        let requests = locations.chunks(1000).then(move |chunk| {
            let (inner, process) = (inner.clone(), process.clone());
            async move {
                let deleted = async {
                    let all = inner.delete_stream(stream::iter(chunk).boxed());
                    Ok(all.collect::<Vec<_>>().await)
                };
                process.call("delete", store_fails, deleted).await.unwrap_or_else(|error| vec![Err(error)])
            }
        });
        requests.map(stream::iter).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.1.call("list", store_fails, self.0.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        store_fails(Way::FailsBefore)
    }
}

#[derive(Debug)]
struct Disturbed(MemoryStores, Process);

#[async_trait]
impl Stores for Disturbed {
    fn bucket(&self, name: &str) -> std::result::Result<Arc<dyn ObjectStore>, StageError> {
        Ok(Arc::new(Bucket(self.0.bucket(name)?, self.1.clone())))
    }
}

/// Step Functions, of one process.
#[derive(Debug)]
struct Machine(Arc<Mutex<BTreeMap<String, RunRequest>>>, Process);

#[async_trait]
impl Executions for Machine {
    async fn start(&self, name: &str, request: &RunRequest) -> std::result::Result<Started, StageError> {
        let done = async {
            let mut executions = self.0.lock().unwrap();
            let known = executions.entry(name.to_owned()).or_insert_with(|| request.clone());
            assert_eq!(known, request, "one name for two executions");
            Ok(Started::Running)
        };
        self.1.call("start", port_fails, done).await
    }

    async fn describe(&self, _: &str) -> std::result::Result<Option<Described>, StageError> {
        Ok(None)
    }
}

/// The queues, of one process.
#[derive(Debug)]
struct Letters(Arc<Mutex<Vec<(String, DeathCause)>>>, Process);

#[async_trait]
impl Queue for Letters {
    async fn send(&self, _: &str, _: u16) -> std::result::Result<(), StageError> {
        Ok(())
    }

    async fn bury(&self, body: &str, cause: &DeathCause) -> std::result::Result<(), StageError> {
        let done = async {
            self.0.lock().unwrap().push((body.to_owned(), cause.clone()));
            Ok(())
        };
        self.1.call("bury", port_fails, done).await
    }
}

/// A deployment.
#[derive(Debug)]
pub(crate) struct Deployment {
    pub(crate) stores: MemoryStores,
    pub(crate) line: Arc<Line>,
    executions: Arc<Mutex<BTreeMap<String, RunRequest>>>,
    letters: Arc<Mutex<Vec<(String, DeathCause)>>>,
}

impl Deployment {
    pub(crate) fn new(line: Line) -> Self {
        let stores = MemoryStores::default();
        Self { stores, line: Arc::new(line), executions: Arc::default(), letters: Arc::default() }
    }

    /// A deployment in which all goes well.
    pub(crate) fn calm() -> Self {
        Self::new(Line::default())
    }

    /// Pushes a pipeline of JSON Lines that is called `p`.
    pub(crate) async fn push(&self, source: &str) {
        let spec = format!(
            "pipeline: p\nsource: {source}\nschema:\n  - {{ name: a, type: int8 }}\n\
             load: {{ target: parquet, path: lake/p/ }}\n"
        );
        store::put(&self.stores, &ObjectRef::new("work", "pipelines/p.yaml"), spec).await.unwrap();
    }

    /// Sends a process of its own an event. Nothing is given by one that dies.
    pub(crate) async fn send(&self, event: Value) -> Option<std::result::Result<Value, StageError>> {
        let process = Process { line: self.line.clone(), killed: Arc::default() };
        let context = StageContext::new(
            Arc::new(Disturbed(self.stores.clone(), process.clone())),
            Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() },
            Arc::new(Unwatched),
        );
        let ports = Ports {
            context,
            executions: Arc::new(Machine(self.executions.clone(), process.clone())),
            queue: Arc::new(Letters(self.letters.clone(), process.clone())),
            links: Arc::new(MemoryLinks),
            events_queue: "events".to_owned(),
            receives_max: 5,
            running_max: None,
        };
        tokio::select! {
            biased;
            answer = handler(&ports, event) => Some(answer),
            () = process.killed.notified() => None,
        }
    }

    /// Sends an event as often as it takes.
    pub(crate) async fn deliver(&self, event: Value) {
        for _ in 0..6 {
            if let Some(Ok(_)) = self.send(event.clone()).await {
                return;
            }
        }
        panic!("{event} would go to the dead letters");
    }

    pub(crate) async fn tick(&self, now: DateTime<Utc>) -> bool {
        matches!(self.send(json!({ "tick": now.to_rfc3339() })).await, Some(Ok(_)))
    }

    /// Puts an object, and gives the event that tells of it.
    pub(crate) async fn upload(&self, key: &str, bytes: usize, sequencer: usize) -> Value {
        let object = ObjectRef::new("landing", key);
        store::put(&self.stores, &object, vec![b'x'; bytes]).await.unwrap();
        let meta = store::head(&self.stores, &object).await.unwrap().unwrap();
        json!({
            "detail-type": "Object Created",
            "detail": {
                "bucket": { "name": "landing" },
                "object": {
                    "key": key, "size": bytes, "etag": meta.e_tag, "sequencer": format!("{sequencer:016X}"),
                },
            },
        })
    }

    pub(crate) async fn remove(&self, key: &str) {
        store::delete(&self.stores, &ObjectRef::new("landing", key)).await.unwrap();
    }

    /// The keys of a bucket below a prefix.
    pub(crate) async fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let listed = self.stores.bucket(bucket).unwrap().list(Some(&store::path(prefix).unwrap()));
        listed.map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap()
    }

    /// The lists of batches as they are, by key. Each is of an execution that was started.
    pub(crate) async fn lists(&self) -> BTreeMap<String, BatchList> {
        let mut lists = BTreeMap::new();
        for key in self.keys("work", BATCHES_PREFIX).await {
            let list: BatchList = store::get_json(&self.stores, &ObjectRef::new("work", &key)).await.unwrap().unwrap();
            let request = RunRequest {
                bucket: "work".into(),
                key: key.clone(),
                sequencer: Some(BatchList::sequencer(list.revision)),
                pipeline: Some("p".into()),
                reason: Some("batch".into()),
                ..RunRequest::default()
            };
            let started = self.started().contains(&request);
            assert!(started, "revision {} of {key} was never started", list.revision);
            lists.insert(key, list);
        }
        lists
    }

    pub(crate) fn started(&self) -> Vec<RunRequest> {
        self.executions.lock().unwrap().values().cloned().collect()
    }

    pub(crate) fn letters(&self) -> Vec<(String, DeathCause)> {
        self.letters.lock().unwrap().clone()
    }

    /// Every object that is in landing is in one batch, as it is now; others may be in one.
    pub(crate) async fn assert_each_once(&self, case: &str) {
        let mut seen = BTreeSet::new();
        let lists = self.lists().await;
        let members: Vec<&Source> = lists.values().flat_map(|list| &list.members).collect();
        for member in &members {
            assert!(seen.insert(&member.key), "{case}: {} is in two batches: {lists:#?}", member.key);
        }
        for key in self.keys("landing", "in/").await.into_iter().filter(|key| !key.ends_with("_SUCCESS")) {
            let meta = store::head(&self.stores, &ObjectRef::new("landing", &key)).await.unwrap().unwrap();
            let member = members.iter().find(|member| member.key == key);
            let etag = member.map(|member| member.etag.clone());
            assert_eq!(etag, meta.e_tag, "{case}: {key} is in no batch, or as it was");
        }
    }
}
