//! Rounds that end at every place give what one round gives.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use stepwell_pipeline::{
    ErrorKind,
    handoff::Round,
    manifest::{Timing, TransformManifest},
    stage::{Budget, Limits, Stage, StageContext},
    store::{self, ObjectRef},
};
use stepwell_transform::transform;

use crate::support::{bytes, context, delete, extracted, manifest, rounds};
use crate::types::{readings, readings_spec};

/// Time that is up from the nth question on.
#[derive(Debug)]
struct Questions(AtomicUsize);

impl Budget for Questions {
    fn is_spent(&self) -> bool {
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| Some(left.saturating_sub(1))) == Ok(1)
            || self.0.load(Ordering::Acquire) == 0
    }
}

/// Time that is up whenever it is asked.
#[derive(Debug)]
struct Spent;

impl Budget for Spent {
    fn is_spent(&self) -> bool {
        true
    }
}

fn limited(group_parts: usize, budget: Arc<dyn Budget>) -> StageContext {
    let context = context();
    StageContext { limits: Limits { group_parts, ..context.limits }, budget, ..context }
}

const LOAD: &str = "partition_by: [kind], sort_by: [value], bloom_filters: [id]";
const SQL: &str = "SELECT id, kind, value * 2 AS value FROM input WHERE id % 7 <> 0";

async fn outcome(context: &StageContext) -> (TransformManifest, BTreeMap<String, Bytes>, usize) {
    let spec = readings_spec(SQL, LOAD);
    let extracted = extracted(context, &spec, &readings(6, 500)).await;
    let (transformed, rounds) = rounds(context, extracted).await.expect("transformed");
    let mut manifest = manifest(context, &transformed).await;
    manifest.timing = Timing::default();
    let mut files = BTreeMap::new();
    for file in &manifest.files {
        files.insert(file.path.clone(), bytes(context, file).await);
    }
    (manifest, files, rounds)
}

#[tokio::test]
async fn every_cut_gives_the_same_manifest_and_bytes() {
    for group_parts in [1, 2, 3] {
        let whole = outcome(&limited(group_parts, Arc::new(stepwell_pipeline::stage::Unhurried))).await;
        assert_eq!(whole.2, 1);
        let groups = 6_usize.div_ceil(group_parts);
        assert_eq!(whole.0.records_filtered.unwrap() + whole.0.records_out, 3000);
        assert!(whole.1.len() >= groups, "each group has files of its own");
        for question in 1..groups {
            let cut = outcome(&limited(group_parts, Arc::new(Questions(question.into())))).await;
            assert_eq!(cut.2, 1 + groups - question, "rounds");
            assert_eq!((&cut.0, &cut.1), (&whole.0, &whole.1), "{group_parts} parts a group, cut at {question}");
        }
        let shredded = outcome(&limited(group_parts, Arc::new(Spent))).await;
        assert_eq!(shredded.2, groups);
        assert_eq!((shredded.0, shredded.1), (whole.0, whole.1));
    }
}

#[tokio::test]
async fn a_checkpoint_survives_a_crash_and_counts_only_for_its_own_groups() {
    let spec = readings_spec(SQL, LOAD);
    let context = limited(2, Arc::new(Spent));
    let extracted = extracted(&context, &spec, &readings(6, 500)).await;
    let Round::More(again) = transform(&context, extracted.clone()).await.expect("a round") else { panic!("done") };
    assert_eq!(again, extracted);

    // The parts of the first group are not read again.
    let first = extracted.run.stage_key(Stage::Extract, "part-0.arrow");
    let (content, _) = store::get(&*context.stores, &ObjectRef::new("work", &first)).await.unwrap().unwrap();
    delete(&context, &first).await;
    assert!(matches!(transform(&context, extracted.clone()).await.expect("the second group"), Round::More(_)));

    // Cut into other groups, the work begins anew, and misses the part.
    let other = StageContext { limits: Limits { group_parts: 1, ..context.limits }, ..context.clone() };
    let error = transform(&other, extracted.clone()).await.expect_err("the part is gone");
    assert_eq!(error.kind(), ErrorKind::SourceMissing);
    store::put(&*context.stores, &ObjectRef::new("work", &first), content).await.unwrap();
    assert!(matches!(transform(&context, extracted).await.expect("the third group"), Round::Done(_)));
}

#[tokio::test]
async fn sql_over_the_whole_object_takes_one_round() {
    let context = limited(1, Arc::new(Spent));
    let spec = readings_spec("SELECT kind, count(*) AS readings FROM input GROUP BY kind", "");
    let extracted = extracted(&context, &spec, &readings(4, 100)).await;
    let (transformed, count) = rounds(&context, extracted).await.expect("transformed");
    assert_eq!((count, transformed.records_in, transformed.records_filtered), (1, 400, None));
    assert_eq!(transformed.records_out, 5);
}
