use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use object_store::ObjectStoreExt;
use stepwell_pipeline::{
    current,
    execution::MemoryExecutions,
    link::MemoryLinks,
    manifest::CommitManifest,
    progress,
    queue::MemoryQueue,
    run::{Run, Source},
    stage::{Buckets, Budget, StageContext},
    store::{self, MemoryStores, ObjectRef, Stores},
};

use super::*;

/// Time that passes when somebody waits.
#[derive(Debug, Default)]
pub(crate) struct Virtual(Mutex<Duration>);

impl Virtual {
    pub(crate) fn pass(&self, time: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += time;
    }
}

#[async_trait]
impl Clock for Virtual {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sleep(&self, time: Duration) {
        self.pass(time);
    }
}

pub(super) const SPEC: &str = "pipeline: sales\nsource: { match: \"in/**/*.csv\" }\nschema:\n  \
                               - { name: a, type: int8 }\nload: { target: parquet, path: lake/sales/ }\n";

pub(super) fn spec(text: &str) -> CheckedSpec {
    CheckedSpec::parse("sales.yaml", text).expect("valid")
}

/// A deployment in memory.
pub(super) struct World {
    pub(super) ports: Ports,
    pub(super) executions: Arc<MemoryExecutions>,
}

impl World {
    pub(super) fn new() -> Self {
        let executions = Arc::new(MemoryExecutions::default());
        let buckets = Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() };
        let ports = Ports {
            context: StageContext::new(Arc::new(MemoryStores::default()), buckets, Arc::new(progress::Unwatched)),
            executions: executions.clone(),
            queue: Arc::new(MemoryQueue::default()),
            links: Arc::new(MemoryLinks),
            events_queue: "events".to_owned(),
            receives_max: 5,
            running_max: None,
        };
        Self { ports, executions }
    }

    pub(super) fn stores(&self) -> &dyn Stores {
        &*self.ports.context.stores
    }

    pub(super) async fn put(&self, bucket: &str, key: &str, text: &str) {
        store::put(self.stores(), &ObjectRef::new(bucket, key), text.to_owned()).await.expect("written");
    }

    /// Commits an object of the landing bucket as `load` would have.
    pub(super) async fn commit(&self, key: &str, spec: &CheckedSpec) {
        let meta = self.stores().bucket("landing").expect("named").head(&key.into()).await.expect("there");
        let source = Source {
            bucket: "landing".into(),
            key: key.into(),
            version: None,
            etag: meta.e_tag.expect("tagged"),
            size: meta.size,
            modified_ms: 0,
            sequencer: Some("01".into()),
        };
        let run = Run::new(spec.name(), &spec.digest, source);
        let document = current::document(&spec.table(&self.ports.context.buckets), &run);
        let manifest = CommitManifest {
            run,
            generation: 0,
            files: Vec::new(),
            records_loaded: 0,
            bytes_loaded: 0,
            replaced: Vec::new(),
            code_version: "1".into(),
        };
        store::put_json(self.stores(), &document, &manifest).await.expect("written");
    }
}

/// The backfill of everything below `in/`, as it begins.
pub(super) fn state() -> Backfill {
    Backfill {
        id: "b".into(),
        bucket: "landing".into(),
        prefix: "in/".into(),
        pipeline: "sales".into(),
        rate: 1000.0,
        ..Backfill::default()
    }
}

/// Time that is up as soon as so many objects are dealt with.
#[derive(Debug, Default)]
struct UpTo(Arc<AtomicBool>);

impl Budget for UpTo {
    fn is_spent(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

struct After(u64, Arc<AtomicBool>);

impl Watch for After {
    fn advanced(&self, state: &Backfill, _: f64) {
        self.1.fetch_or(state.counts.listed >= self.0, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_round_whose_time_is_up_between_two_batches_ends_there() {
    let mut world = World::new();
    world.put("work", "pipelines/sales.yaml", SPEC).await;
    // The first batch has a hundred objects; those behind it would cost no time.
    for number in 0..150 {
        let ending = if number < 100 { "csv" } else { "txt" };
        world.put("landing", &format!("in/{number:03}.{ending}"), "a\n1\n").await;
    }
    let request = BackfillRequest {
        bucket: "landing".into(),
        prefix: "in/".into(),
        pipeline: "sales".into(),
        ..BackfillRequest::default()
    };
    for (listed, ended) in [(100, Ended::OutOfTime), (150, Ended::Done)] {
        let is_up = Arc::new(AtomicBool::new(false));
        world.ports.context.budget = Arc::new(UpTo(is_up.clone()));
        let round = run(&world.ports, &Virtual::default(), &After(listed, is_up), &request).await;
        let (state, so_ended) = round.expect("a round");
        assert_eq!((state.counts.listed, so_ended), (listed, ended));
        assert_eq!(world.executions.started().len(), 100);
    }
}
