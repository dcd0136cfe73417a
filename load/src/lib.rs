//! The third stage: the final files go where readers look, and one conditional write makes them current.
//!
//! The only crate that commits.

mod commit;
mod copy;
mod report;

use stepwell_pipeline::{
    ErrorKind, StageError,
    current::Standing,
    handoff::{Commit, Loaded, Round, Transformed},
    manifest::{CommitManifest, CommittedFile, DataFile, TransformManifest},
    run::Run,
    spec::CheckedSpec,
    stage::{CODE_VERSION, Stage, StageContext},
    staging,
    store::{self, ObjectRef},
};

use crate::commit::Ledger;

/// Runs the stage: copies the run's files to the table and commits them with one conditional write.
///
/// Files are named by run and spec, so a repetition copies the same bytes to the same keys; the commit manifest says
/// whose files are current. Where the time is up before all are copied it asks to be called again. A run whose object was replaced by a newer version meanwhile changes nothing.
///
/// # Errors
/// `InvalidInput` where what earlier stages left is gone, `ReconciliationFailed`, `Conflict` where other runs kept
/// committing the same key meanwhile, and what the stores say.
pub async fn load(context: &StageContext, transformed: Transformed) -> Result<Round<Loaded, Transformed>, StageError> {
    let started = (context.now)();
    let run = &transformed.run;
    let spec = CheckedSpec::pinned(context, run).await?;
    let table = spec.table(&context.buckets);
    let manifest_ref = ObjectRef::new(&context.buckets.work, &transformed.manifest);
    let staged: TransformManifest = store::get_json(&*context.stores, &manifest_ref).await?.ok_or_else(|| {
        StageError::new(
            ErrorKind::InvalidInput,
            format!("{manifest_ref} is gone; start a new execution for the object"),
        )
    })?;
    context.progress.started(Stage::Load, Some(staged.bytes_out));

    let ledger = Ledger::new(context, &table, run);
    let wanted = commit_manifest(&table, run, &staged);
    if ledger.standing(run).await? == Standing::Pending {
        ledger.announce(&wanted).await?;
        if !copy::copy_files(context, &table, &staged.files).await? {
            tracing::info!(run = run.id, "load copied some of the files; there are more");
            return Ok(Round::More(transformed));
        }
        reconcile(&staged, &wanted)?;
    }
    let commit = ledger.commit(wanted).await?;
    ledger.remove_replaced().await?;
    ledger.sweep(run).await?;
    let current = commit != Commit::Superseded;
    let report = report::write(context, run, &table, &staged, commit, started).await?;
    staging::remove(context, run).await?;
    context.progress.finished(Stage::Load, commit == Commit::AlreadyCommitted);
    tracing::info!(run = run.id, commit = ?commit, records_loaded = staged.records_out, "loaded");
    Ok(Round::Done(Loaded {
        run: run.clone(),
        table,
        commit,
        manifest: ledger.key().to_owned(),
        report,
        records_read: transformed.records_read,
        records_rejected: transformed.records_rejected,
        records_filtered: transformed.records_filtered,
        records_loaded: if current { staged.records_out } else { 0 },
        bytes_loaded: if current { staged.bytes_out } else { 0 },
    }))
}

fn commit_manifest(table: &ObjectRef, run: &Run, staged: &TransformManifest) -> CommitManifest {
    let files = committed_files(table, staged);
    CommitManifest {
        run: run.clone(),
        records_loaded: files.iter().map(|file| file.records).sum(),
        bytes_loaded: files.iter().map(|file| file.bytes).sum(),
        files,
        replaced: Vec::new(),
        code_version: CODE_VERSION.to_owned(),
    }
}

/// The run's files at their places in the table.
fn committed_files(table: &ObjectRef, staged: &TransformManifest) -> Vec<CommittedFile> {
    let place = |file: &DataFile| CommittedFile {
        key: format!("{}{}", table.key, file.path),
        records: file.records,
        bytes: file.bytes,
    };
    staged.files.iter().map(place).collect()
}

fn reconcile(staged: &TransformManifest, wanted: &CommitManifest) -> Result<(), StageError> {
    if wanted.records_loaded == staged.records_out && wanted.bytes_loaded == staged.bytes_out {
        return Ok(());
    }
    Err(StageError::new(
        ErrorKind::ReconciliationFailed,
        format!("{} records transformed, but the files to load have {}", staged.records_out, wanted.records_loaded),
    ))
}
