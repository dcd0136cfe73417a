//! What each event starts. The fixtures are the examples of AWS's own pages: S3 User Guide ("EventBridge event message
//! structure", "Granting permissions to publish event notification messages") and Lambda Developer Guide ("Using
//! Lambda with Amazon S3", "Using Lambda with Amazon SQS").
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use serde_json::{Value, json};
use stepwell_pipeline::{
    ErrorKind, StageError,
    execution::{Described, Executions, Started},
    link::MemoryLinks,
    progress::Unwatched,
    queue::MemoryQueue,
    request::RunRequest,
    run::execution_name,
    stage::{Buckets, StageContext},
    store::{self, MemoryStores, ObjectRef},
};
use stepwell_trigger::{Ports, handler};

/// Executions that never end by themselves.
#[derive(Debug, Default)]
struct Recorded {
    started: Mutex<Vec<(String, RunRequest)>>,
    done: BTreeSet<String>,
    /// The executions of this pipeline cannot start, and why.
    refuse: Option<(ErrorKind, &'static str)>,
}

#[async_trait]
impl Executions for Recorded {
    async fn start(&self, name: &str, request: &RunRequest) -> Result<Started, StageError> {
        if let Some((kind, pipeline)) = self.refuse
            && request.pipeline.as_deref() == Some(pipeline)
        {
            return Err(StageError::new(kind, "refused"));
        }
        if self.done.contains(name) {
            return Ok(Started::AlreadyDone);
        }
        self.started.lock().unwrap().push((name.to_owned(), request.clone()));
        Ok(Started::Running)
    }

    async fn describe(&self, _: &str) -> Result<Option<Described>, StageError> {
        Ok(None)
    }
}

async fn handle(context: &StageContext, executions: &Arc<Recorded>, event: Value) -> Result<Value, StageError> {
    handler(&ports(context, executions), event).await
}

fn ports(context: &StageContext, executions: &Arc<Recorded>) -> Ports {
    Ports {
        context: context.clone(),
        executions: executions.clone(),
        queue: Arc::new(MemoryQueue::default()),
        links: Arc::new(MemoryLinks),
        events_queue: "my-queue".to_owned(),
        receives_max: 5,
        running_max: None,
    }
}

impl Recorded {
    fn requests(&self) -> Vec<RunRequest> {
        self.started.lock().unwrap().iter().map(|(_, request)| request.clone()).collect()
    }
}

async fn context(pipelines: &[(&str, &str)]) -> StageContext {
    let context = StageContext::new(
        Arc::new(MemoryStores::default()),
        Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() },
        Arc::new(Unwatched),
    );
    for (name, pattern) in pipelines {
        let spec = format!(
            "pipeline: {name}\nsource: {{ match: \"{pattern}\" }}\nschema:\n  - {{ name: a, type: int8 }}\n\
             load: {{ target: parquet, path: lake/{name}/ }}\n"
        );
        let object = ObjectRef::new("work", format!("pipelines/{name}.yaml"));
        store::put(&*context.stores, &object, spec).await.expect("written");
    }
    context
}

