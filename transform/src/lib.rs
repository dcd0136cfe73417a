//! The second stage: the pipeline's SQL over the accepted parts, written as the final Parquet files.
//!
//! The only crate that knows the SQL engine.

mod files;
mod input;
mod partition;
mod plan;

use std::time::SystemTime;

use futures::StreamExt;
pub use plan::check;
use stepwell_pipeline::{
    ErrorKind, StageError,
    handoff::{Extracted, Transformed},
    manifest::{ExtractManifest, Timing, TransformManifest},
    run::Run,
    spec::CheckedSpec,
    stage::{CODE_VERSION, Stage, StageContext},
    store::{self, ObjectRef},
};

use crate::{files::FileWriter, input::InputTable, plan::Query};

/// Runs the stage: applies the pipeline's SQL to the accepted records and writes Parquet files, partitioned as the spec
/// says, under the run's prefix.
///
/// Repeated for the same run and spec, it finds its own manifest and does nothing.
///
/// # Errors
/// `InvalidInput` where what `extract` left is gone, `InvalidSpec` for SQL that does not fit the schema,
/// `TransformFailed` for SQL that fails on the data, `ReconciliationFailed`, and what the stores say.
pub async fn transform(context: &StageContext, extracted: Extracted) -> Result<Transformed, StageError> {
    let started = SystemTime::now();
    let work = &context.buckets.work;
    let run = &extracted.run;
    let manifest_ref = ObjectRef::new(work, run.stage_key(Stage::Transform, "manifest.json"));
    if let Some(manifest) = store::get_json::<TransformManifest>(&*context.stores, &manifest_ref).await? {
        tracing::info!(run = run.id, "transform was finished by an earlier execution");
        context.progress.started(Stage::Transform, None);
        context.progress.finished(Stage::Transform, true);
        return Ok(transformed(&extracted, manifest, manifest_ref.key));
    }
    let spec = CheckedSpec::pinned(context, run).await?;
    let source: ExtractManifest =
        store::get_json(&*context.stores, &ObjectRef::new(work, &extracted.manifest)).await?.ok_or_else(|| {
            let message = format!("s3://{work}/{} is gone; start a new execution for the object", extracted.manifest);
            StageError::new(ErrorKind::InvalidInput, message)
        })?;
    context.progress.started(Stage::Transform, Some(source.parts.iter().map(|part| part.bytes).sum()));
    let manifest = write_files(context, &spec, run, &source, started).await?;
    store::put_json(&*context.stores, &manifest_ref, &manifest).await?;
    context.progress.finished(Stage::Transform, false);
    tracing::info!(run = run.id, records_in = manifest.records_in, records_out = manifest.records_out, "transformed");
    Ok(transformed(&extracted, manifest, manifest_ref.key))
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
        bytes_out: manifest.bytes_out,
    }
}

async fn write_files(
    context: &StageContext,
    spec: &CheckedSpec,
    run: &Run,
    source: &ExtractManifest,
    started: SystemTime,
) -> Result<TransformManifest, StageError> {
    let input = InputTable::new(context, spec.arrow_schema(), &source.parts);
    let records_scanned = input.records();
    let query = Query::plan(spec, input).await?;
    let mut files = FileWriter::new(context, run, query.schema(), &spec.partition_columns())?;
    let mut batches = query.execute()?;
    while let Some(batch) = batches.next().await {
        files.write(&batch.map_err(plan::failed)?).await?;
    }
    drop(batches);
    let files = files.finish().await?;
    let records_out = files.iter().map(|file| file.records).sum();
    let records_filtered = query.reconcile(source.records_accepted, records_scanned.get(), records_out)?;
    Ok(TransformManifest {
        run: run.clone(),
        bytes_out: files.iter().map(|file| file.bytes).sum(),
        files,
        records_in: source.records_accepted,
        records_out,
        records_filtered,
        timing: Timing::since(started),
        code_version: CODE_VERSION.to_owned(),
    })
}
