//! A batch: several objects that one run of a pipeline loads.
//!
//! What the run reads is the batch's list, an object in the work bucket that names and pins its members. A batch whose
//! members change is listed anew under the same key; the list's revision is the run's sequencer, so that the run of a
//! newer list replaces that of an older, as the newer version of an object does.

use serde::{Deserialize, Serialize};

use crate::run::Source;

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
}
