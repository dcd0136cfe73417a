//! A name that is taken need not have ended: Step Functions gives `ExecutionAlreadyExists`, too, for an execution that runs
//! with another input (Step Functions API Reference, `StartExecution`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use serde_json::json;
use stepwell_pipeline::{
    StageError,
    execution::{Described, ExecutionState, Executions, Started},
    link::MemoryLinks,
    progress::Unwatched,
    queue::MemoryQueue,
    request::RunRequest,
    stage::{Buckets, StageContext},
    store::{self, MemoryStores, ObjectRef},
};
use stepwell_trigger::{Ports, handler};

/// Executions that somebody else started with another input.
#[derive(Debug)]
struct Taken {
    asked: Mutex<BTreeSet<String>>,
    state: ExecutionState,
}

#[async_trait]
impl Executions for Taken {
    async fn start(&self, name: &str, _: &RunRequest) -> Result<Started, StageError> {
        self.asked.lock().unwrap().insert(name.to_owned());
        Ok(Started::AlreadyDone)
    }

    async fn describe(&self, _: &str) -> Result<Option<Described>, StageError> {
        Ok(Some(Described { state: self.state.clone(), started_ms: 0, ended_ms: None }))
    }
}

/// How many of two uploads are started with one slot.
async fn started(state: ExecutionState) -> usize {
    let stores = MemoryStores::default();
    let spec = "pipeline: p\nsource: { match: \"in/*\" }\nschema:\n  - { name: a, type: int8 }\n\
                load: { target: parquet, path: lake/p/ }\n";
    store::put(&stores, &ObjectRef::new("work", "pipelines/p.yaml"), spec).await.unwrap();
    let taken = Arc::new(Taken { asked: Mutex::default(), state });
    let ports = Ports {
        context: StageContext::new(
            Arc::new(stores),
            Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() },
            Arc::new(Unwatched),
        ),
        executions: taken.clone(),
        queue: Arc::new(MemoryQueue::default()),
        links: Arc::new(MemoryLinks),
        events_queue: "events".to_owned(),
        receives_max: 5,
        running_max: Some(1),
    };
    let record = |key: &str| {
        let object = json!({ "key": key, "size": 1, "eTag": key, "sequencer": "01" });
        json!({ "eventName": "ObjectCreated:Put", "s3": { "bucket": { "name": "landing" }, "object": object } })
    };
    handler(&ports, json!({ "Records": [record("in/a"), record("in/b")] })).await.unwrap();
    taken.asked.lock().unwrap().len()
}

#[tokio::test]
async fn what_runs_with_another_input_keeps_its_slot() {
    assert_eq!(started(ExecutionState::Running).await, 1);
    assert_eq!(started(ExecutionState::Succeeded(json!(null))).await, 2);
}
