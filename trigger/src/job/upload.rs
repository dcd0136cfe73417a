use stepwell_pipeline::{ErrorKind, StageError, request::RunRequest};
use tracing::info;

use super::{
    create::begin,
    document::{self, Job, Seen, UPLOADS, is_id},
};
use crate::Ports;

/// Starts the job that an object was uploaded for, and gives the execution's name; nothing for an object that no job waits
/// for, which is to go where its key leads.
///
/// The first event that comes says which version of the object is run. Repetitions start nothing twice; what is uploaded
/// once more is not run.
///
/// # Errors
/// `InvalidInput` for an upload that came after its job had failed for want of it.
pub(crate) async fn claim(ports: &Ports, created: &RunRequest) -> Result<Option<String>, StageError> {
    if created.bucket != ports.context.buckets.landing {
        return Ok(None);
    }
    let id = created.key.strip_prefix(UPLOADS).and_then(|rest| rest.split_once('/')).map(|(id, _)| id);
    let Some(id) = id.filter(|id| is_id(id)) else { return Ok(None) };
    let Some(seen) = document::read(ports, id).await? else { return Ok(None) };
    if seen.job.upload.as_ref().is_none_or(|upload| upload.object.key != created.key) {
        return Ok(None);
    }
    let seen = take(ports, seen, created).await?;
    if seen.job.request.is_none() {
        let message = format!("{} came after job {id} had failed for want of it; make a new job", created.key);
        return Err(StageError::new(ErrorKind::InvalidInput, message));
    }
    let seen = begin(ports, seen).await?;
    Ok(Some(seen.job.execution()))
}

/// Notes which version of the object the job runs, unless that is known.
pub(super) async fn take(ports: &Ports, seen: Seen, created: &RunRequest) -> Result<Seen, StageError> {
    let seen = document::change(ports, seen, |job| {
        if job.request.is_some() || job.state.is_final() {
            return None;
        }
        let request = RunRequest {
            pipeline: Some(job.pipeline.clone()),
            reason: Some(format!("job {}", job.id)),
            ..created.clone()
        };
        Some(Job { request: Some(request), ..job })
    })
    .await?;
    let taken = seen.job.request.as_ref();
    if taken.is_some_and(|taken| (&taken.sequencer, &taken.etag) != (&created.sequencer, &created.etag)) {
        info!(job = seen.job.id, key = created.key, "upload left as it is, since the job runs an earlier one");
    }
    Ok(seen)
}

#[cfg(test)]
mod tests;
