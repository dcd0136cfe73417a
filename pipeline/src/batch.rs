//! A batch: several objects that one run of a pipeline loads.
//!
//! What the run reads is the batch's list, an object in the work bucket that names and pins its members. A batch whose
//! members change is listed anew under the same key; the list's revision is the run's sequencer, so that the run of a
//! newer list replaces that of an older, as the newer version of an object does.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    run::{Run, Source},
    store::ObjectRef,
};

/// Where the lists of batches are in the work bucket: `batches/<pipeline>/<batch>.json`.
pub const BATCHES_PREFIX: &str = "batches/";

/// The objects that one run loads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchList {
    /// The pipeline that loads them.
    pub pipeline: String,
    /// How often the batch was listed before: 0 for its first list.
    pub revision: u64,
    /// The members in the order in which they are read, each pinned to a version; by key.
    pub members: Vec<Source>,
}

impl BatchList {
    /// The key of a batch's list.
    pub fn key(pipeline: &str, batch: &str) -> String {
        format!("{BATCHES_PREFIX}{pipeline}/{batch}.json")
    }

    /// The sequencer of the run that loads a revision.
    pub fn sequencer(revision: u64) -> String {
        format!("{revision:016X}")
    }

    /// The bytes of all members.
    pub fn bytes(&self) -> u64 {
        self.members.iter().map(|member| member.size).fold(0, u64::saturating_add)
    }
}

/// A batch's list as its run pinned it, kept in the run's prefix: the list's own key may hold a newer one by the time
/// that a later round, a repetition or the report needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedBatch {
    /// The list as the source of the run.
    pub source: Source,
    /// What it says.
    pub list: BatchList,
}

impl PinnedBatch {
    /// The key of a run's pinned batch in the work bucket.
    pub fn key(run_id: &str) -> String {
        format!("{}batch.json", Run::home(run_id))
    }
}

/// What a batch is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchName<'a> {
    /// The pipeline that loads it.
    pub pipeline: &'a str,
    /// Its name among the pipeline's batches.
    pub batch: &'a str,
}

impl<'a> BatchName<'a> {
    /// The name of the batch whose list an object is; nothing for any other object.
    pub fn of(object: &'a ObjectRef, work_bucket: &str) -> Option<Self> {
        if object.bucket != work_bucket {
            return None;
        }
        let (pipeline, batch) = object.key.strip_prefix(BATCHES_PREFIX)?.split_once('/')?;
        Some(Self { pipeline, batch: batch.strip_suffix(".json").unwrap_or(batch) })
    }
}

impl fmt::Display for BatchName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch {}", self.batch)
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;
    use crate::order;

    fn run_source(sequencer: Option<String>, modified_ms: i64) -> Source {
        Source {
            bucket: "work".into(),
            key: BatchList::key("orders", "2026-11-20"),
            version: None,
            etag: "e".into(),
            size: 1,
            modified_ms,
            sequencer,
        }
    }

    #[test]
    fn revisions_are_in_the_order_of_their_sequencers() {
        let revisions = [0, 1, 2, 9, 10, 15, 16, 255, 256, u64::from(u32::MAX), u64::MAX];
        for pair in revisions.windows(2) {
            let [older, newer] = [pair[0], pair[1]].map(|revision| Some(BatchList::sequencer(revision)));
            assert_eq!(order::compare(&run_source(older, 9), &run_source(newer, 1)), Ordering::Less, "{pair:?}");
        }
        let same = || run_source(Some(BatchList::sequencer(7)), 1);
        assert_eq!(order::compare(&same(), &same()), Ordering::Equal);
    }

    #[test]
    fn a_batch_is_known_by_where_its_list_is() {
        let list = ObjectRef::new("work", BatchList::key("orders", "2026/11/20"));
        let name = BatchName::of(&list, "work").map(|name| (name.pipeline, name.batch, name.to_string()));
        assert_eq!(name, Some(("orders", "2026/11/20", "batch 2026/11/20".to_owned())));
        for (bucket, key) in
            [("landing", "batches/orders/a.json"), ("work", "in/batches/orders/a.json"), ("work", "batches/a.json")]
        {
            assert_eq!(BatchName::of(&ObjectRef::new(bucket, key), "work"), None, "{bucket} {key}");
        }
    }

    #[test]
    fn what_a_run_pinned_of_its_batch_is_in_the_runs_prefix() {
        assert_eq!(PinnedBatch::key("orders-12ab"), "runs/orders-12ab/batch.json");
    }
}
