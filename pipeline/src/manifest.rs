//! Manifests: what a stage finished, written last, so that a repetition finds it and does nothing.

use serde::{Deserialize, Serialize};

use crate::{
    handoff::Commit,
    lineage::{ColumnLineage, TableColumn},
    price::Bill,
    reject::ReasonCount,
    run::Run,
};

/// When a stage ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Milliseconds since 1970 at the start.
    pub started_ms: u64,
    /// Milliseconds that the stage took.
    pub duration_ms: u64,
}

impl Timing {
    /// The timing of work that began at one moment and ended at another.
    pub fn between(started: std::time::SystemTime, ended: std::time::SystemTime) -> Self {
        let started_ms = started.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis();
        let duration_ms = ended.duration_since(started).unwrap_or_default().as_millis();
        Self { started_ms: saturate(started_ms), duration_ms: saturate(duration_ms) }
    }

    /// Seconds that the stage took.
    pub fn duration_seconds(&self) -> f64 {
        self.duration_ms as f64 / 1000.0
    }
}

fn saturate(milliseconds: u128) -> u64 {
    u64::try_from(milliseconds).unwrap_or(u64::MAX)
}

/// One staged part of accepted records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The part's key in the work bucket.
    pub key: String,
    /// Its records.
    pub records: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// What is known of a column of the accepted records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnProfile {
    /// The column's name.
    pub name: String,
    /// Its declared type.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Records in which it is null.
    pub nulls: u64,
    /// The least value, as text.
    pub min: Option<String>,
    /// The greatest value, as text.
    pub max: Option<String>,
    /// How many different values there are, about (HyperLogLog, a few percent off).
    pub distinct_estimate: u64,
}

/// Where the rejects of a run are, in the work bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectFiles {
    /// The original header and the original bytes of the bad records.
    pub records: String,
    /// One [`crate::reject::Reject`] per line.
    pub reasons: String,
    /// Bad records that cannot stand below the header of `records`, or are of another format: a file for each header
    /// and format among the source's files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<String>,
}

impl RejectFiles {
    /// The files of bad records.
    pub fn records(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.records).chain(&self.further).map(String::as_str)
    }
}

/// What `extract` finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExtractManifest {
    /// The run.
    pub run: Run,
    /// The accepted records.
    pub parts: Vec<Part>,
    /// Where the rejects are; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejects: Option<RejectFiles>,
    /// Records in the object, without its header.
    pub records_read: u64,
    /// Records in the parts.
    pub records_accepted: u64,
    /// Records in the rejects.
    pub records_rejected: u64,
    /// Bytes of the object.
    pub bytes_read: u64,
    /// The reasons of the rejects, the commonest first.
    pub reasons: Vec<ReasonCount>,
    /// The columns of the accepted records.
    pub profile: Vec<ColumnProfile>,
    /// When the stage ran.
    pub timing: Timing,
    /// The code that did it.
    pub code_version: String,
}

impl ExtractManifest {
    /// The keys and sizes of what is staged.
    pub fn staged(&self) -> impl Iterator<Item = (&str, u64)> {
        self.parts.iter().map(|part| (part.key.as_str(), part.bytes))
    }
}

/// One final file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// The staged file's key in the work bucket.
    pub staged: String,
    /// The file's place below the table's prefix, hive partitions included.
    pub path: String,
    /// Its records.
    pub records: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// What `transform` finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransformManifest {
    /// The run.
    pub run: Run,
    /// The final files.
    pub files: Vec<DataFile>,
    /// Records given to the SQL.
    pub records_in: u64,
    /// Records in the files.
    pub records_out: u64,
    /// Records that the SQL's conditions left out; absent for SQL that is not row-wise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_filtered: Option<u64>,
    /// Records that `dedupe` left out; absent without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_duplicate: Option<u64>,
    /// Bytes of the files.
    pub bytes_out: u64,
    /// Bytes that the SQL put into temporary storage, for want of memory.
    #[serde(default)]
    pub bytes_spilled: u64,
    /// The columns that the SQL gives, partitions included.
    #[serde(default)]
    pub columns: Vec<TableColumn>,
    /// Where their values come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<ColumnLineage>,
    /// When the stage ran.
    pub timing: Timing,
    /// The code that did it.
    pub code_version: String,
}

