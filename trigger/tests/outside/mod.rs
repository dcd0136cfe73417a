//! An outside in memory, every call to which may go wrong, for one invocation of the function or for several that take
//! turns at each call. What goes wrong and who goes on hangs on numbers and seeds alone.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(dead_code, unused_imports, reason = "each test binary uses its part")]

pub(crate) mod clock;
mod faults;
mod invocation;
mod line;
mod ports;
mod sqs;
mod stores;
mod turns;

use std::sync::Arc;

use futures::TryStreamExt;
use object_store::ObjectStore;
use serde_json::Value;
use stepwell_pipeline::{
    StageError,
    execution::{Executions, MemoryExecutions},
    link::MemoryLinks,
    progress::Unwatched,
    queue::MemoryQueue,
    stage::{Buckets, StageContext},
    store::{self, MemoryStores, ObjectRef, Stores},
};
use stepwell_trigger::{Ports, handler};

use self::ports::Behind;
pub(crate) use self::{
    faults::{Cases, Faults, WAYS, WAYS_AT_ONCE, Way},
    invocation::{Invocation, Turn},
    line::Line,
    sqs::{RECEIVES_MAX, delivery, failed},
    turns::Turns,
};

/// A deployment's outside: what is in it, and the ports by which the function reaches it.
pub(crate) struct Outside<E = MemoryExecutions> {
    pub(crate) stores: MemoryStores,
    pub(crate) executions: Arc<E>,
    pub(crate) queue: Arc<MemoryQueue>,
    pub(crate) line: Arc<Line>,
    pub(crate) ports: Ports,
}

impl<E: Executions + Default + 'static> Outside<E> {
    /// An empty one.
    pub(crate) fn new(line: Line) -> Self {
        Self::with(MemoryStores::default(), Arc::default(), line)
    }
}

impl<E: Executions + 'static> Outside<E> {
    pub(crate) fn with(stores: MemoryStores, executions: Arc<E>, line: Line) -> Self {
        let (queue, line) = (Arc::new(MemoryQueue::default()), Arc::new(line));
        let context = StageContext::new(
            Behind::new(Arc::new(stores.clone()), &line),
            Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() },
            Arc::new(Unwatched),
        );
        let ports = Ports {
            context: StageContext { now: clock::now, ..context },
            executions: Behind::new(executions.clone(), &line),
            queue: Behind::new(queue.clone(), &line),
            links: Behind::new(Arc::new(MemoryLinks), &line),
            events_queue: sqs::EVENTS_QUEUE.to_owned(),
            receives_max: sqs::RECEIVES_MAX,
            running_max: None,
        };
        Self { stores, executions, queue, line, ports }
    }

    /// Has another machine start the executions from now on.
    pub(crate) fn replace_executions(&mut self, executions: E) {
        self.executions = Arc::new(executions);
        self.ports.executions = Behind::new(self.executions.clone(), &self.line);
    }

    /// Has a process of its own handle an event. Nothing is given by one that dies.
    pub(crate) async fn send(&self, event: Value) -> Option<Result<Value, StageError>> {
        self.line.process(handler(&self.ports, event)).await
    }

    /// Begins to handle an event, for the test to go on with.
    pub(crate) fn begin<T>(&self, of: T, event: Value) -> Invocation<T> {
        Invocation::new(&self.ports, &self.line, of, event)
    }

    pub(crate) async fn put(&self, bucket: &str, key: &str, bytes: impl Into<bytes::Bytes>) {
        store::put(&self.stores, &ObjectRef::new(bucket, key), bytes.into()).await.unwrap();
    }

    /// Pushes a spec whose `source` is as given.
    pub(crate) async fn push(&self, pipeline: &str, source: &str) {
        self.put("work", &format!("pipelines/{pipeline}.yaml"), spec(pipeline, source)).await;
    }

    /// The keys of a bucket below a prefix.
    pub(crate) async fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let listed = self.stores.bucket(bucket).unwrap().list(Some(&store::path(prefix).unwrap()));
        listed.map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap()
    }

    /// The objects of a bucket with their texts, in the order of their keys.
    pub(crate) async fn texts(&self, bucket: &str) -> Vec<(String, String)> {
        let mut keys = self.keys(bucket, "").await;
        keys.sort();
        let mut texts = Vec::new();
        for key in keys {
            let (bytes, _) = store::get(&self.stores, &ObjectRef::new(bucket, &key)).await.unwrap().unwrap();
            texts.push((key, String::from_utf8(bytes.to_vec()).unwrap()));
        }
        texts
    }
}

/// A spec whose `source` is as given.
pub(crate) fn spec(pipeline: &str, source: &str) -> String {
    format!(
        "pipeline: {pipeline}\nsource: {source}\nschema:\n  - {{ name: a, type: int8 }}\n\
         load: {{ target: parquet, path: lake/{pipeline}/ }}\n"
    )
}
