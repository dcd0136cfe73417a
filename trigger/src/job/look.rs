use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use stepwell_pipeline::{
    ErrorKind, StageError,
    execution::{Described, ExecutionState},
    failure::CaughtError,
    handoff::{self, Loaded},
    manifest::Report,
    store::{self, ObjectRef},
};
use tracing::{info, warn};

use super::{
    api::{JobLinks, JobObject, JobResult, JobState, JobUpload, JobView, RecordCounts},
    create,
    document::{self, Job, Seen, written},
    http::{HttpRequest, Response, no_job},
    problem::Problem,
};
use crate::Ports;

/// An execution is asked for no oftener than this: of `DescribeExecution` an account has 15 a second (Step Functions
/// Developer Guide, "Service quotas").
pub(super) const SECONDS_BETWEEN_LOOKS: i64 = 5;
/// After a throttled look clients are asked to wait longer.
const SECONDS_AFTER_THROTTLING: i64 = 15;
/// The most data files that a job names.
pub(super) const FILES_MAX: usize = 1000;

/// Answers `GET /jobs/{id}`.
pub(super) async fn show(ports: &Ports, request: &HttpRequest, id: &str) -> Result<Response, Problem> {
    let (seen, retry_after) = current(ports, id).await?;
    let response = Response::json(200, &json!(view(ports, request, &seen.job, true).await?));
    Ok(match retry_after {
        Some(seconds) => response.with_header("retry-after", seconds.to_string()),
        None => response,
    })
}

/// The job as it stands, and in how many seconds it is worth asking again, unless it has ended.
pub(super) async fn current(ports: &Ports, id: &str) -> Result<(Seen, Option<i64>), Problem> {
    let seen = document::read(ports, id).await?.ok_or_else(|| no_job(id))?;
    let mut retry_after = SECONDS_BETWEEN_LOOKS;
    let seen = match look(ports, seen.clone()).await {
        Ok(seen) => seen,
        // What is known is better than no answer.
        Err(error) if error.kind().is_transient() => {
            warn!(job = id, error = error.report(), "cannot look at the job's execution");
            retry_after = SECONDS_AFTER_THROTTLING;
            seen
        }
        Err(error) => return Err(error.into()),
    };
    let retry_after = (!seen.job.state.is_final()).then_some(retry_after);
    Ok((seen, retry_after))
}

/// Looks at the job's execution and notes how it stands, unless somebody looked a moment ago.
///
/// Who looks says so first, in the document: of many who ask at the same time one looks.
async fn look(ports: &Ports, seen: Seen) -> Result<Seen, StageError> {
    let now_ms = super::now(ports).timestamp_millis();
    let is_recent = |looked_ms: i64| now_ms - looked_ms < SECONDS_BETWEEN_LOOKS * 1000;
    if seen.job.state.is_final() || seen.job.request.is_none() || seen.job.looked_ms.is_some_and(is_recent) {
        return Ok(seen);
    }
    let next = Job { looked_ms: Some(now_ms), ..seen.job.clone() };
    let is_mine = document::replace(ports, &seen, &next).await?;
    let id = seen.job.id;
    let seen = document::read(ports, &id).await?;
    let seen = seen.ok_or_else(|| StageError::new(ErrorKind::Internal, format!("the document of job {id} is gone")))?;
    if is_mine { Ok(observe(ports, seen).await?.0) } else { Ok(seen) }
}

/// Asks for the job's execution and notes how it stands. Gives what was found, too.
pub(super) async fn observe(ports: &Ports, seen: Seen) -> Result<(Seen, Option<Described>), StageError> {
    let described = ports.executions.describe(&seen.job.execution()).await?;
    let Some(found) = &described else { return Ok((seen, None)) };
    let ended_ms = found
        .ended_ms
        .map_or_else(|| super::now(ports).timestamp_millis(), |ended_ms| i64::try_from(ended_ms).unwrap_or(i64::MAX));
    let loaded = match &found.state {
        ExecutionState::Succeeded(output) => Some(outcome(ports, output).await?),
        _ => None,
    };
    let seen = document::change(ports, seen, |job| {
        let job = Job { started_ms: Some(found.started_ms), ..job };
        match (&found.state, &loaded) {
            // What is terminal stays, unless a redrive made good what had failed.
            _ if job.state == JobState::Done => None,
            (ExecutionState::Running, _) if job.state != JobState::Pending => None,
            (ExecutionState::Running, _) => Some(Job { state: JobState::Processing, ..job }),
            (ExecutionState::Failed { .. }, _) if job.state == JobState::Failed => None,
            (ExecutionState::Failed { error, cause }, _) => {
                let caught = CaughtError { error: error.clone(), cause: cause.clone() };
                Some(job.failed(error, caught.message(), ended_ms))
            }
            (ExecutionState::Succeeded(_), Some((records, result))) => Some(Job {
                state: JobState::Done,
                ended_ms: Some(ended_ms),
                records: Some(*records),
                result: Some(result.clone()),
                error: None,
                alarm_owed: false,
                ..job
            }),
            (ExecutionState::Succeeded(_), None) => None,
        }
    })
    .await?;
    if seen.job.state.is_final() {
        info!(job = seen.job.id, state = ?seen.job.state, "job ended");
    }
    Ok((seen, described))
}

