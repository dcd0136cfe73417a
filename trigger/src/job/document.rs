use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use stepwell_pipeline::{
    ErrorKind, StageError,
    request::RunRequest,
    store::{self, ObjectRef},
};

use super::api::{JobError, JobResult, JobState, RecordCounts};
use crate::Ports;

/// Where the jobs' documents are in the work bucket.
pub(super) const DOCUMENTS: &str = "jobs/documents/";
/// Where the markers of open jobs are; they are named by when the job is to be looked at.
pub(super) const OPEN: &str = "jobs/open/";
/// Where uploads of jobs arrive in the landing bucket.
pub(super) const UPLOADS: &str = "uploads/";

/// Ids count from here backwards, so that the newest comes first: the milliseconds that eleven hexadecimal digits hold, in
/// the year 2527.
const FAR_MILLISECONDS: i64 = 0xfff_ffff_ffff;
const TIME_DIGITS: usize = 11;
const HASH_DIGITS: usize = 20;

/// What stands between the pipeline and the job's id in the name of a job's execution.
const JOB: &str = "-job-";

/// So often a document is read anew where others changed it meanwhile.
const ATTEMPTS_MAX: usize = 16;

/// A job, as the work bucket keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) pipeline: String,
    pub(super) state: JobState,
    pub(super) created_ms: i64,
    /// What the execution is started with; absent until the upload is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<RunRequest>,
    /// Where the upload is to go, unless the job began with an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) upload: Option<Upload>,
    /// When the execution was asked for last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) looked_ms: Option<i64>,
    /// When the execution began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) started_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ended_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) records: Option<RecordCounts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) result: Option<JobResult>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<JobError>,
    /// Whether a dead letter must still tell of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) alarm_owed: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) object: ObjectRef,
    pub(super) expires_ms: i64,
}

/// A document and the entity tag that it was seen with.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) job: Job,
    etag: Option<String>,
}

impl Job {
    /// The name of the job's execution.
    pub(super) fn execution(&self) -> String {
        format!("{}{JOB}{}", self.pipeline, self.id)
    }

    /// The job as it is when its end was noted.
    pub(super) fn failed(self, error: &str, cause: impl Into<String>, ended_ms: i64) -> Self {
        let error = Some(JobError { error: error.to_owned(), cause: cause.into() });
        Self { state: JobState::Failed, ended_ms: Some(ended_ms), error, ..self }
    }
}

/// The id of a job that came into being at a moment through a request. Ids of one millisecond are in no order.
pub(super) fn new_id(moment: DateTime<Utc>, hash: &str) -> String {
    let left = FAR_MILLISECONDS - moment.timestamp_millis().clamp(0, FAR_MILLISECONDS);
    format!("{left:0TIME_DIGITS$x}-{hash}")
}

/// Whether a text could be a job's id.
pub(super) fn is_id(text: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    text.split_once('-').is_some_and(|(time, hash)| {
        time.len() == TIME_DIGITS && hash.len() == HASH_DIGITS && is_hex(time) && is_hex(hash)
    })
}

/// The id of the job whose execution has that name.
pub(super) fn id_of_execution(name: &str) -> Option<&str> {
    name.rsplit_once(JOB).map(|(_, id)| id).filter(|id| is_id(id))
}

