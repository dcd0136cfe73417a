//! A deployment, with a clock of its own, and the requests of a client.

use std::sync::Mutex;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use stepwell_pipeline::{
    StageError,
    execution::ExecutionState,
    handoff::{Commit, Loaded},
    manifest::{CommittedFile, RejectFiles, Report, Timing, Timings},
    run::{Run, Source},
    store::{self, ObjectRef},
};

use crate::outside::{Faults, Line, Outside, Turns, clock};

pub(crate) fn pass(seconds: u64) {
    clock::pass_ms(seconds * 1000);
}

pub(crate) struct Deployment {
    pub(crate) outside: Outside,
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
        Self::disturbed(pipelines, Faults::default()).await
    }

    pub(crate) async fn disturbed(pipelines: &[(&str, &str)], faults: impl Into<Faults>) -> Self {
        let outside = Outside::new(Line::new(faults, Turns::Never));
        for (name, pattern) in pipelines {
            outside.push(name, &format!("{{ match: \"{pattern}\" }}")).await;
        }
        Self { outside, requests: Mutex::default() }
    }

    /// Lets the function handle an event; nothing where it was killed over it.
    pub(crate) async fn handle(&self, event: Value) -> Option<Result<Value, StageError>> {
        self.outside.send(event).await
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

    pub(crate) async fn tick(&self) -> Option<Result<Value, StageError>> {
        let now = DateTime::<Utc>::from(clock::now());
        self.handle(json!({ "tick": now.to_rfc3339() })).await
    }

    /// Puts an object into the landing bucket.
    pub(crate) async fn land(&self, key: &str) {
        self.outside.put("landing", key, "a\n1\n").await;
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
        store::put_json(&self.outside.stores, &ObjectRef::new("work", &loaded.report), &report).await.unwrap();
        self.outside.executions.end(name, ExecutionState::Succeeded(json!(loaded)));
    }

    pub(crate) async fn keys(&self, prefix: &str) -> Vec<String> {
        self.outside.keys("work", prefix).await
    }

    /// The calls that the function has made.
    pub(crate) fn calls(&self) -> usize {
        self.outside.line.calls()
    }
}
