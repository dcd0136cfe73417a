//! Pipelines that expect uploads: when they count as overdue, what is written for that, and what a fault changes.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

mod outside;

use std::{collections::BTreeMap, sync::Arc};

use outside::{Line, Outside, Turns, WAYS_AT_ONCE, Way, clock, delivery};
use serde_json::{Value, json};
use stepwell_pipeline::{
    execution::MemoryExecutions,
    metrics::{MemoryMetrics, Metric, Subject},
    store::{self, MemoryStores, ObjectRef},
};

const DAY: u64 = 24 * 60 * 60;

/// A deployment in which the pipeline `p` expects an upload every day, and `q` none.
struct World {
    stores: MemoryStores,
    executions: Arc<MemoryExecutions>,
}

impl World {
    async fn new() -> Self {
        let outside = Outside::new(Line::default());
        outside.push("p", "{ match: \"in/**\", expect_every: 1day }").await;
        outside.push("q", "{ match: \"other/**\" }").await;
        Self { stores: outside.stores, executions: outside.executions }
    }

    /// One call of the function. Gives what it answered, unless it was killed, the calls, and what it measured.
    async fn call(&self, event: Value, seconds: u64, line: Line) -> (Option<Value>, usize, Arc<MemoryMetrics>) {
        clock::set_ms(seconds * 1000);
        let metrics = Arc::new(MemoryMetrics::default());
        let mut outside = Outside::with(self.stores.clone(), self.executions.clone(), line);
        outside.ports.context.metrics = metrics.clone();
        let answer = outside.send(event).await;
        let answer = answer.map(|answer| answer.unwrap_or_else(|error| json!({"error": error.report()})));
        (answer, outside.line.calls(), metrics)
    }

    async fn upload(&self, keys: &[&str], seconds: u64, line: Line) -> (bool, usize) {
        let body = |key: &&str| {
            let event = json!({
                "detail-type": "Object Created",
                "detail": {
                    "bucket": {"name": "landing"},
                    "object": {"key": key, "size": 1, "version-id": key, "sequencer": "01"},
                },
            });
            event.to_string()
        };
        let bodies: Vec<String> = keys.iter().map(body).collect();
        let event = delivery(bodies.iter().map(String::as_str).enumerate(), 1);
        let (answer, calls, _) = self.call(event, seconds, line).await;
        (answer == Some(json!({"batchItemFailures": []})), calls)
    }

    async fn tick(&self, seconds: u64, line: Line) -> (bool, usize, Arc<MemoryMetrics>) {
        let moment = chrono::DateTime::from_timestamp(i64::try_from(seconds).unwrap(), 0).unwrap().to_rfc3339();
        let (answer, calls, metrics) = self.call(json!({ "tick": moment }), 0, line).await;
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
    Line::new(&BTreeMap::from([(call, way)]), Turns::Never)
}

#[tokio::test]
async fn a_pipeline_is_overdue_once_it_waits_longer_than_it_says() {
    let world = World::new().await;
    // The first tick begins to wait.
    assert_eq!(world.overdue(0).await, 0.0);
    assert_eq!(world.overdue(DAY + DAY / 20).await, 0.0);
    assert_eq!(world.overdue(DAY + DAY / 20 + 1).await, 1.0);
    assert!(world.upload(&["in/a.csv"], 2 * DAY, Line::default()).await.0);
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
    assert!(world.upload(&["in/a.csv", "in/b.csv", "in/c.csv"], 1000, Line::default()).await.0);
    assert_eq!(world.document().await, Some(json!({"arrived_ms": 1_000_000})));
    // A twentieth of a day later, less a second: not worth a write.
    assert!(world.upload(&["in/d.csv"], 1000 + DAY / 20 - 1, Line::default()).await.0);
    assert_eq!(world.document().await, Some(json!({"arrived_ms": 1_000_000})));
    assert!(world.upload(&["in/e.csv"], 1000 + DAY / 20, Line::default()).await.0);
    assert_eq!(world.document().await, Some(json!({"arrived_ms": (1000 + DAY / 20) * 1000})));
    // One call of the function asks once for each pipeline; what more the second upload takes is its start.
    let (_, alone) = world.upload(&["in/f.csv"], 2000, Line::default()).await;
    let (_, two) = world.upload(&["in/g.csv", "in/h.csv"], 2000, Line::default()).await;
    assert_eq!(two, alone + 1);
}

#[tokio::test]
async fn uploads_of_other_pipelines_do_not_count() {
    let world = World::new().await;
    assert!(world.upload(&["other/a.csv"], 1000, Line::default()).await.0);
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
            assert!(world.upload(&["in/a.csv"], 2 * DAY, Line::default()).await.0);
        }
        assert_eq!(world.document().await, Some(json!({"arrived_ms": moment * 1000})));
    }
}

#[tokio::test]
async fn whatever_call_of_an_upload_goes_wrong_its_repetition_notes_it_and_starts_one_execution() {
    let calls = World::new().await.upload(&["in/a.csv"], 1000, Line::default()).await.1;
    assert!(calls >= 3, "specs, the document read and written: {calls}");
    for call in 0..calls {
        for way in WAYS_AT_ONCE {
            let world = World::new().await;
            world.upload(&["in/a.csv"], 1000, faults(call, way)).await;
            // The queue brings it again, unless it was handled.
            assert!(world.upload(&["in/a.csv"], 1001, Line::default()).await.0, "{call} {way:?}");
            let noted = world.document().await.expect("noted")["arrived_ms"].as_u64().unwrap();
            assert!([1_000_000, 1_001_000].contains(&noted), "{call} {way:?}: {noted}");
            assert_eq!(world.executions.started().len(), 1, "{call} {way:?}");
        }
    }
}

#[tokio::test]
async fn an_upload_is_not_handled_before_it_is_noted() {
    let calls = World::new().await.upload(&["in/a.csv"], 1000, Line::default()).await.1;
    for call in 0..calls {
        let world = World::new().await;
        let (is_handled, _) = world.upload(&["in/a.csv"], 1000, faults(call, Way::FailsBefore)).await;
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
            for way in WAYS_AT_ONCE {
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
