use futures::{TryStreamExt, stream::FuturesUnordered};
use stepwell_pipeline::{
    ErrorKind, StageError,
    manifest::{CommittedFile, DataFile},
    stage::{Stage, StageContext},
    store::{self, ObjectRef},
};

const COPIES_AT_ONCE: usize = 8;

/// Copies staged files to their places below the table's prefix, and sees that they arrived whole. Returns whether all
/// are there; if not, the time was up after some of them.
///
/// # Errors
/// `InvalidInput` where a staged file is gone, `ReconciliationFailed` for a copy of another size, and what the
/// stores say.
pub(crate) async fn copy_files(
    context: &StageContext,
    table: &ObjectRef,
    staged: &[DataFile],
    placed: &[CommittedFile],
) -> Result<bool, StageError> {
    let mut copied = false;
    let files: Vec<(&DataFile, &CommittedFile)> = staged.iter().zip(placed).collect();
    for (number, some) in files.chunks(COPIES_AT_ONCE).enumerate() {
        let copies: FuturesUnordered<_> =
            some.iter().map(|(file, place)| copy_file(context, table, file, place)).collect();
        copied |= copies.try_fold(false, |any, one| std::future::ready(Ok(any | one))).await?;
        let is_last = (number + 1) * COPIES_AT_ONCE >= files.len();
        if copied && !is_last && context.budget.is_spent() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns whether the file was not there yet.
async fn copy_file(
    context: &StageContext,
    table: &ObjectRef,
    file: &DataFile,
    place: &CommittedFile,
) -> Result<bool, StageError> {
    let from = ObjectRef::new(&context.buckets.work, &file.staged);
    let to = ObjectRef::new(&table.bucket, &place.key);
    let arrived = |meta: Option<object_store::ObjectMeta>| meta.map(|meta| meta.size);
    // Names are never used for other bytes: what is there whole, an earlier attempt copied.
    let is_there = arrived(store::head(&*context.stores, &to).await?) == Some(file.bytes);
    if !is_there {
        context.stores.copy(&from, &to).await.map_err(|error| match error.kind() {
            ErrorKind::SourceMissing => StageError::with_source(
                ErrorKind::InvalidInput,
                format!("{from} or the bucket {} is gone; start a new execution for the object", to.bucket),
                error,
            ),
            _ => error,
        })?;
        let size = arrived(store::head(&*context.stores, &to).await?);
        if size != Some(file.bytes) {
            return Err(StageError::new(
                ErrorKind::ReconciliationFailed,
                format!("{to} has {size:?} bytes where {} were copied", file.bytes),
            ));
        }
    }
    context.progress.advanced(Stage::Load, file.bytes, file.records);
    Ok(!is_there)
}
