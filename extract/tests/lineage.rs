//! What lineage is told of a source: once, when the execution begins.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use serde_json::{Value, json};
use stepwell_extract::extract;
use stepwell_pipeline::{
    ErrorKind, StageError,
    handoff::Round,
    lineage::{Lineage, MemoryLineage, run_uuid},
    progress::Unwatched,
    request::RunRequest,
    stage::{Buckets, Budget, Limits, StageContext},
    store::{self, MemoryStores, ObjectRef},
};

#[derive(Debug)]
struct Spent;

impl Budget for Spent {
    fn is_spent(&self) -> bool {
        true
    }
}

async fn deployment(sink: &Arc<MemoryLineage>, tolerate: &str) -> StageContext {
    let buckets = Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() };
    let spec = format!(
        "pipeline: orders\nsource: {{ match: \"in/*.csv\" }}\nschema:\n  - {{ name: id, type: int32 }}\n\
         rejects: {{ tolerate: \"{tolerate}\" }}\nload: {{ target: parquet, path: lake/orders/ }}\n"
    );
    let context = StageContext {
        budget: Arc::new(Spent),
        limits: Limits { part_bytes: 1000, batch_records: 16, ..Limits::default() },
        lineage: Some(Lineage::new(sink.clone(), "tests")),
        ..StageContext::new(Arc::new(MemoryStores::default()), buckets, Arc::new(Unwatched))
    };
    let csv: String =
        (0..2000).map(|number| format!("{}\n", if number == 7 { "x".into() } else { number.to_string() })).collect();
    for (bucket, key, text) in [("work", "pipelines/orders.yaml", spec), ("landing", "in/a.csv", format!("id\n{csv}"))]
    {
        store::put(&*context.stores, &ObjectRef::new(bucket, key), text).await.expect("written");
    }
    context.of_execution("arn:1")
}

/// The stage to its end, its rounds going through JSON as in the state machine. Gives how many there were.
async fn to_the_end(context: &StageContext, key: &str) -> Result<usize, StageError> {
    let mut input = json!({ "bucket": "landing", "key": key });
    for rounds in 1.. {
        let ended = extract(context, RunRequest::parse(&input)?).await?;
        input = json!(ended);
        if let Round::Done(_) = ended {
            return Ok(rounds);
        }
    }
    Ok(0)
}

fn types(sink: &MemoryLineage) -> Vec<Value> {
    sink.events().iter().map(|event| json!(event)["eventType"].take()).collect()
}

#[tokio::test]
async fn an_execution_of_many_rounds_begins_once() {
    let sink = Arc::new(MemoryLineage::default());
    let context = deployment(&sink, "1%").await;
    let rounds = to_the_end(&context, "in/a.csv").await.expect("extracted");
    assert!(rounds > 1, "{rounds}");
    assert_eq!(types(&sink), ["START"]);
    assert_eq!(sink.events()[0].run_id(), run_uuid("arn:1"));
    // Another execution of the same run, which finds the work done, begins too.
    assert_eq!(to_the_end(&context.of_execution("arn:2"), "in/a.csv").await.expect("extracted"), 1);
    assert_eq!(types(&sink), ["START", "START"]);
    assert_eq!(sink.events()[1].run_id(), run_uuid("arn:2"));
}

#[tokio::test]
async fn too_many_rejects_are_told_with_their_conditions() {
    let sink = Arc::new(MemoryLineage::default());
    let context = deployment(&sink, "0%").await;
    let error = to_the_end(&context, "in/a.csv").await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::TooManyRejects);
    assert_eq!(types(&sink), ["START", "OTHER"]);
    let event = json!(sink.events()[1]);
    let assertions = &event["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"];
    assert_eq!((&assertions[0]["success"], &assertions[0]["actual"]), (&json!(false), &json!("1 of 2000 records")));
}

#[tokio::test]
async fn lineage_that_cannot_be_told_changes_nothing() {
    let refusal = || StageError::new(ErrorKind::AccessDenied, "refused");
    let sink = Arc::new(MemoryLineage::refusing(vec![refusal(), refusal()]));
    let context = deployment(&sink, "1%").await;
    to_the_end(&context, "in/a.csv").await.expect("extracted");
    assert_eq!(types(&sink), Vec::<Value>::new());
}

#[tokio::test]
async fn before_there_is_a_run_nothing_is_told() {
    let sink = Arc::new(MemoryLineage::default());
    let context = deployment(&sink, "1%").await;
    let error = to_the_end(&context, "in/gone.csv").await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::SourceMissing);
    assert_eq!(types(&sink), Vec::<Value>::new());
}
