//! Many small files, gathered into batches.
//!
//! An upload leaves a marker, and nothing else. The tick cuts markers into numbered batches. The list of a batch is created
//! once, on condition that the number is free, and a batch is finished (run, and its members recorded) before the next
//! number is tried: so an object is in one batch, whoever cuts, and whatever dies meanwhile. A marker goes when what it
//! tells is in a list whose run was started.

mod cutter;
mod marker;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::ObjectMeta;
use stepwell_pipeline::{
    StageError,
    request::RunRequest,
    spec::{BatchLimits, CheckedSpec},
    store::{self, ObjectRef},
};
use tracing::{info, warn};

use self::{cutter::Cutter, marker::Marker};
use crate::{Ports, route::Router};

/// Where everything about gathering is in the work bucket.
const GATHERING_PREFIX: &str = "gathering/";

/// So many markers of a pipeline are handled by one tick, about; the next goes on.
const FILES_PER_TICK: usize = 20_000;

/// So many markers of a pipeline are looked at by one tick.
const LISTED_MAX: usize = 50_000;

/// The limits for what still waits when the spec gathers no more.
const AT_ONCE: BatchLimits = BatchLimits { files_max: 1000, bytes_max: 256 << 20, wait_max: std::time::Duration::ZERO };

/// Keeps an upload for one of the pipeline's next batches.
pub(crate) async fn keep(ports: &Ports, pipeline: &CheckedSpec, request: &RunRequest) -> Result<(), StageError> {
    let object = ObjectRef::new(&request.bucket, &request.key);
    let Some(marker) = marker::of(ports, request).await? else {
        info!(pipeline = pipeline.name(), %object, "object is gone again, and is left out");
        return Ok(());
    };
    if marker.bytes == 0 {
        info!(pipeline = pipeline.name(), %object, "object is empty, and is left out");
        return Ok(());
    }
    let key = format!("{}{}", waiting_prefix(pipeline.name()), marker.name);
    let document = store::json_bytes(&marker.request)?;
    // Only if it is not there: an event that comes again does not make the object wait anew.
    let work = &ports.context.buckets.work;
    store::put_if(&*ports.context.stores, &ObjectRef::new(work, key), document, None).await.map(|_| ())
}

/// Cuts the batches that are full or have waited long enough.
pub(crate) async fn tick(ports: &Ports, router: &mut Router<'_>, now: DateTime<Utc>) -> Result<(), StageError> {
    let mut first_error = None;
    for pipeline in pipelines(ports).await? {
        if let Err(error) = cut_due(ports, router, &pipeline, now).await {
            warn!(pipeline, error = error.report(), "batches cannot be cut");
            first_error = first_error.or(Some(error));
        }
    }
    first_error.map_or(Ok(()), Err)
}

/// Cuts what is due of one pipeline, as far as the tick goes.
async fn cut_due(ports: &Ports, router: &mut Router<'_>, pipeline: &str, now: DateTime<Utc>) -> Result<(), StageError> {
    let waiting = waiting(ports, pipeline).await?;
    if waiting.is_empty() {
        return Ok(());
    }
    let limits = match router.catalog().await?.pick("", Some(pipeline)) {
        Ok(spec) => spec.batch.unwrap_or(AT_ONCE),
        Err(error) => {
            warn!(pipeline, files = waiting.len(), error = error.report(), "uploads wait for their pipeline's spec");
            return Ok(());
        }
    };
    let cutter = Cutter::new(ports, pipeline);
    let mut rest = &waiting[..];
    let mut handled = 0;
    while handled < FILES_PER_TICK {
        let (due, later) = rest.split_at(due(rest, &limits, now));
        if due.is_empty() {
            break;
        }
        cutter.take(due).await?;
        handled += due.len();
        rest = later;
        if ports.context.budget.is_spent() {
            break;
        }
    }
    Ok(())
}

/// How many of the markers, the oldest first, make the next batch: none as long as it is neither full nor has waited.
fn due(waiting: &[Marker], limits: &BatchLimits, now: DateTime<Utc>) -> usize {
    let mut bytes: u64 = 0;
    for (before, marker) in waiting.iter().enumerate() {
        bytes = bytes.saturating_add(marker.bytes);
        if bytes > limits.bytes_max && before > 0 {
            return before;
        }
        if bytes >= limits.bytes_max || before + 1 >= limits.files_max {
            return before + 1;
        }
    }
    let waited = waiting.first().and_then(|oldest| (now - oldest.since).to_std().ok());
    if waited.is_some_and(|waited| waited >= limits.wait_max) { waiting.len() } else { 0 }
}

/// The pipelines of which something was ever gathered.
async fn pipelines(ports: &Ports) -> Result<Vec<String>, StageError> {
    let work = &ports.context.buckets.work;
    let prefix = store::path(GATHERING_PREFIX)?;
    let listed = ports.context.stores.bucket(work)?.list_with_delimiter(Some(&prefix)).await;
    let listed = listed.map_err(|error| listing_error(error, work, GATHERING_PREFIX))?;
    let names = listed.common_prefixes.iter().filter_map(|prefix| prefix.filename());
    Ok(names.map(str::to_owned).collect())
}

/// The markers of a pipeline, the oldest first.
async fn waiting(ports: &Ports, pipeline: &str) -> Result<Vec<Marker>, StageError> {
    let work = &ports.context.buckets.work;
    let prefix = waiting_prefix(pipeline);
    let listed = ports.context.stores.bucket(work)?.list(Some(&store::path(&prefix)?));
    let listed = futures::StreamExt::take(listed, LISTED_MAX);
    let metas: Vec<ObjectMeta> = listed.try_collect().await.map_err(|error| listing_error(error, work, &prefix))?;
    let mut waiting: Vec<Marker> = metas.into_iter().map(Marker::of).collect();
    waiting.sort_by(|one, other| (one.since, &one.path).cmp(&(other.since, &other.path)));
    Ok(waiting)
}

fn listing_error(error: object_store::Error, bucket: &str, prefix: &str) -> StageError {
    store::classify(error, &format!("cannot list s3://{bucket}/{prefix}"))
}

fn waiting_prefix(pipeline: &str) -> String {
    format!("{GATHERING_PREFIX}{pipeline}/waiting/")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn markers(bytes: &[u64]) -> Vec<Marker> {
        let marker = |(number, bytes): (usize, &u64)| Marker {
            path: format!("{number}-{bytes}.json").into(),
            bytes: *bytes,
            since: DateTime::UNIX_EPOCH,
        };
        bytes.iter().enumerate().map(marker).collect()
    }

    fn due_after(bytes: &[u64], seconds: u64) -> usize {
        let limits = BatchLimits { files_max: 3, bytes_max: 100, wait_max: Duration::from_secs(60) };
        due(&markers(bytes), &limits, DateTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    #[test]
    fn a_batch_is_cut_when_it_is_full_or_has_waited() {
        for (bytes, seconds, expected) in [
            (&[][..], 1000, 0),
            (&[1, 1], 59, 0),
            (&[1, 1], 60, 2),
            (&[1, 1, 1], 0, 3),
            (&[1, 1, 1, 1], 0, 3),
            (&[50, 49], 0, 0),
            (&[50, 50], 0, 2),
            (&[50, 51], 0, 1),
            (&[500], 0, 1),
            (&[500, 1], 0, 1),
            (&[1, 500], 0, 1),
        ] {
            assert_eq!(due_after(bytes, seconds), expected, "{bytes:?} after {seconds} s");
        }
    }
}
