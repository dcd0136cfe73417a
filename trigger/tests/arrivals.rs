//! Pipelines that expect uploads: when they count as overdue, what is written for that, and what a fault changes.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

mod disturbance;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use disturbance::{Disturbed, Line, WAYS, Way};
use serde_json::{Value, json};
use stepwell_pipeline::{
    execution::MemoryExecutions,
    link::MemoryLinks,
    metrics::{MemoryMetrics, Metric, Subject},
    progress::Unwatched,
    queue::MemoryQueue,
    stage::{Buckets, StageContext},
    store::{self, MemoryStores, ObjectRef},
};
use stepwell_trigger::{Ports, handler};

const DAY: u64 = 24 * 60 * 60;

/// A clock that shows so many seconds after 1970.
fn at<const SECONDS: u64>() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(SECONDS)
}

/// A deployment in which the pipeline `p` expects an upload every day, and `q` none.
struct World {
    stores: MemoryStores,
    executions: Arc<MemoryExecutions>,
}

impl World {
    async fn new() -> Self {
        let world = Self { stores: MemoryStores::default(), executions: Arc::default() };
        for (pipeline, source) in [("p", "match: \"in/**\", expect_every: 1day"), ("q", "match: \"other/**\"")] {
            let spec = format!(
                "pipeline: {pipeline}\nsource: {{ {source} }}\nschema: [{{ name: id, type: int8 }}]\n\
                 load: {{ target: parquet, path: lake/{pipeline}/ }}\n"
            );
            let object = ObjectRef::new("work", format!("pipelines/{pipeline}.yaml"));
            store::put(&world.stores, &object, spec).await.unwrap();
        }
        world
    }

    /// One call of the function. Gives what it answered, unless it was killed, the calls, and what it measured.
    async fn call(
        &self,
        event: Value,
        clock: fn() -> SystemTime,
        line: Line,
    ) -> (Option<Value>, usize, Arc<MemoryMetrics>) {
        let (line, metrics) = (Arc::new(line), Arc::new(MemoryMetrics::default()));
        let buckets = Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() };
        let disturbed = Arc::new(Disturbed(self.stores.clone(), line.clone()));
        let context = StageContext::new(disturbed, buckets, Arc::new(Unwatched));
        let ports = Ports {
            context: StageContext { now: clock, metrics: metrics.clone(), ..context },
            executions: self.executions.clone(),
            queue: Arc::new(MemoryQueue::default()),
            links: Arc::new(MemoryLinks),
            events_queue: "events".into(),
            receives_max: 5,
            running_max: None,
        };
        let answer = tokio::select! {
            biased;
            answer = handler(&ports, event) => Some(answer.unwrap_or_else(|error| json!({"error": error.report()}))),
            () = line.killed.notified() => None,
        };
        (answer, line.calls(), metrics)
    }

    async fn upload(&self, keys: &[&str], clock: fn() -> SystemTime, line: Line) -> (bool, usize) {
        let record = |(number, key): (usize, &&str)| {
            let event = json!({
                "detail-type": "Object Created",
                "detail": {
                    "bucket": {"name": "landing"},
                    "object": {"key": key, "size": 1, "version-id": key, "sequencer": "01"},
                },
            });
            json!({
                "messageId": number.to_string(), "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:r:1:events",
                "body": event.to_string(), "attributes": {"ApproximateReceiveCount": "1"},
            })
        };
        let records: Vec<Value> = keys.iter().enumerate().map(record).collect();
        let (answer, calls, _) = self.call(json!({ "Records": records }), clock, line).await;
        (answer == Some(json!({"batchItemFailures": []})), calls)
    }

    async fn tick(&self, seconds: u64, line: Line) -> (bool, usize, Arc<MemoryMetrics>) {
        let moment = chrono::DateTime::from_timestamp(i64::try_from(seconds).unwrap(), 0).unwrap().to_rfc3339();
        let (answer, calls, metrics) = self.call(json!({ "tick": moment }), at::<0>, line).await;
        (answer.is_some_and(|answer| answer.get("error").is_none()), calls, metrics)
    }

    /// How many pipelines are overdue at a moment.
    async fn overdue(&self, seconds: u64) -> f64 {
        let (is_done, _, metrics) = self.tick(seconds, Line::default()).await;
        assert!(is_done);
        let total = metrics.emitted().into_iter().find(|measured| measured.subject == Subject::Deployment);
        total.expect("the deployment's number").values[0].1
    }

    async fn document(&self) -> Option<Value> {
        store::get_json(&self.stores, &ObjectRef::new("work", "arrivals/p.json")).await.unwrap()
    }
}

fn faults(call: usize, way: Way) -> Line {
    Line::with(BTreeMap::from([(call, way)]))
}

#[tokio::test]
async fn a_pipeline_is_overdue_once_it_waits_longer_than_it_says() {
    let world = World::new().await;
    // The first tick begins to wait.
    assert_eq!(world.overdue(0).await, 0.0);
    assert_eq!(world.overdue(DAY + DAY / 20).await, 0.0);
    assert_eq!(world.overdue(DAY + DAY / 20 + 1).await, 1.0);
    assert!(world.upload(&["in/a.csv"], at::<{ 2 * DAY }>, Line::default()).await.0);
    assert_eq!(world.overdue(2 * DAY + 60).await, 0.0);
    assert_eq!(world.overdue(3 * DAY + DAY / 20 + 1).await, 1.0);
    // A tick that comes late again says what was so at its time.
    assert_eq!(world.overdue(2 * DAY + 60).await, 0.0);
}

