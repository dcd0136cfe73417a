//! What lineage is told of an execution's end, and that nothing else comes of it.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};
use stepwell_notify::handler;
use stepwell_pipeline::{
    ErrorKind, StageError,
    handoff::{Commit, Loaded},
    lineage::{ColumnLineage, ColumnSource, Effect, Lineage, MemoryLineage, TableColumn, Transformation, run_uuid},
    manifest::{Report, Timing, Timings, TransformManifest},
    notice::{Notice, Notifier},
    progress::Unwatched,
    run::{Run, Source, digest},
    stage::{Buckets, Stage, StageContext},
    store::{self, MemoryStores, ObjectRef},
};

const EXECUTION: &str = "arn:aws:states:eu-west-1:1:execution:etl:n1";
const SPEC: &str = "pipeline: flights\nsource: { match: \"flights/*\" }\nschema:\n  - { name: a, type: int8 }\n\
                    load: { target: parquet, path: lake/flights/ }\nnotify: { on: [] }\n";

#[derive(Debug, Default)]
struct Notices {
    published: Mutex<usize>,
    refuse: bool,
}

#[async_trait]
impl Notifier for Notices {
    async fn publish(&self, _: &Notice) -> Result<(), StageError> {
        if self.refuse {
            return Err(StageError::new(ErrorKind::TargetUnavailable, "refused"));
        }
        *self.published.lock().unwrap() += 1;
        Ok(())
    }
}

/// A deployment with one pipeline, whose lineage goes to the sink.
async fn deployment(sink: &Arc<MemoryLineage>) -> StageContext {
    let buckets = Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() };
    let context = StageContext::new(Arc::new(MemoryStores::default()), buckets, Arc::new(Unwatched));
    for key in [run().spec_key(), "pipelines/flights.yaml".into()] {
        store::put(&*context.stores, &ObjectRef::new("work", key), SPEC).await.expect("written");
    }
    let lineage = Some(Lineage::new(sink.clone(), "tests"));
    StageContext { lineage, ..context }.of_execution(EXECUTION)
}

fn run() -> Run {
    let source = Source {
        bucket: "landing".into(),
        key: "flights/a.csv".into(),
        version: Some("v".into()),
        etag: "e".into(),
        size: 1,
        modified_ms: 0,
        sequencer: None,
    };
    Run::new("flights", &digest(SPEC.as_bytes()), source)
}

async fn loaded(context: &StageContext, commit: Commit, generation: u64) -> Value {
    let loaded = Loaded {
        run: run(),
        table: ObjectRef::new("lake", "flights/"),
        commit,
        manifest: "flights/_stepwell/c.json".into(),
        report: run().prefix() + "report.json",
        records_read: 10,
        records_rejected: 1,
        records_filtered: Some(0),
        records_loaded: 9,
        bytes_loaded: 99,
    };
    let moment = |started_ms| Timing { started_ms, duration_ms: 500 };
    let report = Report {
        run: run(),
        batch: None,
        table: loaded.table.to_string(),
        commit,
        generation,
        records_read: 10,
        records_rejected: 1,
        records_in: 9,
        records_out: 9,
        records_filtered: Some(0),
        records_duplicate: None,
        records_loaded: 9,
        bytes_read: 100,
        bytes_loaded: 99,
        files: Vec::new(),
        rejects: None,
        reasons: Vec::new(),
        profile: Vec::new(),
        timings: Timings { extract: moment(1000), transform: moment(2000), load: moment(3000) },
        cost: None,
        code_version: "0".into(),
    };
    let source = ColumnSource {
        table: "input".into(),
        column: "a".into(),
        transformations: vec![Transformation::of(Effect::Identity)],
    };
    let manifest = TransformManifest {
        run: run(),
        files: Vec::new(),
        records_in: 9,
        records_out: 9,
        records_filtered: Some(0),
        records_duplicate: None,
        bytes_out: 99,
        bytes_spilled: 0,
        columns: vec![TableColumn { name: "b".into(), data_type: "int8".into() }],
        lineage: Some(ColumnLineage { columns: [("b".to_owned(), vec![source])].into(), dataset: Vec::new() }),
        timing: Timing::default(),
        code_version: "0".into(),
    };
    let in_work = |key: &str| ObjectRef::new("work", key);
    store::put_json(&*context.stores, &in_work(&loaded.report), &report).await.expect("written");
    let key = run().stage_key(Stage::Transform, "manifest.json");
    store::put_json(&*context.stores, &in_work(&key), &manifest).await.expect("written");
    json!({ "action": "notify_success", "loaded": loaded })
}

fn failure(input: Value) -> Value {
    json!({
        "action": "notify_failure",
        "failure": {
            "stage": "Transform",
            "error": { "Error": "TransformFailed", "Cause": "{\"errorMessage\": \"division by zero\"}" },
            "input": input,
            "execution": { "Id": EXECUTION, "Name": "n1", "RedriveCount": 0 },
        },
    })
}

fn ended(status: &str, input: &Value) -> Value {
    let detail = json!({
        "executionArn": EXECUTION, "name": "n1", "status": status, "input": input.to_string(), "stopDate": 7_000,
    });
    json!({ "action": "execution_ended", "ended": detail })
}

fn only(sink: &MemoryLineage) -> Value {
    let events = sink.events();
    assert_eq!(events.len(), 1);
    json!(events[0])
}