/// What an execution's output and the run's report say.
async fn outcome(ports: &Ports, output: &Value) -> Result<(RecordCounts, JobResult), StageError> {
    let loaded: Loaded = handoff::parse(output)?;
    let work = &ports.context.buckets.work;
    let report: Option<Report> = store::get_json(&*ports.context.stores, &ObjectRef::new(work, &loaded.report)).await?;
    let in_work = |key: &str| ObjectRef::new(work, key).to_string();
    let files = report.as_ref().map(|report| report.files.as_slice()).unwrap_or_default();
    let rejects = report.as_ref().and_then(|report| report.rejects.as_ref());
    let records = RecordCounts {
        read: loaded.records_read,
        rejected: loaded.records_rejected,
        filtered: loaded.records_filtered,
        loaded: loaded.records_loaded,
    };
    let result = JobResult {
        run: loaded.run.id,
        commit: loaded.commit.into(),
        table: loaded.table.to_string(),
        files: files
            .iter()
            .take(FILES_MAX)
            .map(|file| ObjectRef::new(&loaded.table.bucket, &file.key).to_string())
            .collect(),
        file_count: files.len(),
        bytes: loaded.bytes_loaded,
        report: in_work(&loaded.report),
        rejects: rejects.map(|rejects| in_work(&rejects.records)),
        reasons: rejects.map(|rejects| in_work(&rejects.reasons)),
    };
    Ok((records, result))
}

/// An execution ended, or was redriven: if it is a job's, the job is told.
pub(crate) async fn ended(ports: &Ports, execution: &str) -> Result<(), StageError> {
    match document::id_of_execution(execution) {
        Some(id) => look_again(ports, id).await,
        None => Ok(()),
    }
}

/// Looks at a job, whatever is thought of it: started is what was to be, and noted how it stands.
pub(crate) async fn look_again(ports: &Ports, id: &str) -> Result<(), StageError> {
    let Some(seen) = document::read(ports, id).await? else {
        info!(job = id, "there is no such job");
        return Ok(());
    };
    if seen.job.state != JobState::Done && seen.job.request.is_some() {
        observe(ports, create::begin(ports, seen).await?).await?;
    }
    Ok(())
}

/// A job as clients see it.
pub(super) async fn view(
    ports: &Ports,
    request: &HttpRequest,
    job: &Job,
    with_upload: bool,
) -> Result<JobView, StageError> {
    let upload = match &job.upload {
        Some(upload) if with_upload && job.request.is_none() && !job.state.is_final() => {
            upload_link(ports, &upload.object, upload.expires_ms).await?
        }
        _ => None,
    };
    Ok(JobView {
        id: job.id.clone(),
        state: job.state,
        pipeline: job.pipeline.clone(),
        execution: job.execution(),
        created_at: written(job.created_ms),
        ended_at: job.ended_ms.map(written),
        object: job.request.as_ref().map(|request| JobObject {
            bucket: request.bucket.clone(),
            key: request.key.clone(),
            version: request.version.clone(),
        }),
        upload,
        records: job.records,
        result: job.result.clone(),
        error: job.error.clone(),
        links: JobLinks {
            job: request.path(&["jobs", &job.id]),
            result: (job.state == JobState::Done).then(|| request.path(&["jobs", &job.id, "result"])),
        },
    })
}

/// A link for the rest of the time that there is. None is kept, since whoever has it may upload.
async fn upload_link(ports: &Ports, object: &ObjectRef, expires_ms: i64) -> Result<Option<JobUpload>, StageError> {
    let expires = DateTime::from_timestamp_millis(expires_ms).unwrap_or_default();
    let left: chrono::Duration = expires - DateTime::<Utc>::from((ports.context.now)());
    let Some(left) = left.to_std().ok().filter(|left| left.as_secs() > 0) else { return Ok(None) };
    let url = ports.links.upload(object, left).await?;
    Ok(Some(JobUpload { method: "PUT".to_owned(), url, expires_at: written(expires_ms) }))
}

#[cfg(test)]
mod tests;
