//! What a run's own event and the time of its end mean to runs of the same key that come after or meanwhile.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod trips;

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use object_store::ObjectStore;
use stepwell_load::load;
use stepwell_pipeline::{
    ErrorKind, StageError,
    handoff::{Commit, Loaded, Round, Transformed},
    manifest::{CommitManifest, DataFile, TransformManifest},
    progress::Progress,
    run::Source,
    stage::{Budget, Stage, StageContext},
    store::{self, ObjectRef, Stores},
};
use trips::{SPEC, context, of_source, table, transformed};

async fn load_version(context: &StageContext, version: &str, sequencer: &str) -> Loaded {
    let transformed = transformed(context, version, sequencer, SPEC).await;
    load(context, transformed).await.expect("loaded").done().expect("in one round")
}

#[tokio::test]
async fn the_same_bytes_sent_again_are_newer_than_what_came_between() {
    let context = context();
    let first = load_version(&context, "v1", "01").await;
    let again = load_version(&context, "v1", "03").await;
    assert_eq!((again.commit, again.records_loaded), (Commit::AlreadyCommitted, 4));
    let document = ObjectRef::new("lake", &again.manifest);
    let current: CommitManifest = store::get_json(&*context.stores, &document).await.unwrap().unwrap();
    assert_eq!((current.run, current.generation), (again.run, 0));
    assert_eq!(again.manifest, first.manifest);
    let between = load_version(&context, "v2", "02").await;
    assert_eq!((between.commit, between.records_loaded), (Commit::Superseded, 0));
    assert_eq!(table(&context).await, ["v1", "v1"]);
    assert_eq!(load_version(&context, "v3", "04").await.commit, Commit::Committed);
    assert_eq!(table(&context).await, ["v3", "v3"]);
}

/// Uploads a version of which no event tells, all in the same second.
async fn upload(context: &StageContext) -> Source {
    let object = ObjectRef::new("landing", "in/trips.csv");
    store::put(&*context.stores, &object, "id\n1\n").await.unwrap();
    let meta = store::head(&*context.stores, &object).await.unwrap().unwrap();
    Source {
        bucket: object.bucket,
        key: object.key,
        version: None,
        etag: meta.e_tag.unwrap(),
        size: meta.size,
        modified_ms: 0,
        sequencer: None,
    }
}

async fn load_source(context: &StageContext, source: &Source) -> Commit {
    let transformed = of_source(context, source.clone(), SPEC).await;
    load(context, transformed).await.expect("loaded").done().expect("in one round").commit
}

#[tokio::test]
async fn of_versions_of_one_second_without_events_the_one_that_the_key_holds_is_the_newer() {
    for loads in [&[0, 1][..], &[1, 0], &[0, 1, 0, 1]] {
        let context = context();
        let versions = [upload(&context).await, upload(&context).await];
        for version in loads {
            load_source(&context, &versions[*version]).await;
        }
        assert_eq!(table(&context).await, [versions[1].etag.as_str(); 2], "{loads:?}");
        assert_eq!(load_source(&context, &versions[0]).await, Commit::Superseded, "{loads:?}");
    }
}

#[tokio::test]
async fn of_versions_of_one_second_that_are_both_gone_the_one_that_is_loaded_last_is_current() {
    let context = context();
    let versions = [upload(&context).await, upload(&context).await];
    store::delete(&*context.stores, &ObjectRef::new("landing", "in/trips.csv")).await.unwrap();
    for version in [&versions[1], &versions[0]] {
        assert_eq!(load_source(&context, version).await, Commit::Committed);
        assert_eq!(table(&context).await, [version.etag.as_str(); 2]);
    }
}

#[derive(Debug, Default)]
struct Watched(Mutex<Vec<bool>>);

impl Progress for Watched {
    fn started(&self, _: Stage, _: Option<u64>) {}
    fn advanced(&self, _: Stage, _: u64, _: u64) {}
    fn finished(&self, stage: Stage, resumed: bool) {
        assert_eq!(stage, Stage::Load);
        self.0.lock().unwrap().push(resumed);
    }
}

#[tokio::test]
async fn only_what_an_earlier_execution_loaded_is_told_as_resumed() {
    let watched = Arc::new(Watched::default());
    let context = StageContext { progress: watched.clone(), ..context() };
    for (version, sequencer) in [("v2", "02"), ("v2", "02"), ("v1", "01"), ("v2", "03")] {
        load_version(&context, version, sequencer).await;
    }
    assert_eq!(*watched.0.lock().unwrap(), [false, true, false, true]);
}

/// How many files a run has that takes several rounds.
const FILES: u64 = 20;
/// How many of them the first round brings.
const FILES_IN_A_ROUND: usize = 8;

#[derive(Debug)]
struct Spent;

impl Budget for Spent {
    fn is_spent(&self) -> bool {
        true
    }
}

/// What `transform` would leave for a version that has too many files for one round.
async fn large(context: &StageContext, version: &str, sequencer: &str) -> Transformed {
    let large = transformed(context, version, sequencer, SPEC).await;
    let object = ObjectRef::new("work", &large.manifest);
    let mut manifest: TransformManifest = store::get_json(&*context.stores, &object).await.unwrap().unwrap();
    let staged = manifest.files[0].clone();
    let path = |number| format!("{}-{number}.parquet", large.run.file_stem());
    manifest.files = (0..FILES).map(|number| DataFile { path: path(number), ..staged.clone() }).collect();
    manifest.records_out = FILES * staged.records;
    manifest.bytes_out = FILES * staged.bytes;
    store::put_json(&*context.stores, &object, &manifest).await.unwrap();
    large
}

