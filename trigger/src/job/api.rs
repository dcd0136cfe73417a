//! What goes over the wire. The OpenAPI document is made of these types.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stepwell_pipeline::handoff::Commit;

/// Segments that are not empty, `.` or `..`, and have no control characters: see `store::path` of the pipeline crate.
const KEY_PATTERN: &str = r"^(?!\.{1,2}(/|$))[^/\x00-\x1f\x7f]+(/(?!\.{1,2}(/|$))[^/\x00-\x1f\x7f]+)*$";

/// An object of the landing bucket to be run.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ObjectJob {
    /// The landing bucket.
    #[schemars(length(min = 1))]
    pub(super) bucket: String,
    /// The object's key, as it is, without any encoding.
    #[schemars(length(min = 1, max = 1024), regex(pattern = KEY_PATTERN))]
    pub(super) key: String,
    /// The version id; by default the newest.
    #[schemars(length(min = 1))]
    pub(super) version: Option<String>,
    /// The pipeline; needed where several fit the key.
    #[schemars(length(min = 1))]
    pub(super) pipeline: Option<String>,
}

/// A file to be uploaded and then run.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UploadJob {
    /// The file's name; its suffix may tell its format and compression.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"^[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*$"))]
    pub(super) filename: String,
    /// The pipeline; needed unless the name, in the folder of a pipeline's `match`, fits one alone.
    #[schemars(length(min = 1))]
    pub(super) pipeline: Option<String>,
}

/// What is asked for with `POST /jobs`.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "the schema is made of it; requests are told apart by hand, for the sake of their errors")]
pub(super) enum NewJob {
    Object(ObjectJob),
    Upload(UploadJob),
}

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum JobState {
    /// It waits for its upload, or for its turn.
    Pending,
    /// Its execution runs.
    Processing,
    /// Its records are in the table.
    Done,
    /// It failed.
    Failed,
}

impl JobState {
    pub(super) fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}

/// Records, counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) struct RecordCounts {
    /// Records in the object, without its header.
    pub(super) read: u64,
    /// Records that do not fit the schema.
    pub(super) rejected: u64,
    /// Records that the SQL's conditions left out; absent for SQL that is not row-wise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) filtered: Option<u64>,
    /// Records that the table has from this job.
    pub(super) loaded: u64,
}

/// How a load ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum CommitOutcome {
    /// The job made its files current.
    Committed,
    /// An earlier execution had loaded the same version of the object; nothing changed.
    AlreadyCommitted,
    /// A newer version of the object is current; nothing changed.
    Superseded,
}

impl From<Commit> for CommitOutcome {
    fn from(commit: Commit) -> Self {
        match commit {
            Commit::Committed => Self::Committed,
            Commit::AlreadyCommitted => Self::AlreadyCommitted,
            Commit::Superseded => Self::Superseded,
        }
    }
}

/// Where the result of a job is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct JobResult {
    /// The run's id.
    pub(super) run: String,
    /// How the load ended.
    pub(super) commit: CommitOutcome,
    /// The table, such as `s3://lake/flights/`.
    pub(super) table: String,
    /// The data files, the first 1,000 of them.
    pub(super) files: Vec<String>,
    /// How many data files there are.
    pub(super) file_count: usize,
    /// The bytes of the data files.
    pub(super) bytes: u64,
    /// `report.json`.
    pub(super) report: String,
    /// The rejected records as they came; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rejects: Option<String>,
    /// The reasons of the rejects, one JSON document a line; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reasons: Option<String>,
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) struct JobError {
    /// One word: an error kind such as `SchemaMismatch`, an error of Step Functions such as `States.Timeout`, or
    /// `UploadMissing` or `JobStuck`.
    pub(super) error: String,
    /// What there is to say of it.
    pub(super) cause: String,
}

/// The object that a job runs.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct JobObject {
    /// The bucket.
    pub(super) bucket: String,
    /// The key.
    pub(super) key: String,
    /// The version id, where one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
}

/// Where and until when the file is to be uploaded.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct JobUpload {
    /// The method, `PUT`.
    pub(super) method: String,
    /// The URL. Whoever has it may upload, without any other permission.
    #[schemars(extend("format" = "uri"))]
    pub(super) url: String,
    /// Until when the upload may begin.
    #[schemars(extend("format" = "date-time"))]
    pub(super) expires_at: String,
}

/// Related resources, as paths.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct JobLinks {
    /// The job itself.
    #[serde(rename = "self")]
    pub(super) job: String,
    /// Its result, once it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) result: Option<String>,
}

/// A job.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Job")]
pub(super) struct JobView {
    /// Its id; ids sort from the newest job to the oldest.
    pub(super) id: String,
    /// How it stands.
    pub(super) state: JobState,
    /// The pipeline.
    pub(super) pipeline: String,
    /// The name of its execution of the state machine.
    pub(super) execution: String,
    /// When it came into being.
    #[schemars(extend("format" = "date-time"))]
    pub(super) created_at: String,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub(super) ended_at: Option<String>,
    /// The object; absent until the upload is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object: Option<JobObject>,
    /// How to upload the file; absent once it is there, or the time for it is over, and in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) upload: Option<JobUpload>,
    /// The records, once it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) records: Option<RecordCounts>,
    /// Where the result is, once it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) result: Option<JobResult>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<JobError>,
    /// Related resources.
    pub(super) links: JobLinks,
}

/// Some jobs, the newest first.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct JobList {
    /// The jobs, as they stood when they were last looked at. With `state` there may be fewer than `limit`, or none,
    /// though more follow.
    pub(super) jobs: Vec<JobView>,
    /// What to ask for next with `next`; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
    /// The path of the next page; absent at the end.
    pub(super) links: BTreeMap<String, String>,
}

/// One data file of a result.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct FileLink {
    /// The file, such as `s3://lake/flights/….parquet`.
    pub(super) object: String,
    /// Its records.
    pub(super) records: u64,
    /// Its bytes.
    pub(super) bytes: u64,
    /// Where it can be downloaded.
    #[schemars(extend("format" = "uri"))]
    pub(super) url: String,
}

/// Links to the result of a job. Whoever has them may download, without any other permission.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct ResultLinks {
    /// Until when a download may begin.
    #[schemars(extend("format" = "date-time"))]
    pub(super) expires_at: String,
    /// The data files, the first 1,000 of them. A newer version of the object replaces them.
    pub(super) files: Vec<FileLink>,
    /// How many data files there are.
    pub(super) file_count: usize,
    /// `report.json`.
    #[schemars(extend("format" = "uri"))]
    pub(super) report: String,
    /// The report for people.
    #[schemars(extend("format" = "uri"))]
    pub(super) report_html: String,
    /// The rejected records as they came; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uri"))]
    pub(super) rejects: Option<String>,
    /// The reasons of the rejects; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uri"))]
    pub(super) reasons: Option<String>,
}

/// Which part of a result a redirection goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Redirect {
    /// The only data file.
    Data,
    /// `report.json`.
    Report,
    /// The report for people.
    ReportHtml,
    /// The rejected records.
    Rejects,
    /// The reasons of the rejects.
    Reasons,
}

/// What went wrong with a request (RFC 9457).
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct ProblemDetails {
    /// What kind of problem it is: `urn:stepwell:problem:` and the title.
    #[serde(rename = "type")]
    #[schemars(extend("format" = "uri"))]
    pub(super) problem_type: String,
    /// One word, such as `JobNotFound`.
    pub(super) title: String,
    /// The status of the response.
    pub(super) status: u16,
    /// What there is to say of this one.
    pub(super) detail: String,
}
