use chrono::{DateTime, Duration, Utc};
use futures::{StreamExt, TryStreamExt};
use serde_json::json;
use stepwell_pipeline::{
    StageError,
    execution::{Described, ExecutionState},
    queue::DeathCause,
    request::RunRequest,
    store::{self, ObjectRef},
};
use tracing::error;

use super::{
    create,
    document::{self, Job, OPEN, Seen, is_id},
    look, upload,
};
use crate::Ports;

/// The most jobs that one tick looks at; the rest waits for the next.
const LOOKS_MAX: usize = 200;
/// So many are looked at at the same time.
const LOOKS_AT_ONCE: usize = 8;
/// When a job that is open is looked at again. That it ended is told by an event; this is for events that never came.
const AGAIN: Duration = Duration::minutes(30);
/// An execution that runs longer is stuck: the state machine ends it after a day (`TimeoutSeconds`).
const RUNNING_MAX: Duration = Duration::hours(25);
/// A job that waits longer for its turn is stuck.
const WAITING_MAX: Duration = Duration::days(3);

/// Looks at the open jobs that are due. Those that cannot end any more fail, each with one dead letter, which the
/// deployment's alarm on them tells people of.
pub(crate) async fn tick(ports: &Ports, now: DateTime<Utc>) -> Result<(), StageError> {
    let markers = due(ports, now).await?;
    let looked: Vec<Result<(), StageError>> = futures::stream::iter(markers)
        .map(|marker| async move { look_at(ports, &marker, now).await })
        .buffer_unordered(LOOKS_AT_ONCE)
        .collect()
        .await;
    looked.into_iter().collect()
}

/// A marker: `jobs/open/<when it is due, in milliseconds since 1970>-<job id>`.
struct Marker {
    object: ObjectRef,
    id: String,
}

/// The markers that are due, the longest due first.
async fn due(ports: &Ports, now: DateTime<Utc>) -> Result<Vec<Marker>, StageError> {
    let work = &ports.context.buckets.work;
    let end = format!("{:013}-", now.timestamp_millis().max(0));
    let listed = ports.context.stores.bucket(work)?.list(Some(&store::path(OPEN)?));
    let names: Vec<String> = listed
        .map_ok(|meta| meta.location.filename().unwrap_or_default().to_owned())
        // A listing is in the order of keys, and so of time.
        .try_take_while(|name| std::future::ready(Ok(*name < end)))
        .take(LOOKS_MAX)
        .try_collect()
        .await
        .map_err(|error| store::classify(error, "cannot list the open jobs"))?;
    let marker = |name: &String| {
        let (_, id) = name.split_once('-').filter(|(_, id)| is_id(id))?;
        Some(Marker { object: ObjectRef::new(work, format!("{OPEN}{name}")), id: id.to_owned() })
    };
    Ok(names.iter().filter_map(marker).collect())
}

async fn look_at(ports: &Ports, marker: &Marker, now: DateTime<Utc>) -> Result<(), StageError> {
    if let Some(seen) = document::read(ports, &marker.id).await? {
        let seen = if seen.job.state.is_final() { seen } else { advance(ports, seen, now).await? };
        if seen.job.alarm_owed {
            alarm(ports, seen).await?;
        } else if !seen.job.state.is_final() {
            document::mark_open(ports, &marker.id, now + AGAIN).await?;
        }
    }
    // Without a document nobody was told of the job: its maker died.
    store::delete(&*ports.context.stores, &marker.object).await
}

/// Does what should have been done for the job, and ends it where that is too late.
async fn advance(ports: &Ports, seen: Seen, now: DateTime<Utc>) -> Result<Seen, StageError> {
    let seen = if seen.job.request.is_none() { find_upload(ports, seen, now).await? } else { seen };
    if seen.job.request.is_none() {
        return Ok(seen);
    }
    let (seen, described) = look::observe(ports, create::begin(ports, seen).await?).await?;
    match why_stuck(&seen.job, described.as_ref(), now) {
        Some(cause) => fail(ports, seen, "JobStuck", cause, now).await,
        None => Ok(seen),
    }
}

/// Takes an upload whose event was lost; without one the job fails. The marker of a job that waits for its upload is due
/// only when nobody can upload any more.
async fn find_upload(ports: &Ports, seen: Seen, now: DateTime<Utc>) -> Result<Seen, StageError> {
    let Some(upload) = seen.job.upload.clone() else { return Ok(seen) };
    if let Some(meta) = store::head(&*ports.context.stores, &upload.object).await? {
        let created = RunRequest {
            bucket: upload.object.bucket,
            key: upload.object.key,
            etag: meta.e_tag,
            size: Some(meta.size),
            ..RunRequest::default()
        };
        return upload::take(ports, seen, &created).await;
    }
    let cause = format!("{} was not uploaded by {}", upload.object, document::written(upload.expires_ms));
    fail(ports, seen, "UploadMissing", cause, now).await
}

fn why_stuck(job: &Job, described: Option<&Described>, now: DateTime<Utc>) -> Option<String> {
    let since = |milliseconds: i64| now - DateTime::from_timestamp_millis(milliseconds).unwrap_or_default();
    match described {
        Some(Described { state: ExecutionState::Running, started_ms, .. }) => {
            let running = since(i64::try_from(*started_ms).unwrap_or(i64::MAX));
            (running > RUNNING_MAX)
                .then(|| format!("the execution {} runs since {} hours", job.execution(), running.num_hours()))
        }
        Some(_) => None,
        None if job.started_ms.is_some() => Some(format!("the execution {} is gone", job.execution())),
        None => {
            let waiting = since(job.created_ms);
            (waiting > WAITING_MAX).then(|| {
                format!("the execution {} waits for its turn since {} hours", job.execution(), waiting.num_hours())
            })
        }
    }
}

async fn fail(ports: &Ports, seen: Seen, error: &str, cause: String, now: DateTime<Utc>) -> Result<Seen, StageError> {
    let upload_may_come = error == "UploadMissing";
    document::change(ports, seen, |job| {
        let is_past = job.state.is_final() || (upload_may_come && job.request.is_some());
        (!is_past).then(|| Job { alarm_owed: true, ..job.failed(error, cause.clone(), now.timestamp_millis()) })
    })
    .await
}

/// Sends the dead letter that is owed. Redriven, it has the job looked at again.
async fn alarm(ports: &Ports, seen: Seen) -> Result<(), StageError> {
    let job = &seen.job;
    if let Some(failed) = &job.error {
        error!(job = job.id, pipeline = job.pipeline, error_name = failed.error, error = failed.cause, "job failed");
        let cause = DeathCause {
            error: failed.error.clone(),
            message: format!("job {}: {}", job.id, failed.cause),
            pipeline: Some(job.pipeline.clone()),
        };
        ports.queue.bury(&json!({ "job": job.id }).to_string(), &cause).await?;
    }
    document::change(ports, seen, |job| job.alarm_owed.then_some(Job { alarm_owed: false, ..job })).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
