//! What one stage hands to the next: references and counts, never data.

use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned};
use serde_json::Value;

use crate::{ErrorKind, StageError, run::Run, store::ObjectRef};

/// What `extract` hands on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Extracted {
    /// The run.
    pub run: Run,
    /// The extract manifest's key in the work bucket.
    pub manifest: String,
    /// Records in the object, without its header.
    pub records_read: u64,
    /// Records that do not fit the schema.
    pub records_rejected: u64,
    /// Bytes of the object.
    pub bytes_read: u64,
}

/// What `transform` hands on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transformed {
    /// The run.
    pub run: Run,
    /// The transform manifest's key in the work bucket.
    pub manifest: String,
    /// Records in the object, without its header.
    pub records_read: u64,
    /// Records that do not fit the schema.
    pub records_rejected: u64,
    /// Accepted records given to the SQL.
    pub records_in: u64,
    /// Records that the SQL gave.
    pub records_out: u64,
    /// Records that the SQL's conditions left out; absent for SQL that is not row-wise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_filtered: Option<u64>,
    /// Records that `dedupe` left out; absent without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_duplicate: Option<u64>,
    /// Bytes of the final files.
    pub bytes_out: u64,
}

/// How a round of a stage ended.
///
/// In JSON it is the handoff with one field more: `more`, whether the stage is to be called again.
#[derive(Clone, Debug, PartialEq)]
pub enum Round<Done, Again> {
    /// The stage is done: what it hands to the next.
    Done(Done),
    /// The time was up: what the stage is to be called with again. It goes on at its checkpoint.
    More(Again),
}

impl<Done, Again> Round<Done, Again> {
    /// What the stage hands on, if it is done.
    pub fn done(self) -> Option<Done> {
        match self {
            Self::Done(done) => Some(done),
            Self::More(_) => None,
        }
    }
}

impl<Done: Serialize, Again: Serialize> Serialize for Round<Done, Again> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Flagged<'a, T> {
            #[serde(flatten)]
            handoff: &'a T,
            more: bool,
        }
        match self {
            Self::Done(handoff) => Flagged { handoff, more: false }.serialize(serializer),
            Self::More(handoff) => Flagged { handoff, more: true }.serialize(serializer),
        }
    }
}

/// How a load ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Commit {
    /// This execution made the run's files current.
    Committed,
    /// An earlier execution of the same run had done so; nothing changed.
    AlreadyCommitted,
    /// A newer version of the object is current; nothing changed.
    Superseded,
}

/// What `load` hands on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    /// The run.
    pub run: Run,
    /// Where the table is.
    pub table: ObjectRef,
    /// How the load ended.
    pub commit: Commit,
    /// The commit manifest's key in the table's bucket.
    pub manifest: String,
    /// `report.json`'s key in the work bucket.
    pub report: String,
    /// Records in the object, without its header.
    pub records_read: u64,
    /// Records that do not fit the schema.
    pub records_rejected: u64,
    /// Records that the SQL's conditions left out; absent for SQL that is not row-wise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_filtered: Option<u64>,
    /// Records that the table has from this run.
    pub records_loaded: u64,
    /// Bytes that the table has from this run.
    pub bytes_loaded: u64,
}

/// A typed value from JSON that another stage or a person wrote. Fields that the type lacks are ignored.
///
/// # Errors
/// `InvalidInput`, with the path of the field.
pub fn parse<T: DeserializeOwned>(input: &Value) -> Result<T, StageError> {
    serde_path_to_error::deserialize(input).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        let message = if path == "." { inner.to_string() } else { format!("{path}: {inner}") };
        StageError::new(ErrorKind::InvalidInput, message)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_missing_field_is_named_by_its_path() {
        let error = parse::<Extracted>(&json!({"run": {"id": "r"}, "manifest": "m"})).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.report(), "run: missing field `pipeline`");
    }
}