#[tokio::test]
async fn each_pipeline_that_expects_something_is_measured_and_no_other() {
    let world = World::new().await;
    let (_, _, metrics) = world.tick(0, Line::default()).await;
    let subjects: Vec<Subject> = metrics.emitted().into_iter().map(|measured| measured.subject).collect();
    assert_eq!(subjects, [Subject::Pipeline("p".into()), Subject::Deployment]);
    store::delete(&world.stores, &ObjectRef::new("work", "pipelines/p.yaml")).await.unwrap();
    let (_, _, metrics) = world.tick(60, Line::default()).await;
    assert_eq!(metrics.values(Metric::PipelinesOverdue), [0.0; 0]);
}

#[tokio::test]
async fn a_burst_writes_once() {
    let world = World::new().await;
    assert!(world.upload(&["in/a.csv", "in/b.csv", "in/c.csv"], at::<1000>, Line::default()).await.0);
    assert_eq!(world.document().await, Some(json!({"arrived_ms": 1_000_000})));
    // A twentieth of a day later, less a second: not worth a write.
    assert!(world.upload(&["in/d.csv"], at::<{ 1000 + DAY / 20 - 1 }>, Line::default()).await.0);
    assert_eq!(world.document().await, Some(json!({"arrived_ms": 1_000_000})));
    assert!(world.upload(&["in/e.csv"], at::<{ 1000 + DAY / 20 }>, Line::default()).await.0);
    assert_eq!(world.document().await, Some(json!({"arrived_ms": (1000 + DAY / 20) * 1000})));
    // One call of the function asks once for each pipeline.
    let (_, alone) = world.upload(&["in/f.csv"], at::<2000>, Line::default()).await;
    let (_, two) = world.upload(&["in/g.csv", "in/h.csv"], at::<2000>, Line::default()).await;
    assert_eq!(two, alone);
}

#[tokio::test]
async fn uploads_of_other_pipelines_do_not_count() {
    let world = World::new().await;
    assert!(world.upload(&["other/a.csv"], at::<1000>, Line::default()).await.0);
    assert_eq!(world.document().await, None);
}

#[tokio::test]
async fn a_damaged_document_is_replaced() {
    let world = World::new().await;
    for moment in [DAY, 2 * DAY] {
        store::put(&world.stores, &ObjectRef::new("work", "arrivals/p.json"), "{").await.unwrap();
        if moment == DAY {
            assert_eq!(world.overdue(DAY).await, 0.0);
        } else {
            assert!(world.upload(&["in/a.csv"], at::<{ 2 * DAY }>, Line::default()).await.0);
        }
        assert_eq!(world.document().await, Some(json!({"arrived_ms": moment * 1000})));
    }
}

#[tokio::test]
async fn whatever_call_of_an_upload_goes_wrong_its_repetition_notes_it_and_starts_one_execution() {
    let calls = World::new().await.upload(&["in/a.csv"], at::<1000>, Line::default()).await.1;
    assert!(calls >= 3, "specs, the document read and written: {calls}");
    for call in 0..calls {
        for way in WAYS {
            let world = World::new().await;
            world.upload(&["in/a.csv"], at::<1000>, faults(call, way)).await;
            // The queue brings it again, unless it was handled.
            assert!(world.upload(&["in/a.csv"], at::<1001>, Line::default()).await.0, "{call} {way:?}");
            let noted = world.document().await.expect("noted")["arrived_ms"].as_u64().unwrap();
            assert!([1_000_000, 1_001_000].contains(&noted), "{call} {way:?}: {noted}");
            assert_eq!(world.executions.started().len(), 1, "{call} {way:?}");
        }
    }
}

#[tokio::test]
async fn an_upload_is_not_handled_before_it_is_noted() {
    let calls = World::new().await.upload(&["in/a.csv"], at::<1000>, Line::default()).await.1;
    for call in 0..calls {
        let world = World::new().await;
        let (is_handled, _) = world.upload(&["in/a.csv"], at::<1000>, faults(call, Way::FailsBefore)).await;
        assert!(!is_handled || world.document().await.is_some(), "{call}");
    }
}

#[tokio::test]
async fn whatever_call_of_a_tick_goes_wrong_no_pipeline_is_overdue_for_it() {
    for begun in [false, true] {
        let calls = {
            let world = World::new().await;
            if begun {
                world.overdue(0).await;
            }
            world.tick(60, Line::default()).await.1
        };
        for call in 0..calls {
            for way in WAYS {
                let world = World::new().await;
                if begun {
                    world.overdue(0).await;
                }
                let (_, _, metrics) = world.tick(60, faults(call, way)).await;
                assert!(metrics.values(Metric::PipelinesOverdue).iter().all(|value| *value == 0.0), "{call} {way:?}");
                assert_eq!(world.overdue(120).await, 0.0, "{call} {way:?}");
                // What it cost is at most that the waiting began with the next tick.
                assert_eq!(world.overdue(120 + DAY + DAY / 20 + 1).await, 1.0, "{call} {way:?}");
            }
        }
    }
}
