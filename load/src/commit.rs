//! The commit: one small document for each source key, whose conditional write decides what is current.

use std::{cmp::Ordering, collections::BTreeSet};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use stepwell_pipeline::{
    ErrorKind, StageError,
    handoff::Commit,
    manifest::CommitManifest,
    run::{Run, short_hash},
    stage::StageContext,
    store::{self, ObjectRef},
};

use crate::order;

/// So often other runs may get in between before the stage gives up.
const ATTEMPTS_MAX: usize = 16;

/// The commit document of one source key in one table.
pub(crate) struct Ledger<'a> {
    context: &'a StageContext,
    document: ObjectRef,
}

struct Current {
    manifest: CommitManifest,
    etag: Option<String>,
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(context: &'a StageContext, table: &ObjectRef, run: &Run) -> Self {
        // Readers skip names that begin with an underscore.
        let name = short_hash(&[&run.pipeline, &run.source.bucket, &run.source.key]);
        let key = format!("{}_stepwell/commits/{name}.json", table.key);
        Self { context, document: ObjectRef::new(&table.bucket, key) }
    }

    /// The document's key.
    pub(crate) fn key(&self) -> &str {
        &self.document.key
    }

    /// How the run's load ended already, if it did.
    pub(crate) async fn standing(&self, run: &Run) -> Result<Option<Commit>, StageError> {
        Ok(self.current().await?.and_then(|current| ended(&current.manifest, run)))
    }

    /// Makes a run's files current, unless a newer version's are.
    pub(crate) async fn commit(&self, wanted: CommitManifest) -> Result<Commit, StageError> {
        for _ in 0..ATTEMPTS_MAX {
            let current = self.current().await?;
            let mut next = wanted.clone();
            let mut seen = None;
            if let Some(current) = current {
                if let Some(ended) = ended(&current.manifest, &wanted.run) {
                    if ended == Commit::Superseded {
                        let unused = unused(wanted.keys(), &current.manifest);
                        self.remove(unused).await?;
                    }
                    return Ok(ended);
                }
                // What the document before last replaced must be gone before it is forgotten.
                self.remove(unused(current.manifest.replaced.clone(), &wanted)).await?;
                next.replaced = unused(current.manifest.keys(), &wanted);
                seen = Some(current.etag.ok_or_else(|| {
                    StageError::new(ErrorKind::Internal, format!("{} has no entity tag", self.document))
                })?);
            }
            if store::put_if(&*self.context.stores, &self.document, store::json_bytes(&next)?, seen).await? {
                return Ok(Commit::Committed);
            }
        }
        let message = format!("other runs kept committing {} meanwhile", self.document);
        Err(StageError::new(ErrorKind::Conflict, message))
    }

    /// Removes the files that the current commit replaced. Repeated, it finds nothing to do.
    pub(crate) async fn remove_replaced(&self) -> Result<(), StageError> {
        let Some(current) = self.current().await? else { return Ok(()) };
        self.remove(current.manifest.replaced).await
    }

    async fn current(&self) -> Result<Option<Current>, StageError> {
        let Some((bytes, meta)) = store::get(&*self.context.stores, &self.document).await? else { return Ok(None) };
        let manifest = read(&bytes).map_err(|error| {
            let message = format!("{} is no commit document; move it away to commit anew", self.document);
            StageError::with_source(ErrorKind::Conflict, message, error)
        })?;
        Ok(Some(Current { manifest, etag: meta.e_tag }))
    }

    async fn remove(&self, keys: Vec<String>) -> Result<(), StageError> {
        if keys.is_empty() {
            return Ok(());
        }
        let paths: Vec<Path> = keys.iter().map(|key| store::path(key)).collect::<Result<_, _>>()?;
        let bucket = self.context.stores.bucket(&self.document.bucket)?;
        let removed = bucket.delete_stream(futures::stream::iter(paths).map(Ok).boxed());
        removed
            .map(|result| match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(store::classify(error, "cannot remove a replaced file")),
            })
            .try_collect()
            .await
    }
}

fn read(bytes: &Bytes) -> Result<CommitManifest, serde_json::Error> {
    serde_json::from_slice(bytes)
}

/// How a run's load ended already, going by what is current.
fn ended(current: &CommitManifest, run: &Run) -> Option<Commit> {
    if current.run.id == run.id {
        // Under another spec the same run commits anew.
        return (current.run.spec_digest == run.spec_digest).then_some(Commit::AlreadyCommitted);
    }
    (order::compare(&run.source, &current.run.source) == Ordering::Less).then_some(Commit::Superseded)
}

/// Those keys that a manifest does not hold.
fn unused(keys: Vec<String>, manifest: &CommitManifest) -> Vec<String> {
    let used: BTreeSet<String> = manifest.keys().into_iter().collect();
    keys.into_iter().filter(|key| !used.contains(key)).collect()
}
