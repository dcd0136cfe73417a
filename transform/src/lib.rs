//! The second stage: the pipeline's SQL over the accepted parts, written as the final Parquet files.
//!
//! The only crate that knows the SQL engine.

mod files;
mod round;
mod sql;

use futures::{FutureExt, future::BoxFuture};
pub use sql::{Checked, check};
use stepwell_pipeline::{
    ErrorKind, StageError,
    handoff::{Extracted, Round, Transformed},
    manifest::{ExtractManifest, TransformManifest},
    metrics::{Metric, Subject},
    spec::CheckedSpec,
    stage::{Stage, StageContext},
    staging,
    store::{self, ObjectRef},
};

/// Runs a round of the stage: applies the pipeline's SQL to the accepted records and writes Parquet files, partitioned,
/// sorted and sized as the spec says, under the run's prefix.
///
/// Row-wise SQL takes a group of parts at a time. When the time is up after a group, the round ends, and the next goes on
/// at its checkpoint; at least one group is done in each round. SQL over the whole object, such as aggregates, joins,
/// windows and sorting, and `dedupe` take one round, and spill to temporary storage what does not fit into the memory.
///
/// Repeated for the same run and spec, it finds its own manifest and does nothing, unless the run needs files that are
/// gone.
///
/// # Errors
/// `InvalidInput` where what `extract` left or a reference table is gone, `InvalidSpec` for SQL that does not fit the
/// tables, `TransformFailed` for SQL that fails on the data or needs too much memory, `ReconciliationFailed`, and what the
/// stores say.
pub fn transform(
    context: &StageContext,
    extracted: Extracted,
) -> BoxFuture<'_, Result<Round<Transformed, Extracted>, StageError>> {
    // Boxed, so that a binary that awaits it does not compile the engine's futures again.
    transform_round(context, extracted).boxed()
}

async fn transform_round(
    context: &StageContext,
    extracted: Extracted,
) -> Result<Round<Transformed, Extracted>, StageError> {
    let started = (context.now)();
    let work = &context.buckets.work;
    let run = &extracted.run;
    let manifest_ref = ObjectRef::new(work, run.stage_key(Stage::Transform, "manifest.json"));
    let spec = CheckedSpec::pinned(context, run).await?;
    if let Some(manifest) = store::get_json::<TransformManifest>(&*context.stores, &manifest_ref).await?
        && staging::serves(context, &spec, run, Stage::Transform, manifest.staged()).await?
    {
        tracing::info!(run = run.id, "transform was finished by an earlier execution");
        context.progress.started(Stage::Transform, None);
        context.progress.finished(Stage::Transform, true);
        return Ok(Round::Done(transformed(&extracted, manifest, manifest_ref.key)));
    }
    let source: ExtractManifest =
        store::get_json(&*context.stores, &ObjectRef::new(work, &extracted.manifest)).await?.ok_or_else(|| {
            let message = format!("s3://{work}/{} is gone; start a new execution for the object", extracted.manifest);
            StageError::new(ErrorKind::InvalidInput, message)
        })?;
    let Some(manifest) = round::run(context, &spec, &source, started).await? else {
        return Ok(Round::More(extracted));
    };
    store::put_json(&*context.stores, &manifest_ref, &manifest).await?;
    let seconds = manifest.timing.duration_seconds();
    context.measure(Subject::stage(run, Stage::Transform), vec![(Metric::StageSeconds, seconds)]);
    context.progress.finished(Stage::Transform, false);
    tracing::info!(
        run = run.id,
        records_in = manifest.records_in,
        records_out = manifest.records_out,
        bytes_spilled = manifest.bytes_spilled,
        "transformed"
    );
    Ok(Round::Done(transformed(&extracted, manifest, manifest_ref.key)))
}

fn transformed(extracted: &Extracted, manifest: TransformManifest, key: String) -> Transformed {
    Transformed {
        run: extracted.run.clone(),
        manifest: key,
        records_read: extracted.records_read,
        records_rejected: extracted.records_rejected,
        records_in: manifest.records_in,
        records_out: manifest.records_out,
        records_filtered: manifest.records_filtered,
        records_duplicate: manifest.records_duplicate,
        bytes_out: manifest.bytes_out,
    }
}