#[tokio::test]
async fn a_loaded_run_is_complete_whether_or_not_anybody_wants_a_notice() {
    for (commit, generation, change) in [
        (Commit::Committed, 0, None),
        (Commit::Committed, 3, Some("OVERWRITE")),
        (Commit::AlreadyCommitted, 3, None),
        (Commit::Superseded, 0, None),
    ] {
        let sink = Arc::new(MemoryLineage::default());
        let context = deployment(&sink).await;
        let request = loaded(&context, commit, generation).await;
        assert_eq!(handler(&context, &Notices::default(), request).await.expect("handled")["notified"], false);
        let event = only(&sink);
        assert_eq!(
            (&event["eventType"], &event["eventTime"]),
            (&json!("COMPLETE"), &json!("1970-01-01T00:00:03.500Z"))
        );
        assert_eq!(event["run"]["runId"], json!(run_uuid(EXECUTION)));
        let table = &event["outputs"][0];
        let changed = table["facets"].get("lifecycleStateChange").map(|facet| &facet["lifecycleStateChange"]);
        assert_eq!(changed, change.map(|change| json!(change)).as_ref(), "{commit:?}");
        let inputs = &table["facets"]["columnLineage"]["fields"]["b"]["inputFields"];
        assert_eq!((&inputs[0]["name"], &inputs[0]["field"]), (&json!("flights/a.csv"), &json!("a")));
        assert_eq!(event["inputs"][0]["inputFacets"]["dataQualityMetrics"]["rowCount"], 9);
    }
}

#[tokio::test]
async fn a_repetition_tells_the_same() {
    let sink = Arc::new(MemoryLineage::default());
    let context = deployment(&sink).await;
    for _ in 0..2 {
        let request = loaded(&context, Commit::Committed, 0).await;
        handler(&context, &Notices::default(), request).await.expect("handled");
    }
    let events = sink.events();
    assert_eq!(events.len(), 2);
    assert_eq!(json!(events[0]), json!(events[1]));
}

#[tokio::test]
async fn a_failure_is_told_once_with_its_error() {
    let sink = Arc::new(MemoryLineage::default());
    let context = deployment(&sink).await;
    let notices = Notices::default();
    let input = json!({ "run": run(), "manifest": "m" });
    handler(&context, &notices, failure(input.clone())).await.expect("handled");
    handler(&context, &notices, failure(input.clone())).await.expect("handled");
    handler(&context, &notices, ended("FAILED", &input)).await.expect("handled");
    let event = only(&sink);
    assert_eq!(event["eventType"], "FAIL");
    assert_eq!(event["run"]["facets"]["errorMessage"]["message"], "TransformFailed: division by zero");
    assert_eq!(event["inputs"][0]["facets"]["version"]["datasetVersion"], "v");
    assert_eq!(*notices.published.lock().unwrap(), 0);
}

#[tokio::test]
async fn what_no_catch_sees_is_told_of_the_pipeline_that_would_have_run() {
    let request = json!({ "bucket": "landing", "key": "flights/a.csv" });
    for (status, expected, message) in
        [("ABORTED", "ABORT", "ABORTED"), ("TIMED_OUT", "FAIL", "TIMED_OUT"), ("FAILED", "FAIL", "FAILED")]
    {
        let sink = Arc::new(MemoryLineage::default());
        let context = deployment(&sink).await;
        handler(&context, &Notices::default(), ended(status, &request)).await.expect("handled");
        let event = only(&sink);
        assert_eq!((&event["eventType"], &event["eventTime"]), (&json!(expected), &json!("1970-01-01T00:00:07.000Z")));
        assert_eq!((&event["job"]["name"], &event["run"]["runId"]), (&json!("flights"), &json!(run_uuid(EXECUTION))));
        assert_eq!(event["run"]["facets"]["errorMessage"]["message"], message);
        assert_eq!(event["inputs"][0]["name"], "flights/a.csv");
        assert_eq!(event["outputs"][0]["name"], "flights");
    }
}

#[tokio::test]
async fn a_failure_of_no_pipeline_is_told_to_people_only() {
    for input in [json!({ "bucket": "landing", "key": "other/a.csv" }), json!("no request")] {
        let sink = Arc::new(MemoryLineage::default());
        let context = deployment(&sink).await;
        let notices = Notices::default();
        handler(&context, &notices, failure(input)).await.expect("handled");
        assert_eq!((sink.events().len(), *notices.published.lock().unwrap()), (0, 1));
    }
}

#[tokio::test]
async fn lineage_that_cannot_be_told_changes_nothing() {
    let refused = || StageError::new(ErrorKind::AccessDenied, "refused");
    let sink = Arc::new(MemoryLineage::refusing(vec![refused(), refused(), refused()]));
    let context = deployment(&sink).await;
    let notices = Notices::default();
    let request = loaded(&context, Commit::Committed, 0).await;
    assert!(handler(&context, &notices, request).await.is_ok());
    assert!(handler(&context, &notices, failure(json!({ "run": run() }))).await.is_ok());
    let aborted = ended("ABORTED", &json!({ "bucket": "landing", "key": "flights/a.csv" }));
    // The failure was told before: whoever stopped the execution did so after it had failed.
    assert!(handler(&context, &notices, aborted).await.is_ok());
    // Without a report or a spec there is no event.
    let sink = Arc::new(MemoryLineage::default());
    let context = deployment(&sink).await;
    let request = loaded(&context, Commit::Committed, 0).await;
    store::delete(&*context.stores, &ObjectRef::new("work", run().spec_key())).await.expect("removed");
    assert!(handler(&context, &Notices::default(), request).await.is_ok());
    assert_eq!(sink.events().len(), 0);
}

#[tokio::test]
async fn lineage_is_told_though_the_notice_cannot_be_sent() {
    let sink = Arc::new(MemoryLineage::default());
    let context = deployment(&sink).await;
    let notices = Notices { refuse: true, ..Notices::default() };
    let request = json!({ "bucket": "landing", "key": "flights/a.csv" });
    assert!(handler(&context, &notices, ended("ABORTED", &request)).await.is_err());
    assert_eq!(only(&sink)["eventType"], "ABORT");
}
