//! The commit: one small document for each source key, whose conditional write decides what is current.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use object_store::path::Path;
use stepwell_pipeline::{
    ErrorKind, StageError,
    current::{self, Current, Standing},
    manifest::CommitManifest,
    run::Run,
    stage::StageContext,
    store::{self, ObjectRef},
};

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

    /// The document as it is.
    pub(crate) async fn current(&self) -> Result<Option<Current>, StageError> {
        current::read(&*self.context.stores, &self.document).await
    }

    /// Whether somebody committed since the document was seen.
    pub(crate) async fn has_moved(&self, seen: Option<&Current>) -> Result<bool, StageError> {
        let etag = |current: Option<&Current>| current.and_then(|current| current.etag.clone());
        Ok(etag(self.current().await?.as_ref()) != etag(seen))
    }

    /// Makes a run's files current, unless somebody committed since the document was seen.
    pub(crate) async fn commit(&self, wanted: CommitManifest, seen: Option<Current>) -> Result<bool, StageError> {
        let Some(seen) = seen else { return self.write(&wanted, None).await };
        // What the document before last replaced must be gone before it is forgotten.
        self.remove(unused(seen.manifest.replaced.clone(), &wanted)).await?;
        let replaced = unused(seen.manifest.keys(), &wanted);
        self.write(&CommitManifest { replaced, ..wanted }, Some(seen)).await
    }

    /// Makes a run's own event that of its files, which an older event brought: else an event between the two would pass
    /// for newer. Gives whether nobody committed meanwhile.
    pub(crate) async fn renew(&self, run: &Run, seen: Current) -> Result<bool, StageError> {
        let renewed = CommitManifest { run: run.clone(), ..seen.manifest.clone() };
        self.write(&renewed, Some(seen)).await
    }

    async fn write(&self, next: &CommitManifest, seen: Option<Current>) -> Result<bool, StageError> {
        let etag = match seen {
            None => None,
            Some(Current { etag: Some(etag), .. }) => Some(etag),
            Some(_) => {
                return Err(StageError::new(ErrorKind::Internal, format!("{} has no entity tag", self.document)));
            }
        };
        store::put_if(&*self.context.stores, &self.document, store::json_bytes(next)?, etag).await
    }

    /// Announces the files that the run is about to bring, so that they can be found should it never get to the commit.
    pub(crate) async fn announce(&self, wanted: &CommitManifest) -> Result<(), StageError> {
        let key = format!("{}-{:05}.json", self.announcements(&wanted.run), wanted.generation);
        store::put_json(&*self.context.stores, &ObjectRef::new(&self.document.bucket, key), wanted).await
    }

    /// Removes the run's own announcements, and the files of runs that never got to their commit and cannot any more,
    /// since a newer version is current. Their announcements stay: a copy that they began may still come to pass.
    pub(crate) async fn sweep(&self, run: &Run) -> Result<(), StageError> {
        let own = self.announcements(run);
        let prefix = current::announcements(&self.document);
        let bucket = self.context.stores.bucket(&prefix.bucket)?;
        let listed: Vec<_> = bucket
            .list(Some(&store::path(&prefix.key)?))
            .map_ok(|meta| ObjectRef::new(&prefix.bucket, meta.location.as_ref()))
            .try_collect()
            .await
            .map_err(|error| store::classify(error, &format!("cannot list {prefix}")))?;
        for announced in listed {
            let is_own = announced.key.starts_with(&own);
            let wanted: Option<CommitManifest> = store::get_json(&*self.context.stores, &announced).await?;
            if let (Some(wanted), Some(current)) = (wanted, self.current().await?)
                && (is_own || current::standing(Some(&current), &wanted.run) == Standing::Superseded)
            {
                self.remove(unused(wanted.keys(), &current.manifest)).await?;
            }
            if is_own {
                self.remove(vec![announced.key]).await?;
            }
        }
        Ok(())
    }

    /// What the keys of a run's announcements begin with.
    fn announcements(&self, run: &Run) -> String {
        format!("{}{}", current::announcements(&self.document).key, run.file_stem())
    }

    /// Removes the files that the current commit replaced. Repeated, it finds nothing to do.
    pub(crate) async fn remove_replaced(&self) -> Result<(), StageError> {
        let Some(current) = self.current().await? else { return Ok(()) };
        self.remove(current.manifest.replaced).await
    }

    async fn remove(&self, keys: Vec<String>) -> Result<(), StageError> {
        let paths: Vec<Path> = keys.iter().map(|key| store::path(key)).collect::<Result<_, _>>()?;
        store::delete_all(&*self.context.stores, &self.document.bucket, paths, "cannot remove a replaced file").await
    }
}

/// Those keys that a manifest does not hold.
fn unused(keys: Vec<String>, manifest: &CommitManifest) -> Vec<String> {
    let used: BTreeSet<String> = manifest.keys().into_iter().collect();
    keys.into_iter().filter(|key| !used.contains(key)).collect()
}
