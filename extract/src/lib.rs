//! The first stage: an object in the landing bucket, or a batch of them, becomes staged parts of accepted records, and rejects.

mod batch;
mod buffers;
mod check;
mod checkpoint;
mod column;
mod decode;
mod extraction;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod infer;
mod lineage;
mod output;
mod pin;
mod profile;
mod sift;
mod source;

use std::sync::Arc;

pub use check::check;
use futures::future::BoxFuture;
use stepwell_pipeline::{
    ErrorKind, StageError,
    handoff::{Extracted, Round},
    lineage::Sending,
    manifest::ExtractManifest,
    metrics::{Metric, Subject, reject_ratio},
    request::RunRequest,
    run::{Run, Source},
    spec::{Catalog, CheckedSpec},
    stage::{Stage, StageContext},
    staging,
    store::{self, ObjectRef},
};

use crate::extraction::{Ended, Input};

/// Runs the stage: pins the object or the list of the batch, picks the pipeline, checks every record against the schema, and writes accepted
/// records and rejects under the run's prefix.
///
/// The list of a batch is an object below `batches/` of the work bucket; its members are read one after the other. The
/// pipeline is the list's.
///
/// Where the time is up it saves a checkpoint and asks to be called again, to go on there. Repeated for the same
/// object version and spec, it finds its own manifest and does nothing, unless the run needs parts that are gone.
///
/// # Errors
/// `SourceMissing`, `SourceChanged`, `NoPipeline`, `InvalidInput`, `InvalidSpec`, `UnreadableSource`, `SchemaMismatch`,
/// `TooManyRejects`, `ReconciliationFailed`, and what the stores say.
pub fn extract(
    context: &StageContext,
    request: RunRequest,
) -> BoxFuture<'_, Result<Round<Extracted, RunRequest>, StageError>> {
    // In a box, so that not every program that awaits it generates its code anew.
    Box::pin(run_stage(context, request))
}

async fn run_stage(context: &StageContext, request: RunRequest) -> Result<Round<Extracted, RunRequest>, StageError> {
    let mut told = Sending::default();
    let ended = round(context, request, &mut told).await;
    told.finish().await;
    ended
}

async fn round(
    context: &StageContext,
    request: RunRequest,
    told: &mut Sending,
) -> Result<Round<Extracted, RunRequest>, StageError> {
    let started = (context.now)();
    let (source, batch) = if batch::is_wanted(context, &request) {
        let pinned = batch::pin(context, &request).await?;
        (pinned.source.clone(), Some(pinned))
    } else {
        (pin::pin(context, &request).await?, None)
    };
    let catalog = Catalog::read(context).await?;
    let pipeline = batch.as_ref().map(|batch| batch.list.pipeline.as_str()).or(request.pipeline.as_deref());
    let spec = catalog.pick(&request.key, pipeline)?;
    let run = Run::new(spec.name(), &spec.digest, source);
    run.log_id();
    if !request.more {
        *told = lineage::begin(context, spec, &run, batch.as_ref().map(|batch| &*batch.list.members));
    }
    let bytes = batch.as_ref().map_or(run.source.size, |batch| batch.list.bytes());
    let work = &context.buckets.work;
    let manifest_ref = ObjectRef::new(work, run.stage_key(Stage::Extract, "manifest.json"));
    context.progress.started(Stage::Extract, Some(bytes));
    let earlier: Option<ExtractManifest> = store::get_json(&*context.stores, &manifest_ref).await?;
    if let Some(manifest) = &earlier
        && staging::serves(context, spec, &run, Stage::Extract, manifest.staged()).await?
    {
        tracing::info!(run = run.id, "extract was finished by an earlier execution");
        context.progress.finished(Stage::Extract, true);
        return Ok(Round::Done(extracted(run, manifest, manifest_ref.key)));
    }
    let spec_ref = ObjectRef::new(work, run.spec_key());
    store::put(&*context.stores, &spec_ref, spec.text.clone()).await?;
    let members: Option<Arc<[Source]>> = match batch {
        Some(pinned) => {
            batch::keep(context, &run, &pinned).await?;
            Some(pinned.list.members.into())
        }
        None => None,
    };

    let input = Input { run: &run, request: &request, members: members.clone(), bytes };
    let (manifest, leftovers) = match extraction::decode(context, spec, input, started).await? {
        Ended::Done(manifest, leftovers) => (manifest, leftovers),
        Ended::More => {
            tracing::info!(run = run.id, "extract saved a checkpoint; there is more to do");
            return Ok(Round::More(pinned(request, &run)));
        }
    };
    reconcile(&manifest)?;
    // What is refused has no manifest to be found by a repetition; it ends the execution.
    if let Err(refusal) = refuse_too_many_rejects(spec, &manifest, work) {
        measure_records(context, &manifest);
        told.finish().await;
        *told = lineage::refused(context, spec, &manifest, members.as_deref());
        return Err(refusal);
    }
    store::put_json(&*context.stores, &manifest_ref, &*manifest).await?;
    // Where only the parts were gone, the records were counted when they were read for the first time.
    if earlier.is_none() {
        measure_records(context, &manifest);
    }
    let seconds = manifest.timing.duration_seconds();
    context.measure(Subject::stage(&run, Stage::Extract), vec![(Metric::StageSeconds, seconds)]);
    extraction::clean_up(context, &leftovers).await;
    context.progress.finished(Stage::Extract, false);
    tracing::info!(
        run = manifest.run.id,
        records_read = manifest.records_read,
        records_rejected = manifest.records_rejected,
        "extracted"
    );
    Ok(Round::Done(extracted(run, &manifest, manifest_ref.key)))
}

