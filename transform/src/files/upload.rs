use std::{io, sync::Arc};

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart, path::Path};
use stepwell_pipeline::{ErrorKind, StageError, store};

use super::pages::{Held, PagePool};

/// A file of fewer bytes goes up in one request; a larger one in parts of this size. S3 wants at least 5 MiB.
const PART_BYTES: usize = 6 * 1024 * 1024;
/// So many parts are under way while the next is gathered.
const PARTS_UNDER_WAY: usize = 1;

/// A file on its way to the store.
pub(super) struct Upload {
    bucket: Arc<dyn ObjectStore>,
    pool: Arc<PagePool>,
    path: Path,
    pending: Vec<Held>,
    pending_bytes: usize,
    multipart: Option<WriteMultipart>,
    bytes: u64,
}

impl Upload {
    pub(super) fn new(bucket: Arc<dyn ObjectStore>, pool: Arc<PagePool>, path: Path) -> Self {
        Self { bucket, pool, path, pending: Vec::new(), pending_bytes: 0, multipart: None, bytes: 0 }
    }

    /// The file's bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The bytes that wait to go up.
    pub(super) fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), StageError> {
        self.bytes += bytes.len() as u64;
        self.pending_bytes += bytes.len();
        let held = self.pool.hold(bytes).map_err(|error| self.lost(error))?;
        self.pending.push(held);
        if self.pending_bytes >= PART_BYTES { self.send().await } else { Ok(()) }
    }

    /// Returns the file's size.
    pub(super) async fn finish(mut self) -> Result<u64, StageError> {
        if self.multipart.is_some() {
            self.send().await?;
        }
        match self.multipart.take() {
            Some(multipart) => multipart.finish().await.map(|_| ()),
            None => {
                let pages = self.release()?;
                self.bucket.put(&self.path, pages.into_iter().collect::<PutPayload>()).await.map(|_| ())
            }
        }
        .map_err(|error| self.unwritten(error))?;
        Ok(self.bytes)
    }

    async fn send(&mut self) -> Result<(), StageError> {
        let pages = self.release()?;
        let mut multipart = match self.multipart.take() {
            Some(multipart) => multipart,
            None => {
                let begun = self.bucket.put_multipart(&self.path).await.map_err(|error| self.unwritten(error))?;
                WriteMultipart::new_with_chunk_size(begun, PART_BYTES)
            }
        };
        for page in pages {
            if let Err(error) = multipart.wait_for_capacity(PARTS_UNDER_WAY).await {
                let unwritten = self.unwritten(error);
                // What went up already would be kept, and paid for; the error itself matters more.
                let _ = multipart.abort().await;
                return Err(unwritten);
            }
            multipart.put(page);
        }
        self.multipart = Some(multipart);
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
