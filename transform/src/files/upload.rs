use std::{io, sync::Arc};

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path::Path};
use stepwell_pipeline::{
    ErrorKind, StageError,
    store::{self, PartsUpload},
};

use super::pages::{Held, PagePool};

/// So many parts are under way while the next is gathered.
const PARTS_UNDER_WAY: usize = 1;

/// A file on its way to the store.
pub(super) struct Upload {
    bucket: Arc<dyn ObjectStore>,
    pool: Arc<PagePool>,
    path: Path,
    pending: Vec<Held>,
    pending_bytes: usize,
    parts: Option<PartsUpload>,
    /// A file of fewer bytes goes up in one request; a larger one in parts of about this size.
    part_bytes: usize,
    bytes: u64,
}

impl Upload {
    pub(super) fn new(bucket: Arc<dyn ObjectStore>, pool: Arc<PagePool>, path: Path, part_bytes: usize) -> Self {
        Self { bucket, pool, path, pending: Vec::new(), pending_bytes: 0, parts: None, part_bytes, bytes: 0 }
    }

    /// The file's bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The bytes that wait to go up.
    pub(super) fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Takes more of the file, which the pool holds.
    pub(super) async fn write(&mut self, held: Held) -> Result<(), StageError> {
        self.bytes += held.bytes() as u64;
        self.pending_bytes += held.bytes();
        self.pending.push(held);
        if self.pending_bytes >= self.part_bytes { self.send().await } else { Ok(()) }
    }

    /// Returns the file's size.
    pub(super) async fn finish(mut self) -> Result<u64, StageError> {
        if self.parts.is_some() && self.pending_bytes > 0 {
            self.send().await?;
        }
        let written = match self.parts.take() {
            Some(parts) => parts.complete().await,
            None => {
                let pages = self.release()?;
                self.bucket.put(&self.path, pages.into_iter().collect::<PutPayload>()).await.map(|_| ())
            }
        };
        written.map_err(|error| self.unwritten(error))?;
        Ok(self.bytes)
    }

    /// Gives the file up.
    pub(super) async fn abort(mut self) {
        if let Some(parts) = self.parts.take() {
            parts.abort().await;
        }
    }

    async fn send(&mut self) -> Result<(), StageError> {
        let pages = self.release()?;
        let mut parts = match self.parts.take() {
            Some(parts) => parts,
            None => {
                let begun = PartsUpload::begin(&self.bucket, &self.path, PARTS_UNDER_WAY).await;
                begun.map_err(|error| self.unwritten(error))?
            }
        };
        parts.part(pages.into_iter().collect()).await.map_err(|error| self.unwritten(error))?;
        self.parts = Some(parts);
        Ok(())
    }

    fn release(&mut self) -> Result<Vec<Bytes>, StageError> {
        self.pending_bytes = 0;
        let held = std::mem::take(&mut self.pending);
        let pages = held.into_iter().map(|held| self.pool.release(held)).collect::<io::Result<Vec<_>>>();
        pages.map_err(|error| self.lost(error))
    }

    fn lost(&self, error: io::Error) -> StageError {
        let message = format!("cannot keep {} in temporary storage; give the function more of it", self.path);
        StageError::with_source(ErrorKind::TransformFailed, message, error)
    }

    fn unwritten(&self, error: object_store::Error) -> StageError {
        store::classify(error, &format!("cannot write {}", self.path))
    }
}
