//! Data on its way from one stage to the next.
//!
//! It lives under a prefix of its own, which a lifecycle rule can empty. `load` removes it when the run is loaded.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use object_store::ObjectMeta;

use crate::{
    StageError,
    current::{self, Standing},
    run::Run,
    spec::CheckedSpec,
    stage::{Stage, StageContext},
    store,
};

/// Whether what a stage staged, given by key and size, still serves its run: all of it is there, or the run needs it
/// no more, since it is loaded or superseded.
///
/// # Errors
/// What the stores say.
pub async fn serves<'a>(
    context: &StageContext,
    spec: &CheckedSpec,
    run: &Run,
    stage: Stage,
    staged: impl Iterator<Item = (&'a str, u64)>,
) -> Result<bool, StageError> {
    let found: BTreeMap<String, u64> = list(context, &run.staged_key(stage, ""))
        .await?
        .into_iter()
        .map(|meta| (meta.location.to_string(), meta.size))
        .collect();
    let mut staged = staged;
    if staged.all(|(key, bytes)| found.get(key) == Some(&bytes)) {
        return Ok(true);
    }
    let document = current::document(&spec.table(&context.buckets), run);
    let current = current::read(&*context.stores, &document).await?;
    Ok(!matches!(current::standing(current.as_ref(), run), Standing::Pending | Standing::Undecided))
}

/// Removes everything that a run staged. Repeated, it finds nothing to do.
///
/// # Errors
/// What the store says.
pub async fn remove(context: &StageContext, run: &Run) -> Result<(), StageError> {
    let listed = list(context, &run.staged_prefix()).await?;
    let paths = listed.into_iter().map(|meta| meta.location).collect();
    store::delete_all(&*context.stores, &context.buckets.work, paths, "cannot remove staged data").await
}

async fn list(context: &StageContext, prefix: &str) -> Result<Vec<ObjectMeta>, StageError> {
    let work = &context.buckets.work;
    let listed = context.stores.bucket(work)?.list(Some(&store::path(prefix)?)).try_collect().await;
    listed.map_err(|error| store::classify(error, &format!("cannot list s3://{work}/{prefix}")))
}