fn fixture(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn notification(key: &str) -> Value {
    let mut event = fixture(include_str!("fixtures/notification.json"));
    event["Records"][0]["s3"]["object"]["key"] = json!(key);
    event
}

fn bridge(key: &str) -> Value {
    let mut event = fixture(include_str!("fixtures/eventbridge.json"));
    event["detail"]["object"]["key"] = json!(key);
    event
}

fn queued(bodies: [&str; 2]) -> Value {
    let mut event = fixture(include_str!("fixtures/sqs.json"));
    for (index, body) in bodies.into_iter().enumerate() {
        event["Records"][index]["body"] = json!(body);
    }
    event
}

const FIRST: &str = "059f36b4-87a3-44ab-83d2-661975830a7d";
const SECOND: &str = "2e1424d4-f796-459a-8184-9c92662be6da";

#[tokio::test]
async fn a_notification_starts_its_pipeline_with_all_that_it_tells() {
    let (context, executions) = (context(&[("one", "*")]).await, Arc::new(Recorded::default()));
    let output = handle(&context, &executions, fixture(include_str!("fixtures/notification.json"))).await;
    let expected = RunRequest {
        bucket: "amzn-s3-demo-bucket".into(),
        key: "b21b84d653bb07b05b1e6b33684dc11b".into(),
        etag: Some("b21b84d653bb07b05b1e6b33684dc11b".into()),
        size: Some(1_305_107),
        sequencer: Some("0C0F6F405D6ED209E1".into()),
        pipeline: Some("one".into()),
        reason: Some("ObjectCreated:Put".into()),
        more: false,
        version: None,
    };
    assert_eq!(output.expect("started"), json!({"executions": [execution_name("one", &expected)]}));
    assert_eq!(executions.requests(), [expected]);
}

#[tokio::test]
async fn an_event_of_eventbridge_starts_its_pipeline_with_all_that_it_tells() {
    let (context, executions) = (context(&[("one", "*")]).await, Arc::new(Recorded::default()));
    handle(&context, &executions, fixture(include_str!("fixtures/eventbridge.json"))).await.expect("started");
    let expected = RunRequest {
        bucket: "amzn-s3-demo-bucket1".into(),
        key: "example-key".into(),
        version: Some("IYV3p45BT0ac8hjHg1houSdS1a.Mro8e".into()),
        etag: Some("b1946ac92492d2347c6235b4d2611184".into()),
        size: Some(5),
        sequencer: Some("617f08299329d189".into()),
        pipeline: Some("one".into()),
        reason: Some("PutObject".into()),
        more: false,
    };
    assert_eq!(executions.requests(), [expected]);
}

#[tokio::test]
async fn each_source_writes_keys_in_its_own_way() {
    let (context, executions) = (context(&[("one", "in/*")]).await, Arc::new(Recorded::default()));
    for event in [
        notification("in/a+b%2Bc+%C3%BC+100%25+%2520.csv"),
        bridge("in/a b+c ü 100% %20.csv"),
        queued([&notification("in/a+b%2Bc+%C3%BC+100%25+%2520.csv").to_string(), &bridge("in/a+b%20c").to_string()]),
    ] {
        handle(&context, &executions, event).await.expect("started");
    }
    let keys: Vec<_> = executions.requests().into_iter().map(|request| request.key).collect();
    let key = "in/a b+c ü 100% %20.csv";
    assert_eq!(keys, [key, key, key, "in/a+b%20c"]);
}

#[tokio::test]
async fn every_pipeline_that_fits_gets_an_execution_of_its_own() {
    let context = context(&[("all", "in/*"), ("csv", "in/*.csv"), ("other", "out/*")]).await;
    let executions = Arc::new(Recorded::default());
    handle(&context, &executions, bridge("in/a.csv")).await.expect("started");
    let pipelines: Vec<_> = executions.requests().into_iter().map(|request| request.pipeline.unwrap()).collect();
    assert_eq!(pipelines, ["all", "csv"]);
    let names: BTreeSet<_> = executions.started.lock().unwrap().iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names.len(), 2);
}

#[tokio::test]
async fn a_repeated_event_asks_for_the_same_execution() {
    let (context, executions) = (context(&[("one", "in/*")]).await, Arc::new(Recorded::default()));
    let first = handle(&context, &executions, bridge("in/a.csv")).await.expect("started");
    let name = first["executions"][0].as_str().unwrap().to_owned();
    let executions = Arc::new(Recorded { done: [name].into(), ..Recorded::default() });
    assert_eq!(handle(&context, &executions, bridge("in/a.csv")).await.expect("already done"), first);
    assert_eq!(executions.requests(), []);
}

