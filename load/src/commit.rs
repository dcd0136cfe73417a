//! The commit: one small document for each source key, whose conditional write decides what is current.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use stepwell_pipeline::{
    ErrorKind, StageError,
    current::{self, Current, Standing},
    handoff::Commit,
    manifest::CommitManifest,
    run::Run,
    stage::StageContext,
    store::{self, ObjectRef},
};

/// So often other runs may get in between before the stage gives up.
const ATTEMPTS_MAX: usize = 16;

/// The commit document of one source key in one table.
pub(crate) struct Ledger<'a> {
    context: &'a StageContext,
    document: ObjectRef,
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(context: &'a StageContext, table: &ObjectRef, run: &Run) -> Self {
        Self { context, document: current::document(table, run) }
    }

    /// The document's key.
    pub(crate) fn key(&self) -> &str {
        &self.document.key
    }

    /// How the run stands to what is current.
    pub(crate) async fn standing(&self, run: &Run) -> Result<Standing, StageError> {
        Ok(current::standing(self.current().await?.as_ref(), run))
    }

    /// Makes a run's files current, unless they are or a newer version's are.
    pub(crate) async fn commit(&self, wanted: CommitManifest) -> Result<Commit, StageError> {
        for _ in 0..ATTEMPTS_MAX {
            let current = self.current().await?;
            let standing = current::standing(current.as_ref(), &wanted.run);
            let (next, seen) = match (standing, current) {
                (Standing::Committed, _) => return Ok(Commit::AlreadyCommitted),
                (Standing::Superseded, Some(current)) => {
                    self.remove(unused(wanted.keys(), &current.manifest)).await?;
                    return Ok(Commit::Superseded);
                }
                (Standing::CommittedEarlier, Some(current)) => {
                    // Else an event between the two would pass for newer.
                    let next = CommitManifest { run: wanted.run.clone(), ..current.manifest.clone() };
                    (next, Some(self.etag(current)?))
                }
                (_, Some(current)) => {
                    // What the document before last replaced must be gone before it is forgotten.
                    self.remove(unused(current.manifest.replaced.clone(), &wanted)).await?;
                    let replaced = unused(current.manifest.keys(), &wanted);
                    (CommitManifest { replaced, ..wanted.clone() }, Some(self.etag(current)?))
                }
                (_, None) => (wanted.clone(), None),
            };
            if store::put_if(&*self.context.stores, &self.document, store::json_bytes(&next)?, seen).await? {
                let is_new = standing == Standing::Pending;
                return Ok(if is_new { Commit::Committed } else { Commit::AlreadyCommitted });
            }
        }
        let message = format!("other runs kept committing {} meanwhile", self.document);
        Err(StageError::new(ErrorKind::Conflict, message))
    }

    /// Announces the files that the run is about to bring, so that they can be found should it never get to the commit.
    pub(crate) async fn announce(&self, wanted: &CommitManifest) -> Result<(), StageError> {
        store::put_json(&*self.context.stores, &self.announcement(&wanted.run), wanted).await
    }

    /// Removes the run's own announcement, and the files of runs that never got to their commit and cannot any more,
    /// since a newer version is current. Their announcements stay: a copy that they began may still come to pass.
    pub(crate) async fn sweep(&self, run: &Run) -> Result<(), StageError> {
        let own = self.announcement(run);
        let prefix = current::announcements(&self.document);
        let bucket = self.context.stores.bucket(&prefix.bucket)?;
        let listed: Vec<_> = bucket
            .list(Some(&store::path(&prefix.key)?))
            .map_ok(|meta| ObjectRef::new(&prefix.bucket, meta.location.as_ref()))
            .try_collect()
            .await
            .map_err(|error| store::classify(error, &format!("cannot list {prefix}")))?;
        for announced in listed {
            if announced == own {
                self.remove(vec![own.key.clone()]).await?;
                continue;
            }
            let Some(wanted) = store::get_json::<CommitManifest>(&*self.context.stores, &announced).await? else {
                continue;
            };
            if let Some(current) = self.current().await?
                && current::standing(Some(&current), &wanted.run) == Standing::Superseded
            {
                self.remove(unused(wanted.keys(), &current.manifest)).await?;
            }
        }
        Ok(())
    }

    fn announcement(&self, run: &Run) -> ObjectRef {
        let prefix = current::announcements(&self.document);
        ObjectRef::new(&prefix.bucket, format!("{}{}.json", prefix.key, run.file_stem()))
    }

    /// Removes the files that the current commit replaced. Repeated, it finds nothing to do.
    pub(crate) async fn remove_replaced(&self) -> Result<(), StageError> {
        let Some(current) = self.current().await? else { return Ok(()) };
        self.remove(current.manifest.replaced).await
    }

    async fn current(&self) -> Result<Option<Current>, StageError> {
        current::read(&*self.context.stores, &self.document).await
    }

    fn etag(&self, current: Current) -> Result<String, StageError> {
        let missing = || StageError::new(ErrorKind::Internal, format!("{} has no entity tag", self.document));
        current.etag.ok_or_else(missing)
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

/// Those keys that a manifest does not hold.
fn unused(keys: Vec<String>, manifest: &CommitManifest) -> Vec<String> {
    let used: BTreeSet<String> = manifest.keys().into_iter().collect();
    keys.into_iter().filter(|key| !used.contains(key)).collect()
}