/// Carries out one round of a run that needs more.
async fn begin(context: &StageContext, large: &Transformed) {
    let hurried = StageContext { budget: Arc::new(Spent), ..context.clone() };
    let Round::More(again) = load(&hurried, large.clone()).await.expect("a round") else { panic!("needs more") };
    assert_eq!(again, *large);
}

#[tokio::test]
async fn files_of_a_run_that_never_got_to_its_commit_go_with_the_commit_of_a_newer_one() {
    let context = context();
    begin(&context, &large(&context, "v1", "01").await).await;
    assert_eq!(table(&context).await, ["v1"; FILES_IN_A_ROUND]);
    assert_eq!(load_version(&context, "v2", "02").await.commit, Commit::Committed);
    assert_eq!(table(&context).await, ["v2", "v2"]);
}

#[tokio::test]
async fn files_that_a_newer_run_is_still_bringing_stay_until_it_commits() {
    let context = context();
    let newer = large(&context, "v3", "03").await;
    begin(&context, &newer).await;
    assert_eq!(load_version(&context, "v2", "02").await.commit, Commit::Committed);
    let mut expected = vec!["v2"; 2];
    expected.extend(["v3"; FILES_IN_A_ROUND]);
    assert_eq!(table(&context).await, expected);
    let loaded = load(&context, newer).await.expect("loaded").done().expect("has the time");
    assert_eq!((loaded.commit, loaded.records_loaded), (Commit::Committed, 2 * FILES));
    assert_eq!(table(&context).await, ["v3"; FILES as usize]);
}

#[tokio::test]
async fn files_of_another_size_than_transformed_are_not_committed() {
    for (records_more, bytes_more) in [(1, 0), (0, 1), (1, 1)] {
        let context = context();
        let asked = transformed(&context, "v1", "01", SPEC).await;
        let object = ObjectRef::new("work", &asked.manifest);
        let mut manifest: TransformManifest = store::get_json(&*context.stores, &object).await.unwrap().unwrap();
        manifest.records_out += records_more;
        manifest.bytes_out += bytes_more;
        store::put_json(&*context.stores, &object, &manifest).await.unwrap();
        let error = load(&context, asked).await.expect_err("does not add up");
        assert_eq!(error.kind(), ErrorKind::ReconciliationFailed, "{records_more} records, {bytes_more} bytes");
        assert!(table(&context).await.is_empty(), "{records_more} records, {bytes_more} bytes");
    }
}

/// Stores whose first copy fails, after another run of the key was loaded.
#[derive(Debug)]
struct FailingCopy {
    context: StageContext,
    other: Mutex<Option<Transformed>>,
    error: ErrorKind,
}

impl Stores for FailingCopy {
    fn bucket(&self, name: &str) -> Result<Arc<dyn ObjectStore>, StageError> {
        self.context.stores.bucket(name)
    }

    // As `async_trait` writes it.
    fn copy<'stores, 'from, 'to, 'copy>(
        &'stores self,
        from: &'from ObjectRef,
        to: &'to ObjectRef,
    ) -> BoxFuture<'copy, Result<(), StageError>>
    where
        'stores: 'copy,
        'from: 'copy,
        'to: 'copy,
    {
        Box::pin(async move {
            let other = self.other.lock().unwrap().take();
            let Some(other) = other else { return self.context.stores.copy(from, to).await };
            load(&self.context, other).await.expect("loaded").done().expect("in one round");
            Err(StageError::new(self.error, "the copy failed"))
        })
    }
}

/// Loads version `v1` where a copy fails after another version was loaded. Gives how that ended, and the table.
async fn load_while(version: &str, sequencer: &str, error: ErrorKind) -> (Result<Commit, ErrorKind>, Vec<String>) {
    let context = context();
    let asked = transformed(&context, "v1", "01", SPEC).await;
    let other = Mutex::new(Some(transformed(&context, version, sequencer, SPEC).await));
    let failing = FailingCopy { context: context.clone(), other, error };
    let loaded = load(&StageContext { stores: Arc::new(failing), ..context.clone() }, asked).await;
    let commit = loaded.map(|round| round.done().expect("in one round").commit).map_err(|error| error.kind());
    (commit, table(&context).await)
}

#[tokio::test]
async fn a_copy_that_fails_for_good_since_another_run_committed_is_no_failure() {
    let files = |version: &str| vec![version.to_owned(); 2];
    for error in [ErrorKind::SourceMissing, ErrorKind::AccessDenied] {
        assert_eq!(load_while("v1", "01", error).await, (Ok(Commit::AlreadyCommitted), files("v1")));
        assert_eq!(load_while("v2", "02", error).await, (Ok(Commit::Superseded), files("v2")));
        assert_eq!(load_while("v0", "00", error).await, (Ok(Commit::Committed), files("v1")));
    }
}

#[tokio::test]
async fn a_copy_that_may_still_come_to_pass_is_left_to_a_later_attempt() {
    for (version, sequencer) in [("v1", "01"), ("v2", "02"), ("v0", "00")] {
        let (ended, _) = load_while(version, sequencer, ErrorKind::StoreUnavailable).await;
        assert_eq!(ended, Err(ErrorKind::StoreUnavailable), "{version} came meanwhile");
    }
}
