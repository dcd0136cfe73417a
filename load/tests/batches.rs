//! The runs of a batch's lists: which is current, and what the report says of it.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

mod trips;

use stepwell_load::load;
use stepwell_pipeline::{
    ErrorKind,
    batch::{BatchList, PinnedBatch},
    handoff::{Commit, Loaded, Transformed},
    manifest::Report,
    run::Source,
    stage::StageContext,
    store::{self, ObjectRef},
};
use trips::{SPEC, context, of_key, table};

/// What `extract` and `transform` would leave for a revision of the batch.
async fn transformed(context: &StageContext, revision: u64, members: usize) -> Transformed {
    let key = BatchList::key("trips", "2026-11-20");
    let sequencer = BatchList::sequencer(revision);
    let transformed = of_key(context, &key, &format!("r{revision}"), &sequencer, SPEC).await;
    let member = |number| Source {
        key: format!("in/{number:04}.csv"),
        bucket: "landing".into(),
        ..transformed.run.source.clone()
    };
    let list = BatchList { pipeline: "trips".into(), revision, members: (0..members).map(member).collect() };
    let pinned = PinnedBatch { source: transformed.run.source.clone(), list };
    let object = ObjectRef::new("work", PinnedBatch::key(&transformed.run.id));
    store::put_json(&*context.stores, &object, &pinned).await.unwrap();
    transformed
}

async fn load_revision(context: &StageContext, revision: u64, members: usize) -> Loaded {
    let transformed = transformed(context, revision, members).await;
    load(context, transformed).await.expect("loaded").done().expect("in one round")
}

async fn report(context: &StageContext, loaded: &Loaded) -> (Report, String) {
    let object = ObjectRef::new("work", &loaded.report);
    let report = store::get_json(&*context.stores, &object).await.unwrap().unwrap();
    let page = ObjectRef::new("work", loaded.report.replace(".json", ".html"));
    let (page, _) = store::get(&*context.stores, &page).await.unwrap().unwrap();
    (report, String::from_utf8(page.to_vec()).unwrap())
}

#[tokio::test]
async fn a_newer_list_replaces_an_older_and_a_late_older_one_changes_nothing() {
    let context = context();
    assert_eq!(load_revision(&context, 0, 1).await.commit, Commit::Committed);
    assert_eq!(table(&context).await, ["r0", "r0"]);
    assert_eq!(load_revision(&context, 1, 2).await.commit, Commit::Committed);
    assert_eq!(table(&context).await, ["r1", "r1"]);
    let late = load_revision(&context, 0, 1).await;
    assert_eq!((late.commit, late.records_loaded), (Commit::Superseded, 0));
    assert_eq!(load_revision(&context, 1, 2).await.commit, Commit::AlreadyCommitted);
    assert_eq!(load_revision(&context, 16, 2).await.commit, Commit::Committed);
    assert_eq!(load_revision(&context, 9, 2).await.commit, Commit::Superseded);
    assert_eq!(table(&context).await, ["r16", "r16"]);
}

#[tokio::test]
async fn the_report_says_what_the_batch_consisted_of() {
    let context = context();
    let loaded = load_revision(&context, 2, 60).await;
    let (report, page) = report(&context, &loaded).await;
    let batch = report.batch.expect("is a batch");
    assert_eq!((batch.name.as_str(), batch.revision, batch.members), ("2026-11-20", 2, 60));
    assert_eq!(batch.first.len(), 50);
    assert_eq!(batch.first[49], "s3://landing/in/0049.csv");
    assert_eq!(batch.list, PinnedBatch::key(&loaded.run.id));
    for words in
        ["<h1>Batch 2026-11-20</h1>", "Batch of 60 objects", "s3://landing/in/0049.csv", "and 10 more in the list"]
    {
        assert!(page.contains(words), "the page lacks {words}");
    }
    assert!(!page.contains("in/0050.csv"));
}

#[tokio::test]
async fn a_batch_without_its_list_is_not_reported_as_something_else() {
    let context = context();
    let transformed = transformed(&context, 0, 1).await;
    let key = PinnedBatch::key(&transformed.run.id);
    store::delete(&*context.stores, &ObjectRef::new("work", &key)).await.unwrap();
    let error = load(&context, transformed).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.report().contains(&key), "{}", error.report());
}
