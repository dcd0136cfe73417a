//! A deployment in memory, with a clock of its own, and the requests of a client.

use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::ObjectStore;
use serde_json::{Value, json};
use stepwell_pipeline::{
    execution::{ExecutionState, MemoryExecutions},
    handoff::{Commit, Loaded},
    manifest::{CommittedFile, RejectFiles, Report, Timing, Timings},
    progress::Unwatched,
    queue::MemoryQueue,
    run::{Run, Source},
    stage::{Buckets, StageContext},
    store::{self, MemoryStores, ObjectRef, Stores},
};
use stepwell_trigger::{Ports, handler};

use crate::{
    disturbance::{Disturbed, Line, Way},
    disturbed::{DisturbedExecutions, DisturbedLinks, DisturbedQueue},
};

thread_local! {
    /// Seconds since 1970. Each test has a thread of its own.
    static CLOCK: Cell<u64> = const { Cell::new(1_767_225_600) };
}

fn clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(CLOCK.get())
}

pub(crate) fn pass(seconds: u64) {
    CLOCK.set(CLOCK.get() + seconds);
}

pub(crate) struct Deployment {
    pub(crate) ports: Ports,
    pub(crate) stores: MemoryStores,
    pub(crate) executions: Arc<MemoryExecutions>,
    pub(crate) queue: Arc<MemoryQueue>,
    pub(crate) line: Arc<Line>,
    requests: Mutex<usize>,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u64,
    pub(crate) headers: Value,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_default()
    }
}

impl Deployment {
    /// With pipelines of those names and patterns.
    pub(crate) async fn new(pipelines: &[(&str, &str)]) -> Self {
        Self::disturbed(pipelines, BTreeMap::new()).await
    }

