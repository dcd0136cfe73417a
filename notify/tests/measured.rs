//! What is counted of executions: each once, whichever way its end is told, and with what it cost.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use stepwell_notify::{NotifyError, handler};
use stepwell_pipeline::{
    ErrorKind, StageError,
    metrics::{MemoryMetrics, Metric, Subject},
    notice::{Notice, Notifier},
    progress::Unwatched,
    stage::{Buckets, StageContext},
    store::MemoryStores,
};

#[derive(Debug)]
struct Topic(Option<ErrorKind>);

#[async_trait]
impl Notifier for Topic {
    async fn publish(&self, _: &Notice) -> Result<(), StageError> {
        self.0.map_or(Ok(()), |kind| Err(StageError::new(kind, "refused")))
    }
}

struct World {
    metrics: Arc<MemoryMetrics>,
    context: StageContext,
}

impl World {
    fn new() -> Self {
        let metrics = Arc::new(MemoryMetrics::default());
        let buckets = Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() };
        let context = StageContext::new(Arc::new(MemoryStores::default()), buckets, Arc::new(Unwatched));
        Self { context: StageContext { metrics: metrics.clone(), ..context }, metrics }
    }

    async fn tell(&self, input: Value) -> Result<Value, NotifyError> {
        handler(&self.context, &Topic(None), input).await
    }
}

fn run() -> Value {
    json!({
        "id": "flights-1", "pipeline": "flights", "spec_digest": "d",
        "source": {"bucket": "landing", "key": "in/a.csv", "etag": "e", "size": 1, "modified_ms": 0},
    })
}

fn success() -> Value {
    json!({"action": "notify_success", "loaded": {
        "run": run(), "table": {"bucket": "lake", "key": "flights/"}, "commit": "committed",
        "manifest": "m", "report": "r", "records_read": 2, "records_rejected": 0, "records_loaded": 2,
        "bytes_loaded": 9, "usage": {"cost_usd": 0.0125},
    }})
}

fn failure() -> Value {
    json!({"action": "notify_failure", "failure": {
        "stage": "Transform", "error": {"Error": "TransformFailed", "Cause": "{}"},
        "input": {"run": run(), "usage": {"cost_usd": 0.5}},
        "execution": {"Id": "arn:e", "Name": "e", "RedriveCount": 0},
    }})
}

fn ended() -> Value {
    let input = json!({"bucket": "landing", "key": "in/a.csv", "pipeline": "flights"}).to_string();
    json!({"action": "execution_ended", "ended": {
        "executionArn": "arn:e", "name": "e", "status": "FAILED", "input": input, "redriveCount": 0,
    }})
}

#[tokio::test]
async fn a_success_is_counted_with_its_cost() {
    let world = World::new();
    world.tell(success()).await.expect("told");
    let emitted = world.metrics.emitted();
    assert_eq!(emitted.len(), 1);
    let subject = Subject::Run { pipeline: Some("flights".into()), run_id: Some("flights-1".into()) };
    assert_eq!(emitted[0].subject, subject);
    assert_eq!(emitted[0].values, [(Metric::RunsSucceeded, 1.0), (Metric::CostUsd, 0.0125)]);
}

#[tokio::test]
async fn a_handoff_that_says_no_cost_gives_none() {
    let world = World::new();
    let mut success = success();
    success["loaded"].as_object_mut().expect("an object").remove("usage");
    world.tell(success).await.expect("told");
    assert_eq!(world.metrics.values(Metric::RunsSucceeded), [1.0]);
    assert_eq!(world.metrics.values(Metric::CostUsd), [0.0; 0]);
}

#[tokio::test]
async fn a_failure_is_counted_once_whoever_tells_it_first() {
    for order in [[failure(), ended()], [ended(), failure()], [failure(), failure()], [ended(), ended()]] {
        let world = World::new();
        for input in order {
            world.tell(input).await.expect("told");
        }
        assert_eq!(world.metrics.values(Metric::RunsFailed), [1.0]);
        let Subject::Run { pipeline, .. } = &world.metrics.emitted()[0].subject else { unreachable!("of a run") };
        assert_eq!(pipeline.as_deref(), Some("flights"));
    }
}

#[tokio::test]
async fn what_a_failed_run_cost_until_then_is_counted() {
    let world = World::new();
    world.tell(failure()).await.expect("told");
    assert_eq!(world.metrics.values(Metric::CostUsd), [0.5]);
}

#[tokio::test]
async fn a_notice_that_does_not_go_out_is_counted_and_the_run_when_it_does() {
    let world = World::new();
    let mute = Topic(Some(ErrorKind::AccessDenied));
    for input in [success(), failure(), ended()] {
        handler(&world.context, &mute, input).await.expect_err("refused");
    }
    assert_eq!(world.metrics.values(Metric::NoticesFailed), [1.0; 3]);
    assert_eq!(world.metrics.values(Metric::RunsFailed), [0.0; 0]);
    world.tell(ended()).await.expect("told");
    assert_eq!(world.metrics.values(Metric::RunsFailed), [1.0]);
}
