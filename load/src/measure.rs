use std::time::SystemTime;

use stepwell_pipeline::{
    batch::PinnedBatch,
    manifest::{Timing, TransformManifest},
    metrics::{Metric, Subject},
    run::{Run, Source},
    stage::{Stage, StageContext},
};

/// Tells what a commit brought, and how long after the upload.
pub(crate) fn committed(
    context: &StageContext,
    run: &Run,
    batch: Option<&PinnedBatch>,
    staged: &TransformManifest,
    started: SystemTime,
) {
    let now = (context.now)();
    let mut values =
        vec![(Metric::RecordsLoaded, staged.records_out as f64), (Metric::BytesLoaded, staged.bytes_out as f64)];
    values.extend(lag_seconds(run, batch, now).map(|seconds| (Metric::LagSeconds, seconds)));
    context.measure(Subject::run(run), values);
    let seconds = Timing::between(started, now).duration_seconds();
    context.measure(Subject::stage(run, Stage::Load), vec![(Metric::StageSeconds, seconds)]);
}

/// Seconds from the upload of the object, or of the oldest member of the batch, to a moment.
///
/// Only what an event told of has a lag, which its sequencer shows: what a backfill or a schedule lists, and what a person
/// names, was not loaded on its arrival, on purpose.
fn lag_seconds(run: &Run, batch: Option<&PinnedBatch>, now: SystemTime) -> Option<f64> {
    let sources = match batch {
        Some(batch) => &batch.list.members[..],
        None => std::slice::from_ref(&run.source),
    };
    let told = sources.iter().filter(|source| source.sequencer.is_some());
    let oldest_ms = told.map(|Source { modified_ms, .. }| *modified_ms).min()?;
    let now_ms = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    // Clocks of two services may differ by a little.
    let lag_ms = i64::try_from(now_ms).unwrap_or(i64::MAX).saturating_sub(oldest_ms).max(0);
    Some(lag_ms as f64 / 1000.0)
}
