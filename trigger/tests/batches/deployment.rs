//! A deployment with one pipeline, which loads batches.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use stepwell_pipeline::{
    StageError,
    batch::{BATCHES_PREFIX, BatchList},
    queue::DeathCause,
    request::RunRequest,
    run::Source,
    store::{self, ObjectRef},
};

use crate::outside::{Faults, Line, Outside, Turns};

pub(crate) struct Deployment {
    pub(crate) outside: Outside,
}

impl Deployment {
    /// One in which all goes well.
    pub(crate) fn calm() -> Self {
        Self { outside: Outside::new(Line::default()) }
    }

    /// One in which those calls go wrong, and processes come between each other's calls as the seed has it.
    pub(crate) fn disturbed(faults: impl Into<Faults>, seed: u64) -> Self {
        Self { outside: Outside::new(Line::new(faults, Turns::by_chance(seed))) }
    }

    /// Pushes a pipeline of JSON Lines that is called `p`.
    pub(crate) async fn push(&self, source: &str) {
        self.outside.push("p", source).await;
    }

    /// Sends a process of its own an event. Nothing is given by one that dies.
    pub(crate) async fn send(&self, event: Value) -> Option<Result<Value, StageError>> {
        self.outside.send(event).await
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
        self.outside.put("landing", key, vec![b'x'; bytes]).await;
        let meta = store::head(&self.outside.stores, &ObjectRef::new("landing", key)).await.unwrap().unwrap();
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
        store::delete(&self.outside.stores, &ObjectRef::new("landing", key)).await.unwrap();
    }

    /// What waits to be cut.
    pub(crate) async fn waiting(&self) -> Vec<String> {
        self.outside.keys("work", "gathering/p/waiting/").await
    }

    /// The lists of batches as they are, by key. Each is of an execution that was started.
    pub(crate) async fn lists(&self) -> BTreeMap<String, BatchList> {
        let mut lists = BTreeMap::new();
        for key in self.outside.keys("work", BATCHES_PREFIX).await {
            let document = ObjectRef::new("work", &key);
            let list: BatchList = store::get_json(&self.outside.stores, &document).await.unwrap().unwrap();
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
        self.outside.executions.started().into_values().collect()
    }

    pub(crate) fn take_letters(&self) -> Vec<(String, DeathCause)> {
        self.outside.queue.take_buried()
    }

    /// Every object that is in landing is in one batch, as it is now; others may be in one.
    pub(crate) async fn assert_each_once(&self, case: &str) {
        let mut seen = BTreeSet::new();
        let lists = self.lists().await;
        let members: Vec<&Source> = lists.values().flat_map(|list| &list.members).collect();
        for member in &members {
            assert!(seen.insert(&member.key), "{case}: {} is in two batches: {lists:#?}", member.key);
        }
        for key in self.outside.keys("landing", "in/").await.into_iter().filter(|key| !key.ends_with("_SUCCESS")) {
            let meta = store::head(&self.outside.stores, &ObjectRef::new("landing", &key)).await.unwrap().unwrap();
            let member = members.iter().find(|member| member.key == key);
            let etag = member.map(|member| member.etag.clone());
            assert_eq!(etag, meta.e_tag, "{case}: {key} is in no batch, or as it was");
        }
    }
}
