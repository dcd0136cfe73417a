//! What is current of a source key: the commit document, which any stage may read and only `load` writes.

use std::cmp::Ordering;

use crate::{
    ErrorKind, StageError,
    manifest::CommitManifest,
    order,
    run::{Run, short_hash},
    store::{self, ObjectRef, Stores},
};

/// The commit document as it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Current {
    /// Its content.
    pub manifest: CommitManifest,
    /// Its entity tag, which the next commit is conditional on.
    pub etag: Option<String>,
}

/// How a run stands to what is current of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its files are to be made current: nobody's are, or an older version's, or its own under another spec.
    Pending,
    /// Its files are current.
    Committed,
    /// Its files are current, by an event that is older than the run's own: the same content came once more.
    CommittedEarlier,
    /// A newer version's files are current.
    Superseded,
    /// Another version's files are current, and the two do not say which is the newer.
    Undecided,
}

/// The place of the commit document of a run's source key.
pub fn document(table: &ObjectRef, run: &Run) -> ObjectRef {
    // Readers skip names that begin with an underscore.
    let name = short_hash(&[&run.pipeline, &run.source.bucket, &run.source.key]);
    ObjectRef::new(&table.bucket, format!("{}_stepwell/commits/{name}.json", table.key))
}

/// The prefix under which the runs of a commit document's key announce the files that they are about to bring.
pub fn announcements(document: &ObjectRef) -> ObjectRef {
    let key = document.key.replace("_stepwell/commits/", "_stepwell/loading/").replace(".json", "/");
    ObjectRef::new(&document.bucket, key)
}

/// Reads a commit document; nothing stands for a key that was never loaded.
///
/// # Errors
/// `Conflict` for an object that is no commit document, and what the store says.
pub async fn read(stores: &dyn Stores, document: &ObjectRef) -> Result<Option<Current>, StageError> {
    let Some((bytes, meta)) = store::get(stores, document).await? else { return Ok(None) };
    let manifest = serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("{document} is no commit document; move it away to commit anew");
        StageError::with_source(ErrorKind::Conflict, message, error)
    })?;
    Ok(Some(Current { manifest, etag: meta.e_tag }))
}

/// How a run stands to what is current.
pub fn standing(current: Option<&Current>, run: &Run) -> Standing {
    let Some(Current { manifest, .. }) = current else { return Standing::Pending };
    let order = order::compare(&run.source, &manifest.run.source);
    if manifest.run.id == run.id {
        // Under another spec the same run commits anew.
        return match (manifest.run.spec_digest == run.spec_digest, order) {
            (false, _) => Standing::Pending,
            (true, Ordering::Greater) => Standing::CommittedEarlier,
            (true, _) => Standing::Committed,
        };
    }
    match order {
        Ordering::Less => Standing::Superseded,
        Ordering::Equal => Standing::Undecided,
        Ordering::Greater => Standing::Pending,
    }
}
