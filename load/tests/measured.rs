//! What a load measures: once for each commit, and how long after the upload it was.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

mod trips;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use stepwell_load::load;
use stepwell_pipeline::{
    batch::{BatchList, PinnedBatch},
    handoff::{Commit, Transformed},
    metrics::{MemoryMetrics, Metric, Subject},
    run::Source,
    stage::{Stage, StageContext},
    store::{self, ObjectRef},
};
use trips::{SPEC, context, of_key, transformed};

/// A minute and a half after the objects, which are of 1970.
fn clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(90)
}

fn measured_context() -> (Arc<MemoryMetrics>, StageContext) {
    let metrics = Arc::new(MemoryMetrics::default());
    (metrics.clone(), StageContext { metrics, now: clock, ..context() })
}

async fn commit(context: &StageContext, transformed: Transformed) -> Commit {
    load(context, transformed).await.expect("loaded").done().expect("in one round").commit
}

#[tokio::test]
async fn a_commit_is_measured_once() {
    let (metrics, context) = measured_context();
    let first = transformed(&context, "v2", "02", SPEC).await;
    assert_eq!(commit(&context, first.clone()).await, Commit::Committed);
    let once = metrics.emitted();
    assert_eq!(metrics.values(Metric::RecordsLoaded), [4.0]);
    assert_eq!(metrics.values(Metric::BytesLoaded), [4.0]);
    assert_eq!(metrics.values(Metric::LagSeconds), [90.0]);
    assert_eq!(metrics.values(Metric::StageSeconds), [0.0]);
    assert_eq!(once[0].subject, Subject::run(&first.run));
    assert_eq!(once[1].subject, Subject::stage(&first.run, Stage::Load));

    assert_eq!(commit(&context, first).await, Commit::AlreadyCommitted);
    let older = transformed(&context, "v1", "01", SPEC).await;
    assert_eq!(commit(&context, older).await, Commit::Superseded);
    assert_eq!(metrics.emitted(), once);
}

/// A batch of members that were uploaded so many seconds after 1970, and whether an event told of them.
async fn batch(context: &StageContext, members: &[(i64, bool)]) -> Transformed {
    let key = BatchList::key("trips", "2026-11-20");
    let transformed = of_key(context, &key, "r0", &BatchList::sequencer(0), SPEC).await;
    let member = |(number, (seconds, is_told)): (usize, &(i64, bool))| Source {
        key: format!("in/{number:04}.csv"),
        bucket: "landing".into(),
        modified_ms: seconds * 1000,
        sequencer: is_told.then(|| "01".to_owned()),
        ..transformed.run.source.clone()
    };
    let members = members.iter().enumerate().map(member).collect();
    let list = BatchList { pipeline: "trips".into(), revision: 0, members };
    let pinned = PinnedBatch { source: transformed.run.source.clone(), list };
    let object = ObjectRef::new("work", PinnedBatch::key(&transformed.run.id));
    store::put_json(&*context.stores, &object, &pinned).await.unwrap();
    transformed
}

#[tokio::test]
async fn the_lag_of_a_batch_is_that_of_the_oldest_upload_that_an_event_told_of() {
    for (members, expected) in [
        (&[(60, true), (20, true), (50, true)][..], &[70.0][..]),
        (&[(60, true), (20, false)], &[30.0]),
        // What a schedule lists waited on purpose.
        (&[(60, false), (20, false)], &[]),
        // Of a clock that goes ahead.
        (&[(91, true)], &[0.0]),
    ] {
        let (metrics, context) = measured_context();
        let transformed = batch(&context, members).await;
        assert_eq!(commit(&context, transformed).await, Commit::Committed);
        assert_eq!(metrics.values(Metric::LagSeconds), expected, "{members:?}");
        assert_eq!(metrics.values(Metric::RecordsLoaded), [4.0]);
    }
}

#[tokio::test]
async fn what_no_event_brought_has_no_lag() {
    let (metrics, context) = measured_context();
    let mut asked = transformed(&context, "v1", "01", SPEC).await;
    asked.run.source.sequencer = None;
    assert_eq!(commit(&context, asked).await, Commit::Committed);
    assert_eq!(metrics.values(Metric::LagSeconds), [0.0; 0]);
    assert_eq!(metrics.values(Metric::RecordsLoaded), [4.0]);
}