    pub(crate) async fn disturbed(pipelines: &[(&str, &str)], faults: BTreeMap<usize, Way>) -> Self {
        let stores = MemoryStores::default();
        for (name, pattern) in pipelines {
            let spec = format!(
                "pipeline: {name}\nsource: {{ match: \"{pattern}\" }}\nschema:\n  - {{ name: a, type: int8 }}\n\
                 load: {{ target: parquet, path: lake/{name}/ }}\n"
            );
            store::put(&stores, &ObjectRef::new("work", format!("pipelines/{name}.yaml")), spec).await.unwrap();
        }
        let line = Arc::new(Line::with(faults));
        let context = StageContext::new(
            Arc::new(Disturbed(stores.clone(), line.clone())),
            Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() },
            Arc::new(Unwatched),
        );
        let (executions, queue) = (Arc::new(MemoryExecutions::default()), Arc::new(MemoryQueue::default()));
        let ports = Ports {
            context: StageContext { now: clock, ..context },
            executions: Arc::new(DisturbedExecutions(executions.clone(), line.clone())),
            queue: Arc::new(DisturbedQueue(queue.clone(), line.clone())),
            links: Arc::new(DisturbedLinks(line.clone())),
            events_queue: "events".to_owned(),
            receives_max: 5,
            running_max: None,
        };
        Self { ports, stores, executions, queue, line, requests: Mutex::default() }
    }

    /// Lets the function handle an event; nothing where it was killed over it.
    pub(crate) async fn handle(&self, event: Value) -> Option<Result<Value, stepwell_pipeline::StageError>> {
        tokio::select! {
            biased;
            answer = handler(&self.ports, event) => Some(answer),
            () = self.line.killed.notified() => None,
        }
    }

    pub(crate) async fn send(&self, event: Value) -> Answer {
        self.handle(event).await.map_or(
            // What API Gateway says for a function that died.
            Answer { status: 500, headers: json!({}), body: json!({}) },
            |answer| {
                let answer = answer.unwrap();
                let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
                Answer { status: answer["statusCode"].as_u64().unwrap(), headers: answer["headers"].clone(), body }
            },
        )
    }

    /// A request as API Gateway sends it.
    pub(crate) fn request(&self, method: &str, path: &str) -> Value {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut requests = self.requests.lock().unwrap();
        *requests += 1;
        let mut event: Value = serde_json::from_str(include_str!("../fixtures/http-iam.json")).unwrap();
        event["rawPath"] = json!(path);
        event["rawQueryString"] = json!(query);
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        event["queryStringParameters"] = pairs.map(|(name, value)| (name.to_owned(), json!(value))).collect();
        event["requestContext"]["http"]["method"] = json!(method);
        event["requestContext"]["requestId"] = json!(format!("request-{requests}"));
        event["body"] = Value::Null;
        event
    }

    pub(crate) fn post_event(&self, body: &Value) -> Value {
        let mut event = self.request("POST", "/jobs");
        event["body"] = json!(body.to_string());
        event["headers"]["content-type"] = json!("application/json");
        event
    }

    pub(crate) async fn post(&self, body: Value) -> Answer {
        self.send(self.post_event(&body)).await
    }

    pub(crate) async fn post_with_key(&self, key: &str, body: Value) -> Answer {
        let mut event = self.post_event(&body);
        event["headers"]["idempotency-key"] = json!(key);
        self.send(event).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path)).await
    }

    pub(crate) async fn tick(&self) -> Option<Result<Value, stepwell_pipeline::StageError>> {
        let now = DateTime::<Utc>::from(clock());
        self.handle(json!({ "tick": now.to_rfc3339() })).await
    }

    /// Puts an object into the landing bucket.
    pub(crate) async fn land(&self, key: &str) {
        store::put(&self.stores, &ObjectRef::new("landing", key), "a\n1\n").await.unwrap();
    }

    /// The event of an object.
    pub(crate) fn created(key: &str, sequencer: &str) -> Value {
        let mut event: Value = serde_json::from_str(include_str!("../fixtures/eventbridge.json")).unwrap();
        event["detail"]["bucket"]["name"] = json!("landing");
        event["detail"]["object"]["key"] = json!(key);
        event["detail"]["object"]["sequencer"] = json!(sequencer);
        event
    }

    pub(crate) fn ended(name: &str, status: &str) -> Value {
        json!({
            "source": "aws.states",
            "detail-type": "Step Functions Execution Status Change",
            "detail": { "name": name, "status": status },
        })
    }

    /// Lets an execution succeed, with a report.
    pub(crate) async fn succeed(&self, name: &str) {
        let source = Source {
            bucket: "landing".into(),
            key: "in/a.csv".into(),
            version: None,
            etag: "e".into(),
            size: 4,
            modified_ms: 0,
            sequencer: None,
        };
        let run = Run::new("all", "0123456789abcdef", source);
        let loaded = Loaded {
            run: run.clone(),
            table: ObjectRef::new("lake", "all/"),
            commit: Commit::Committed,
            manifest: "all/_stepwell/commits/1.json".into(),
            report: format!("{}report.json", run.prefix()),
            records_read: 5,
            records_rejected: 1,
            records_filtered: Some(1),
            records_loaded: 3,
            bytes_loaded: 30,
        };
        let none = Timing::default();
        let report = Report {
            run: run.clone(),
            batch: None,
            table: "s3://lake/all/".into(),
            commit: Commit::Committed,
            generation: 1,
            records_read: 5,
            records_rejected: 1,
            records_in: 4,
            records_out: 3,
            records_filtered: Some(1),
            records_duplicate: None,
            records_loaded: 3,
            bytes_read: 4,
            bytes_loaded: 30,
            files: vec![CommittedFile { key: "all/1.parquet".into(), records: 3, bytes: 30 }],
            rejects: Some(RejectFiles {
                records: format!("{}rejects.csv", run.prefix()),
                reasons: format!("{}reasons.ndjson", run.prefix()),
                further: Vec::new(),
            }),
            reasons: Vec::new(),
            profile: Vec::new(),
            timings: Timings { extract: none, transform: none, load: none },
            cost: None,
            code_version: "0".into(),
        };
        store::put_json(&self.stores, &ObjectRef::new("work", &loaded.report), &report).await.unwrap();
        self.executions.end(name, ExecutionState::Succeeded(json!(loaded)));
    }

    pub(crate) async fn keys(&self, prefix: &str) -> Vec<String> {
        let bucket = self.stores.bucket("work").unwrap();
        let listed = bucket.list(Some(&store::path(prefix).unwrap()));
        listed.map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap()
    }

    /// The calls that the function has made.
    pub(crate) fn calls(&self) -> usize {
        self.line.calls()
    }
}
