//! The third stage: the final files go where readers look, and one conditional write makes them current.
//!
//! The only crate that commits.

mod commit;
mod copy;
mod latest;
mod measure;
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

/// So often other runs may get in between before the stage gives up.
const ATTEMPTS_MAX: usize = 16;

/// Runs the stage: copies the run's files to the table and commits them with one conditional write.
///
/// Files are named by run, spec and the commit's generation, so a repetition copies the same bytes to the same keys; the
/// commit manifest says whose files are current. Where the time is up before all are copied it asks to be called again.
/// A run whose object was replaced by a newer version meanwhile changes nothing.
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

    let batch = report::pinned_batch(context, run).await?;
    let ledger = Ledger::new(context, &table, run);
    let Some(brought) = bring(context, &ledger, &table, run, &staged).await? else {
        tracing::info!(run = run.id, "load copied some of the files; there are more");
        return Ok(Round::More(transformed));
    };
    let commit = brought.commit;
    // At once: a repetition after a failure of what follows finds the commit done.
    if commit == Commit::Committed {
        measure::committed(context, run, batch.as_ref(), &staged, started);
    }
    ledger.remove_replaced().await?;
    ledger.sweep(run).await?;
    let current = commit != Commit::Superseded;
    let report = report::write(context, run, batch, &table, &staged, brought, started).await?;
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

/// What became of a run's files.
pub(crate) struct Brought {
    /// How the load ended.
    pub(crate) commit: Commit,
    /// That of the commit; 0 where there is none of the run.
    pub(crate) generation: u64,
    /// The run's files in the table.
    pub(crate) files: Vec<CommittedFile>,
}

impl Brought {
    fn earlier(current: CommitManifest) -> Self {
        Self { commit: Commit::AlreadyCommitted, generation: current.generation, files: current.files }
    }
}

/// Copies the run's files and makes them current, unless they are or a newer version's are; nothing where the time was
/// up before all were copied.
async fn bring(
    context: &StageContext,
    ledger: &Ledger<'_>,
    table: &ObjectRef,
    run: &Run,
    staged: &TransformManifest,
) -> Result<Option<Brought>, StageError> {
    for _ in 0..ATTEMPTS_MAX {
        let current = ledger.current().await?;
        match (latest::standing(context, current.as_ref(), run).await?, current) {
            (Standing::Superseded, _) => {
                return Ok(Some(Brought { commit: Commit::Superseded, generation: 0, files: Vec::new() }));
            }
            (Standing::Committed, Some(current)) => return Ok(Some(Brought::earlier(current.manifest))),
            (Standing::CommittedEarlier, Some(current)) => {
                let brought = Brought::earlier(current.manifest.clone());
                if ledger.renew(run, current).await? {
                    return Ok(Some(brought));
                }
            }
            (_, current) => {
                let generation = current.as_ref().map_or(0, |current| current.manifest.generation + 1);
                let wanted = commit_manifest(table, run, staged, generation);
                reconcile(staged, &wanted)?;
                ledger.announce(&wanted).await?;
                match copy::copy_files(context, table, &staged.files, &wanted.files).await {
                    Ok(true) => {
                        let files = wanted.files.clone();
                        if ledger.commit(wanted, current).await? {
                            return Ok(Some(Brought { commit: Commit::Committed, generation, files }));
                        }
                    }
                    Ok(false) => return Ok(None),
                    // Whoever committed meanwhile may have removed files on both sides. What may still come to pass is
                    // left to the state machine, which waits.
                    Err(error) if !error.kind().is_transient() && ledger.has_moved(current.as_ref()).await? => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Err(StageError::new(ErrorKind::Conflict, format!("other runs kept committing {} meanwhile", ledger.key())))
}

fn commit_manifest(table: &ObjectRef, run: &Run, staged: &TransformManifest, generation: u64) -> CommitManifest {
    let files: Vec<CommittedFile> = staged.files.iter().map(|file| place(table, file, generation)).collect();
    CommitManifest {
        run: run.clone(),
        generation,
        records_loaded: files.iter().map(|file| file.records).sum(),
        bytes_loaded: files.iter().map(|file| file.bytes).sum(),
        files,
        replaced: Vec::new(),
        code_version: CODE_VERSION.to_owned(),
    }
}

/// A file's place in the table.
fn place(table: &ObjectRef, file: &DataFile, generation: u64) -> CommittedFile {
    let stem = file.path.strip_suffix(".parquet").unwrap_or(&file.path);
    CommittedFile {
        key: format!("{}{stem}-{generation:05}.parquet", table.key),
        records: file.records,
        bytes: file.bytes,
    }
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