/// A moment as the API writes it.
pub(super) fn written(milliseconds: i64) -> String {
    DateTime::from_timestamp_millis(milliseconds).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn document_ref(ports: &Ports, id: &str) -> ObjectRef {
    ObjectRef::new(&ports.context.buckets.work, format!("{DOCUMENTS}{id}.json"))
}

/// A job's document.
pub(super) async fn read(ports: &Ports, id: &str) -> Result<Option<Seen>, StageError> {
    let object = document_ref(ports, id);
    let Some((bytes, meta)) = store::get(&*ports.context.stores, &object).await? else { return Ok(None) };
    let job = serde_json::from_slice(&bytes).map_err(|error| {
        StageError::with_source(ErrorKind::Internal, format!("{object} is not what Stepwell wrote there"), error)
    })?;
    Ok(Some(Seen { job, etag: meta.e_tag }))
}

/// Writes the document of a new job; one that is there already stays. Gives whichever there is now.
pub(super) async fn create(ports: &Ports, job: Job) -> Result<Seen, StageError> {
    let object = document_ref(ports, &job.id);
    store::put_if(&*ports.context.stores, &object, store::json_bytes(&job)?, None).await?;
    read(ports, &job.id)
        .await?
        .ok_or_else(|| StageError::new(ErrorKind::StoreUnavailable, format!("{object} was written and cannot be read")))
}

/// Changes a document, unless somebody else did since it was seen. Gives whether it was changed.
pub(super) async fn replace(ports: &Ports, seen: &Seen, next: &Job) -> Result<bool, StageError> {
    let object = document_ref(ports, &next.id);
    let Some(etag) = seen.etag.clone() else {
        return Err(StageError::new(ErrorKind::Internal, format!("{object} has no entity tag")));
    };
    store::put_if(&*ports.context.stores, &object, store::json_bytes(next)?, Some(etag)).await
}

/// Changes a document as the change says, from whatever it is by then; a change that gives nothing leaves it. Gives the
/// document as it then is.
pub(super) async fn change(
    ports: &Ports,
    mut seen: Seen,
    change: impl Fn(Job) -> Option<Job>,
) -> Result<Seen, StageError> {
    for _ in 0..ATTEMPTS_MAX {
        let Some(next) = change(seen.job.clone()) else { return Ok(seen) };
        let is_written = replace(ports, &seen, &next).await?;
        let id = seen.job.id;
        seen = read(ports, &id).await?.ok_or_else(|| gone(&id))?;
        if is_written {
            return Ok(seen);
        }
    }
    Err(StageError::new(ErrorKind::Throttled, format!("others kept changing job {} meanwhile", seen.job.id)))
}

fn gone(id: &str) -> StageError {
    StageError::new(ErrorKind::Internal, format!("the document of job {id} is gone"))
}

/// Marks a job as one to be looked at when a moment has come.
pub(super) async fn mark_open(ports: &Ports, id: &str, due: DateTime<Utc>) -> Result<(), StageError> {
    let key = format!("{OPEN}{:013}-{id}", due.timestamp_millis().max(0));
    store::put(&*ports.context.stores, &ObjectRef::new(&ports.context.buckets.work, key), "").await
}

/// When a job that began with an object is looked at first.
pub(super) fn first_look(job: &Job) -> DateTime<Utc> {
    let due_ms = job.upload.as_ref().map_or(job.created_ms, |upload| upload.expires_ms);
    DateTime::from_timestamp_millis(due_ms).unwrap_or_default() + Duration::minutes(15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_id_comes_first_and_fits_into_a_name() {
        let moment = DateTime::from_timestamp_millis(1_767_225_600_000).expect("a moment");
        let hash = "0123456789abcdef0123";
        let (older, newer) = (new_id(moment, hash), new_id(moment + Duration::milliseconds(1), hash));
        assert!(newer < older && is_id(&older) && is_id(&newer));
        assert!("p".repeat(40).len() + JOB.len() + older.len() <= 80);
        assert_eq!(id_of_execution(&format!("a-job-b-job-{older}")), Some(older.as_str()));
        assert_eq!(id_of_execution("sales-0123456789abcdef0123"), None);
    }

    #[test]
    fn an_id_is_eleven_and_twenty_hexadecimal_digits_in_lower_case() {
        assert!(is_id("0123456789a-0123456789abcdef0123"));
        for text in [
            "",
            "0123456789a",
            "0123456789a_0123456789abcdef0123",
            "0123456789-0123456789abcdef0123",
            "0123456789ab-0123456789abcdef0123",
            "0123456789a-0123456789abcdef012",
            "0123456789a-0123456789abcdef01234",
            "0123456789g-0123456789abcdef0123",
            "0123456789a-0123456789abcdef012g",
            "0123456789A-0123456789abcdef0123",
            "0123456789a-0123456789ABCDEF0123",
            "../3456789a-0123456789abcdef0123",
            "0123456789a-0123456789/../ef0123",
        ] {
            assert!(!is_id(text), "{text}");
        }
    }
}
