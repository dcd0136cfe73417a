//! The commit on buckets in memory: what is current after which order of runs.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

mod trips;

use std::sync::Arc;

use futures::TryStreamExt;
use stepwell_load::load;
use stepwell_pipeline::{
    ErrorKind,
    handoff::{Commit, Loaded},
    manifest::{CommitManifest, DataFile, Report, TransformManifest},
    stage::StageContext,
    store::{self, ObjectRef},
};
use trips::{SPEC, context, table, transformed};

async fn load_version(context: &StageContext, version: &str, sequencer: &str) -> Loaded {
    let transformed = transformed(context, version, sequencer, SPEC).await;
    load(context, transformed).await.expect("loaded").done().expect("in one round")
}

#[tokio::test]
async fn a_run_is_committed_once_and_found_again() {
    let context = context();
    let first = load_version(&context, "v1", "01").await;
    assert_eq!((first.commit, first.records_loaded, first.bytes_loaded), (Commit::Committed, 4, 4));
    let again = load_version(&context, "v1", "01").await;
    assert_eq!((again.commit, again.records_loaded), (Commit::AlreadyCommitted, 4));
    assert_eq!(table(&context).await, ["v1", "v1"]);
    let report: Report =
        store::get_json(&*context.stores, &ObjectRef::new("work", &again.report)).await.unwrap().unwrap();
    assert_eq!(
        (report.records_read, report.records_in, report.records_loaded, report.table.as_str()),
        (6, 5, 4, "s3://lake/trips/")
    );
}

#[tokio::test]
async fn the_newest_version_is_current_in_any_order_of_arrival() {
    for order in [
        ["01", "02", "03"],
        ["01", "03", "02"],
        ["02", "01", "03"],
        ["02", "03", "01"],
        ["03", "01", "02"],
        ["03", "02", "01"],
    ] {
        let context = context();
        let mut greatest = "";
        for sequencer in order {
            let loaded = load_version(&context, &format!("v{sequencer}"), sequencer).await;
            let expected = if sequencer > greatest { Commit::Committed } else { Commit::Superseded };
            assert_eq!(loaded.commit, expected, "{order:?} at {sequencer}");
            assert_eq!(loaded.records_loaded, if expected == Commit::Committed { 4 } else { 0 });
            greatest = greatest.max(sequencer);
        }
        assert_eq!(table(&context).await, ["v03", "v03"], "{order:?}");
    }
}

#[tokio::test]
async fn bytes_that_come_back_are_current_again() {
    let context = context();
    load_version(&context, "v1", "01").await;
    load_version(&context, "v2", "02").await;
    let back = load_version(&context, "v1", "03").await;
    assert_eq!(back.commit, Commit::Committed);
    assert_eq!(table(&context).await, ["v1", "v1"]);
}

#[tokio::test]
async fn a_mended_spec_replaces_what_the_old_one_gave() {
    let context = context();
    load_version(&context, "v1", "01").await;
    let mended = format!("{SPEC}# mended\n");
    let mended = transformed(&context, "v1", "01", &mended).await;
    let stem = mended.run.file_stem();
    assert_eq!(load(&context, mended).await.expect("loaded").done().expect("in one round").commit, Commit::Committed);
    let bucket = context.stores.bucket("lake").unwrap();
    let listed: Vec<_> = bucket.list(None).try_collect().await.unwrap();
    let data: Vec<_> = listed.iter().filter(|meta| meta.location.as_ref().ends_with(".parquet")).collect();
    assert_eq!(data.len(), 2);
    assert!(data.iter().all(|meta| meta.location.as_ref().contains(&stem)));
}

#[tokio::test]
async fn what_a_dead_execution_left_to_remove_is_removed_by_its_repetition() {
    let context = context();
    let old = load_version(&context, "v1", "01").await;
    let document = ObjectRef::new("lake", &old.manifest);
    let before: CommitManifest = store::get_json(&*context.stores, &document).await.unwrap().unwrap();
    let old_file = ObjectRef::new("lake", &before.files[0].key);
    load_version(&context, "v2", "02").await;
    // As if the execution had died between its commit and the removal.
    store::put(&*context.stores, &old_file, "v1").await.unwrap();
    assert_eq!(load_version(&context, "v2", "02").await.commit, Commit::AlreadyCommitted);
    assert_eq!(table(&context).await, ["v2", "v2"]);
}

#[tokio::test]
async fn rivals_leave_one_version_and_lose_none() {
    let context = context();
    let mut tasks = tokio::task::JoinSet::new();
    for sequencer in 10..18 {
        for _ in 0..2 {
            let context = context.clone();
            tasks.spawn(async move { load_version(&context, &format!("v{sequencer}"), &sequencer.to_string()).await });
        }
    }
    let loaded = tasks.join_all().await;
    assert_eq!(loaded.iter().filter(|loaded| loaded.run.source.etag == "v17" && loaded.records_loaded == 4).count(), 2);
    assert_eq!(table(&context).await, ["v17", "v17"]);
}

#[tokio::test]
async fn staged_files_that_are_gone_or_counts_that_differ_fail_the_stage() {
    let context = context();
    let lost = transformed(&context, "v1", "01", SPEC).await;
    let manifest_ref = ObjectRef::new("work", &lost.manifest);
    let mut manifest: TransformManifest = store::get_json(&*context.stores, &manifest_ref).await.unwrap().unwrap();
    manifest.files[0].staged.push_str(".gone");
    store::put_json(&*context.stores, &manifest_ref, &manifest).await.unwrap();
    assert_eq!(load(&context, lost.clone()).await.expect_err("gone").kind(), ErrorKind::InvalidInput);
    manifest.files.remove(0);
    store::put_json(&*context.stores, &manifest_ref, &manifest).await.unwrap();
    assert_eq!(load(&context, lost).await.expect_err("two are missing").kind(), ErrorKind::ReconciliationFailed);
}

#[derive(Debug)]
struct Spent;

impl stepwell_pipeline::stage::Budget for Spent {
    fn is_spent(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_load_of_many_files_takes_the_rounds_it_needs_and_copies_nothing_twice() {
    let mut context = context();
    let first = transformed(&context, "v1", "01", SPEC).await;
    let manifest_ref = ObjectRef::new("work", &first.manifest);
    let mut manifest: TransformManifest = store::get_json(&*context.stores, &manifest_ref).await.unwrap().unwrap();
    let staged = manifest.files[0].clone();
    manifest.files = (0..20).map(|number| DataFile { path: format!("{number}.parquet"), ..staged.clone() }).collect();
    manifest.records_out = 40;
    manifest.bytes_out = 20 * staged.bytes;
    store::put_json(&*context.stores, &manifest_ref, &manifest).await.unwrap();
    context.budget = Arc::new(Spent);
    let mut rounds = 0;
    let loaded = loop {
        rounds += 1;
        match load(&context, first.clone()).await.expect("a round") {
            stepwell_pipeline::handoff::Round::Done(loaded) => break loaded,
            stepwell_pipeline::handoff::Round::More(again) => assert_eq!(again, first),
        }
    };
    assert_eq!((rounds, loaded.commit, loaded.records_loaded), (3, Commit::Committed, 40));
}
