//! What the stage measures: records when they were read, and never again when the stage finds its own manifest.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use stepwell_extract::extract;
use stepwell_pipeline::{
    ErrorKind,
    handoff::Extracted,
    manifest::ExtractManifest,
    metrics::{MemoryMetrics, Metric, Subject},
    progress::Unwatched,
    request::RunRequest,
    stage::{Buckets, Stage, StageContext},
    store::{self, MemoryStores, ObjectRef},
};

const SPEC: &str = "pipeline: people\nsource: { match: \"in/*.csv\" }\nschema: [{ name: id, type: int16 }]\n\
                    rejects: { tolerate: \"30%\" }\nload: { target: parquet, path: lake/people/ }\n";

async fn landed(bytes: &'static str) -> (Arc<MemoryMetrics>, StageContext, RunRequest) {
    let metrics = Arc::new(MemoryMetrics::default());
    let buckets = Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() };
    let context = StageContext::new(Arc::new(MemoryStores::default()), buckets, Arc::new(Unwatched));
    let context = StageContext { metrics: metrics.clone(), ..context };
    store::put(&*context.stores, &ObjectRef::new("work", "pipelines/people.yaml"), SPEC).await.expect("the spec");
    store::put(&*context.stores, &ObjectRef::new("landing", "in/a.csv"), bytes).await.expect("the object");
    let request = RunRequest { bucket: "landing".into(), key: "in/a.csv".into(), ..RunRequest::default() };
    (metrics, context, request)
}

async fn extracted(context: &StageContext, request: &RunRequest) -> Extracted {
    extract(context, request.clone()).await.expect("extracted").done().expect("in one round")
}

#[tokio::test]
async fn records_are_counted_once_however_often_the_stage_is_called() {
    let (metrics, context, request) = landed("id\n1\n2\nx\n4\n").await;
    let done = extracted(&context, &request).await;
    let emitted = metrics.emitted();
    let values = vec![
        (Metric::RecordsRead, 4.0),
        (Metric::RecordsRejected, 1.0),
        (Metric::BytesRead, 11.0),
        (Metric::RejectRatio, 0.25),
    ];
    assert_eq!((&emitted[0].subject, &emitted[0].values), (&Subject::run(&done.run), &values));
    assert_eq!(emitted[1].subject, Subject::stage(&done.run, Stage::Extract));
    assert_eq!(metrics.values(Metric::StageSeconds).len(), 1);

    extracted(&context, &request).await;
    assert_eq!(metrics.emitted(), emitted);

    // Parts that expired are made anew: that takes time, but no record more was read.
    let manifest = ObjectRef::new("work", &done.manifest);
    let manifest: ExtractManifest = store::get_json(&*context.stores, &manifest).await.expect("reads").expect("there");
    let part = ObjectRef::new("work", &manifest.parts[0].key);
    store::delete(&*context.stores, &part).await.expect("removed");
    extracted(&context, &request).await;
    assert_eq!(metrics.values(Metric::RecordsRead), [4.0]);
    assert_eq!(metrics.values(Metric::StageSeconds).len(), 2);
}

#[tokio::test]
async fn a_run_that_is_refused_for_its_rejects_tells_how_many_there_were() {
    let (metrics, context, request) = landed("id\n1\nx\n").await;
    let error = extract(&context, request).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::TooManyRejects);
    assert_eq!(metrics.values(Metric::RejectRatio), [0.5]);
    assert_eq!(metrics.values(Metric::RecordsRead), [2.0]);
    assert_eq!(metrics.values(Metric::StageSeconds), [0.0; 0]);
}