impl TransformManifest {
    /// The keys and sizes of what is staged.
    pub fn staged(&self) -> impl Iterator<Item = (&str, u64)> {
        self.files.iter().map(|file| (file.staged.as_str(), file.bytes))
    }
}

/// A file of the table, as the commit names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedFile {
    /// The file's key in the table's bucket.
    pub key: String,
    /// Its records.
    pub records: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// What is current of one source key: the one document whose conditional write is the commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommitManifest {
    /// The run whose files are current.
    pub run: Run,
    /// How many commits of the key came before. It is part of the files' names, so that no removal of what an earlier
    /// commit brought, however late, meets the same files brought again.
    #[serde(default)]
    pub generation: u64,
    /// Its files.
    pub files: Vec<CommittedFile>,
    /// Records in the files.
    pub records_loaded: u64,
    /// Bytes of the files.
    pub bytes_loaded: u64,
    /// The files that this commit replaced, by key. They are removed after the commit.
    #[serde(default)]
    pub replaced: Vec<String>,
    /// The code that did it.
    pub code_version: String,
}

impl CommitManifest {
    /// The keys of the files.
    pub fn keys(&self) -> Vec<String> {
        self.files.iter().map(|file| file.key.clone()).collect()
    }
}

/// What a batch that was loaded consisted of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchSummary {
    /// The batch's name.
    pub name: String,
    /// How often it was listed before.
    pub revision: u64,
    /// How many members it has.
    pub members: u64,
    /// The first of them, as URLs.
    pub first: Vec<String>,
    /// The key of the whole list, as it was loaded, in the work bucket.
    pub list: String,
}

/// `report.json`: everything worth knowing of a loaded run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The run.
    pub run: Run,
    /// The batch, where the run loaded one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchSummary>,
    /// The table, as a URL.
    pub table: String,
    /// How the load ended.
    pub commit: Commit,
    /// How many commits of the key came before the one that is current; 0 where none is of this run.
    #[serde(default)]
    pub generation: u64,
    /// Records in the object, without its header.
    pub records_read: u64,
    /// Records that do not fit the schema.
    pub records_rejected: u64,
    /// Records given to the SQL.
    pub records_in: u64,
    /// Records that the SQL gave.
    pub records_out: u64,
    /// Records that the SQL's conditions left out; absent for SQL that is not row-wise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_filtered: Option<u64>,
    /// Records that `dedupe` left out; absent without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_duplicate: Option<u64>,
    /// Records in the table.
    pub records_loaded: u64,
    /// Bytes of the object.
    pub bytes_read: u64,
    /// Bytes in the table.
    pub bytes_loaded: u64,
    /// The table's files.
    pub files: Vec<CommittedFile>,
    /// Where the rejects are; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejects: Option<RejectFiles>,
    /// The reasons of the rejects, the commonest first.
    pub reasons: Vec<ReasonCount>,
    /// The columns of the accepted records.
    pub profile: Vec<ColumnProfile>,
    /// When each stage did its work.
    pub timings: Timings,
    /// What the run cost until this report was written; absent where nobody measured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Bill>,
    /// The code that did it.
    pub code_version: String,
}

/// The timings of a run's stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// Of `extract`.
    pub extract: Timing,
    /// Of `transform`.
    pub transform: Timing,
    /// Of `load`.
    pub load: Timing,
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_timing_is_in_milliseconds_and_its_duration_in_seconds() {
        let began = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let timing = Timing::between(began, began + Duration::from_micros(2_500_900));
        assert_eq!(timing, Timing { started_ms: 1_700_000_000_123, duration_ms: 2_500 });
        assert_eq!(timing.duration_seconds(), 2.5);
    }

    #[test]
    fn a_clock_that_was_put_back_makes_no_time_negative() {
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
        assert_eq!(Timing::between(began, SystemTime::UNIX_EPOCH), Timing { started_ms: 9_000, duration_ms: 0 });
        let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Timing::between(before_1970, SystemTime::UNIX_EPOCH), Timing { started_ms: 0, duration_ms: 1_000 });
    }
}