/// The request for the next round: for this version of the object and this pipeline, whatever came meanwhile.
fn pinned(request: RunRequest, run: &Run) -> RunRequest {
    RunRequest {
        version: run.source.version.clone(),
        etag: Some(run.source.etag.clone()),
        pipeline: Some(run.pipeline.clone()),
        more: true,
        ..request
    }
}

/// The handoff. The run is the execution's own: an earlier one may have read the same bytes for an older event.
fn extracted(run: Run, manifest: &ExtractManifest, key: String) -> Extracted {
    Extracted {
        run,
        manifest: key,
        records_read: manifest.records_read,
        records_rejected: manifest.records_rejected,
        bytes_read: manifest.bytes_read,
    }
}

fn measure_records(context: &StageContext, manifest: &ExtractManifest) {
    let ExtractManifest { records_read, records_rejected, bytes_read, .. } = *manifest;
    let values = vec![
        (Metric::RecordsRead, records_read as f64),
        (Metric::RecordsRejected, records_rejected as f64),
        (Metric::BytesRead, bytes_read as f64),
        (Metric::RejectRatio, reject_ratio(records_rejected, records_read)),
    ];
    context.measure(Subject::run(&manifest.run), values);
}

fn reconcile(manifest: &ExtractManifest) -> Result<(), StageError> {
    let ExtractManifest { records_read, records_accepted, records_rejected, .. } = manifest;
    if *records_read == records_accepted + records_rejected {
        return Ok(());
    }
    Err(StageError::new(
        ErrorKind::ReconciliationFailed,
        format!("{records_read} records read, but {records_accepted} accepted and {records_rejected} rejected"),
    ))
}

fn refuse_too_many_rejects(spec: &CheckedSpec, manifest: &ExtractManifest, work: &str) -> Result<(), StageError> {
    if !spec.tolerance.is_exceeded(manifest.records_rejected, manifest.records_read) {
        return Ok(());
    }
    let commonest: Vec<String> = manifest
        .reasons
        .iter()
        .take(3)
        .map(|reason| {
            let column = reason.column.as_ref().map(|column| format!(" in `{column}`")).unwrap_or_default();
            let place = reason.place(&manifest.run);
            format!("{} × {}{column}, first on {place}", reason.records, reason.code.name())
        })
        .collect();
    let kept = manifest.rejects.as_ref().map(|files| ObjectRef::new(work, &files.reasons).to_string());
    Err(StageError::new(
        ErrorKind::TooManyRejects,
        format!(
            "{} of {} records rejected, more than the {} tolerated: {}; the reasons are kept in {}",
            manifest.records_rejected,
            manifest.records_read,
            spec.tolerance,
            commonest.join("; "),
            kept.unwrap_or_default()
        ),
    ))
}
