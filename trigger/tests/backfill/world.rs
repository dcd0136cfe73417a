//! A deployment with objects to load, and time that passes only when somebody waits.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use object_store::ObjectStoreExt;
use stepwell_pipeline::{
    ErrorKind, StageError, current,
    execution::{Described, Executions, Started},
    manifest::CommitManifest,
    request::RunRequest,
    run::{Run, Source, short_hash},
    spec::CheckedSpec,
    stage::Budget,
    store::{self, MemoryStores, Stores},
};
use stepwell_trigger::backfill::{Backfill, BackfillRequest, Clock, Ended, Watch, run};

use crate::outside::{Line, Outside, spec};

/// Time that passes when somebody waits.
#[derive(Debug, Default)]
pub(crate) struct Virtual(Mutex<Duration>);

#[async_trait]
impl Clock for Virtual {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    async fn sleep(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

/// Step Functions: which executions were started when, and how often it was asked.
#[derive(Debug)]
pub(crate) struct Machine {
    clock: Arc<Virtual>,
    pub(crate) started: Mutex<BTreeMap<String, (RunRequest, Duration)>>,
    pub(crate) calls: Mutex<Vec<Duration>>,
    /// More calls than that within a second are throttled.
    per_second_max: usize,
}

#[async_trait]
impl Executions for Machine {
    async fn start(&self, name: &str, request: &RunRequest) -> Result<Started, StageError> {
        let now = self.clock.now();
        let mut calls = self.calls.lock().unwrap();
        let recent = calls.iter().rev().take_while(|at| **at + Duration::from_secs(1) > now).count();
        if recent >= self.per_second_max {
            return Err(StageError::new(ErrorKind::Throttled, "rate exceeded"));
        }
        calls.push(now);
        self.started.lock().unwrap().entry(name.to_owned()).or_insert_with(|| (request.clone(), now));
        Ok(Started::Running)
    }

    async fn describe(&self, _: &str) -> Result<Option<Described>, StageError> {
        Ok(None)
    }
}

/// As Lambda's runtime wants it.
pub(crate) fn sendable<F: Future + Send>(future: F) -> F {
    future
}

pub(crate) struct Silent;

impl Watch for Silent {
    fn advanced(&self, _: &Backfill, _: f64) {}
}

pub(crate) struct World {
    pub(crate) clock: Arc<Virtual>,
    pub(crate) outside: Outside<Machine>,
}

const SOURCE: &str = "{ match: \"in/**/*.csv\" }";

/// The text of the pipeline's spec.
pub(crate) fn sales() -> String {
    spec("sales", SOURCE)
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Line::default(), usize::MAX).await
    }

    /// One in which no more executions than that are started per second.
    pub(crate) async fn with(line: Line, per_second_max: usize) -> Self {
        let world = Self::again(MemoryStores::default(), line, per_second_max);
        world.outside.push("sales", SOURCE).await;
        world
    }

    /// One with those objects.
    pub(crate) fn again(stores: MemoryStores, line: Line, per_second_max: usize) -> Self {
        let clock = Arc::new(Virtual::default());
        let (started, calls) = (Mutex::default(), Mutex::default());
        let machine = Machine { clock: clock.clone(), started, calls, per_second_max };
        Self { clock, outside: Outside::with(stores, Arc::new(machine), line) }
    }

    /// Puts an object to be loaded.
    pub(crate) async fn land(&self, key: &str) {
        self.outside.put("landing", key, "a\n1\n").await;
    }

    pub(crate) async fn run(&self, request: &BackfillRequest) -> Result<(Backfill, Ended), StageError> {
        self.run_watched(&Silent, request).await
    }

    pub(crate) async fn run_watched(
        &self,
        watch: &dyn Watch,
        request: &BackfillRequest,
    ) -> Result<(Backfill, Ended), StageError> {
        sendable(run(&self.outside.ports, &*self.clock, watch, request)).await
    }

    /// Lets a round last for so many looks at its budget.
    pub(crate) fn allow(&mut self, looks: usize) {
        self.outside.ports.context.budget = Arc::new(Looks(AtomicUsize::new(looks)));
    }

    /// The executions that were started.
    pub(crate) fn started(&self) -> usize {
        self.outside.executions.started.lock().unwrap().len()
    }

    /// The keys of the objects that executions were started for.
    pub(crate) fn keys(&self) -> Vec<String> {
        let started = self.outside.executions.started.lock().unwrap();
        let mut keys: Vec<String> = started.values().map(|(request, _)| request.key.clone()).collect();
        keys.sort();
        keys
    }

    /// Commits an object as `load` would have, under the spec of that text.
    pub(crate) async fn commit(&self, key: &str, spec: &str) {
        let spec = CheckedSpec::parse("sales.yaml", spec).unwrap();
        let meta = self.outside.stores.bucket("landing").unwrap().head(&key.into()).await.unwrap();
        let source = Source {
            bucket: "landing".into(),
            key: key.into(),
            version: None,
            etag: meta.e_tag.unwrap(),
            size: meta.size,
            modified_ms: 0,
            sequencer: Some("01".into()),
        };
        let run = Run::new("sales", &spec.digest, source);
        let document = current::document(&spec.table(&self.outside.ports.context.buckets), &run);
        let manifest = CommitManifest {
            run,
            generation: 0,
            files: Vec::new(),
            records_loaded: 0,
            bytes_loaded: 0,
            replaced: Vec::new(),
            code_version: "1".into(),
        };
        store::put_json(&self.outside.stores, &document, &manifest).await.unwrap();
    }
}

pub(crate) fn request() -> BackfillRequest {
    BackfillRequest {
        bucket: "landing".into(),
        prefix: "in/".into(),
        pipeline: "sales".into(),
        ..BackfillRequest::default()
    }
}

pub(crate) fn key(number: usize) -> String {
    format!("in/{:02}/{number:05}.csv", number % 7)
}

/// The keys of those numbers, in their order.
pub(crate) fn keys(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    let mut keys: Vec<String> = numbers.into_iter().map(key).collect();
    keys.sort();
    keys
}

/// What the backfill of that request is called.
pub(crate) fn request_id() -> String {
    let words = ["landing", "in/", "sales", "", "", ""];
    format!("sales-{}", short_hash(&words))
}

/// A budget that lasts for so many looks at it.
#[derive(Debug)]
struct Looks(AtomicUsize);

impl Budget for Looks {
    fn is_spent(&self) -> bool {
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
    }
}
