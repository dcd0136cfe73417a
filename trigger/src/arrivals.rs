//! Uploads that do not come.
//!
//! A pipeline that expects data every so often has a small document that tells when an upload came last. It is written
//! anew only where it is older than a fraction of that time, so that a burst of uploads writes it once; by this fraction
//! the alarm may be late, and it is never early.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stepwell_pipeline::{
    StageError,
    metrics::{Metric, Subject},
    store::{self, ObjectRef},
};
use tracing::warn;

use crate::{Ports, route::Router};

/// Where the documents are in the work bucket, one for each pipeline.
const ARRIVALS_PREFIX: &str = "arrivals/";

/// The document says within this part of the expected time when an upload came last.
const FRACTION: u32 = 20;

/// When an upload of a pipeline came last; where there was none yet, since when one is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Arrival {
    arrived_ms: u64,
}

/// Notes that an upload of the pipeline came, which expects one every so often.
///
/// # Errors
/// What the store says; then a repetition is needed, and does no harm.
pub(crate) async fn note(ports: &Ports, pipeline: &str, every: Duration) -> Result<(), StageError> {
    let since_1970 = (ports.context.now)().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now_ms = millis(since_1970);
    let (known, etag) = read(ports, pipeline).await?;
    match known {
        Some(known) if now_ms < known.arrived_ms.saturating_add(millis(every / FRACTION)) => Ok(()),
        // Whoever wrote meanwhile noted a moment as good as this one.
        _ => write(ports, pipeline, Arrival { arrived_ms: now_ms }, etag).await,
    }
}

/// Tells of each pipeline that expects uploads whether it waits for too long, and how many do.
///
/// # Errors
/// What the store says; the next tick looks again.
pub(crate) async fn tick(ports: &Ports, router: &mut Router<'_>, now: DateTime<Utc>) -> Result<(), StageError> {
    let specs = router.catalog().await?.specs().iter();
    let expecting: Vec<_> = specs.filter_map(|spec| Some((spec.name(), spec.expect_every?))).collect();
    let (mut overdue, mut first_error) = (0_u32, None);
    for &(pipeline, every) in &expecting {
        match is_overdue(ports, pipeline, every, now).await {
            Ok(is_overdue) => {
                let value = f64::from(u8::from(is_overdue));
                overdue += u32::from(is_overdue);
                ports.context.measure(Subject::Pipeline(pipeline.to_owned()), vec![(Metric::PipelinesOverdue, value)]);
            }
            Err(error) => {
                warn!(pipeline, error = error.report(), "cannot see when an upload came last");
                first_error = first_error.or(Some(error));
            }
        }
    }
    if let Some(error) = first_error {
        return Err(error);
    }
    if !expecting.is_empty() {
        ports.context.measure(Subject::Deployment, vec![(Metric::PipelinesOverdue, overdue.into())]);
    }
    Ok(())
}

async fn is_overdue(ports: &Ports, pipeline: &str, every: Duration, now: DateTime<Utc>) -> Result<bool, StageError> {
    let now_ms = u64::try_from(now.timestamp_millis()).unwrap_or_default();
    let (known, etag) = read(ports, pipeline).await?;
    let Some(known) = known else {
        // From now on one is expected.
        write(ports, pipeline, Arrival { arrived_ms: now_ms }, etag).await?;
        return Ok(false);
    };
    let latest_ms = known.arrived_ms.saturating_add(millis(every + every / FRACTION));
    let is_overdue = now_ms > latest_ms;
    if is_overdue {
        let arrived = DateTime::from_timestamp_millis(i64::try_from(known.arrived_ms).unwrap_or_default());
        let (arrived, expected_seconds) = (arrived.map(|moment| moment.to_rfc3339()), every.as_secs());
        warn!(pipeline, arrived, expected_seconds, "pipeline is overdue: no upload came");
    }
    Ok(is_overdue)
}

fn document(ports: &Ports, pipeline: &str) -> ObjectRef {
    ObjectRef::new(&ports.context.buckets.work, format!("{ARRIVALS_PREFIX}{pipeline}.json"))
}

/// What is known, and the entity tag of the document that says so. One that cannot be understood counts as none, and is
/// replaced.
async fn read(ports: &Ports, pipeline: &str) -> Result<(Option<Arrival>, Option<String>), StageError> {
    let found = store::get(&*ports.context.stores, &document(ports, pipeline)).await?;
    Ok(found.map_or((None, None), |(bytes, meta)| (serde_json::from_slice(&bytes).ok(), meta.e_tag)))
}

async fn write(ports: &Ports, pipeline: &str, arrival: Arrival, seen: Option<String>) -> Result<(), StageError> {
    let bytes = store::json_bytes(&arrival)?;
    store::put_if(&*ports.context.stores, &document(ports, pipeline), bytes, seen).await.map(|_| ())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