#[tokio::test]
async fn what_creates_no_file_is_ignored() {
    let (context, executions) = (context(&[("one", "**")]).await, Arc::new(Recorded::default()));
    let mut removed = notification("in/a.csv");
    removed["Records"][0]["eventName"] = json!("ObjectRemoved:Delete");
    let mut deleted = bridge("in/a.csv");
    deleted["detail-type"] = json!("Object Deleted");
    let test = fixture(include_str!("fixtures/test-event.json"));
    for event in [removed, deleted, test.clone(), notification("in/"), bridge("in/")] {
        let output = handle(&context, &executions, event.clone()).await.expect("ignored");
        assert_eq!(output, json!({"executions": []}), "{event}");
    }
    let output = handle(&context, &executions, queued([&test.to_string(), &bridge("in/").to_string()])).await;
    assert_eq!(output.expect("ignored"), json!({"batchItemFailures": []}));
    assert_eq!(executions.requests(), []);
}

#[tokio::test]
async fn an_event_of_another_shape_is_refused() {
    let (context, executions) = (context(&[("one", "**")]).await, Arc::new(Recorded::default()));
    for event in [json!({}), json!([]), json!("in/a.csv"), json!({"Records": [{}]}), json!({"detail": {}})] {
        let error = handle(&context, &executions, event.clone()).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{event}");
    }
    let mut event = bridge("in/a.csv");
    event["detail"]["object"].as_object_mut().unwrap().remove("key");
    let error = handle(&context, &executions, event).await.expect_err("refused");
    assert_eq!(error.report(), "object: missing field `key`");
}

#[tokio::test]
async fn an_object_that_fits_no_pipeline_is_an_error_and_keeps_no_other_from_starting() {
    let (context, executions) = (context(&[("one", "in/*")]).await, Arc::new(Recorded::default()));
    let mut event = notification("out/a.csv");
    let fits = notification("in/a.csv")["Records"][0].clone();
    event["Records"].as_array_mut().unwrap().push(fits);
    let error = handle(&context, &executions, event).await.expect_err("one fits none");
    assert_eq!(error.kind(), ErrorKind::NoPipeline);
    assert_eq!(executions.requests().len(), 1);
}

#[tokio::test]
async fn a_pipeline_whose_execution_cannot_start_keeps_no_other_from_starting() {
    let context = context(&[("all", "in/*"), ("csv", "in/*.csv")]).await;
    let executions = Arc::new(Recorded { refuse: Some((ErrorKind::AccessDenied, "all")), ..Recorded::default() });
    let error = handle(&context, &executions, bridge("in/a.csv")).await.expect_err("one is refused");
    assert_eq!(error.kind(), ErrorKind::AccessDenied);
    let pipelines: Vec<_> = executions.requests().into_iter().map(|request| request.pipeline.unwrap()).collect();
    assert_eq!(pipelines, ["csv"]);
}

#[tokio::test]
async fn only_the_bad_message_goes_to_the_dead_letters() {
    let (context, executions) = (context(&[("one", "in/*")]).await, Arc::new(Recorded::default()));
    let good = bridge("in/a.csv").to_string();
    for (bad, error) in [
        ("no JSON", "InvalidInput"),
        ("{}", "InvalidInput"),
        (&bridge("out/a.csv").to_string(), "NoPipeline"),
        (&notification("in/%FF").to_string(), "InvalidInput"),
    ] {
        let dead = Arc::new(MemoryQueue::default());
        let ports = Ports { queue: dead.clone(), ..ports(&context, &executions) };
        let output = handler(&ports, queued([bad, &good])).await.expect("handled");
        assert_eq!(output, json!({"batchItemFailures": []}), "{bad}");
        let buried = dead.take_buried();
        let letters: Vec<_> = buried.iter().map(|(body, cause)| (body.as_str(), cause.error.as_str())).collect();
        assert_eq!(letters, [(bad, error)]);
    }
    assert_eq!(executions.requests().len(), 4);
}

#[tokio::test]
async fn throttled_messages_come_again() {
    let context = context(&[("one", "in/*")]).await;
    let executions = Arc::new(Recorded { refuse: Some((ErrorKind::Throttled, "one")), ..Recorded::default() });
    let body = bridge("in/a.csv").to_string();
    let output = handle(&context, &executions, queued([&body, &body])).await.expect("handled");
    assert_eq!(output, json!({"batchItemFailures": [{"itemIdentifier": FIRST}, {"itemIdentifier": SECOND}]}));
    let error = handle(&context, &executions, bridge("in/a.csv")).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Throttled);
}
