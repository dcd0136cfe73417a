//! Writes what the stage makes: staged parts of accepted records, and rejects.

mod parts;
mod rejects;

use std::sync::Arc;

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
pub(crate) use parts::{PartWriter, from_ipc, to_ipc};
pub(crate) use rejects::{Framing, RejectState, RejectWriter, Shape};
use stepwell_pipeline::{
    StageError,
    run::Run,
    stage::{Stage, StageContext},
    store::{self, ObjectRef, PartsUpload, Stores},
};

/// What is gathered before it goes to the store; S3 takes no smaller portions (5 MiB, "Amazon S3 multipart upload limits").
const UPLOAD_BYTES: usize = 5 * 1024 * 1024;
/// Portions on their way at the same time.
const UPLOADS_AHEAD: usize = 2;

/// Where the stage writes.
#[derive(Clone)]
pub(crate) struct Target {
    bucket_name: String,
    stores: Arc<dyn Stores>,
    run: Run,
    upload_bytes: usize,
}

impl Target {
    pub(crate) fn new(context: &StageContext, run: &Run) -> Self {
        Self {
            bucket_name: context.buckets.work.clone(),
            stores: context.stores.clone(),
            run: run.clone(),
            upload_bytes: UPLOAD_BYTES.min(context.limits.upload_bytes.max(1)),
        }
    }

    /// The place of something that is of no use once the run is loaded.
    pub(crate) fn object(&self, name: &str) -> ObjectRef {
        ObjectRef::new(&self.bucket_name, self.run.staged_key(Stage::Extract, name))
    }

    /// The place of something that is kept.
    fn kept(&self, name: &str) -> ObjectRef {
        ObjectRef::new(&self.bucket_name, self.run.stage_key(Stage::Extract, name))
    }

    pub(crate) fn stores(&self) -> &dyn Stores {
        &*self.stores
    }

    fn create(&self, object: ObjectRef) -> Result<Upload, StageError> {
        let bucket: Arc<dyn ObjectStore> = self.stores.bucket(&object.bucket)?;
        Ok(Upload {
            object,
            bucket,
            upload_bytes: self.upload_bytes,
            pending: Vec::new(),
            pending_bytes: 0,
            parts: None,
            bytes: 0,
        })
    }

    pub(crate) async fn put(&self, name: &str, bytes: impl Into<Bytes>) -> Result<(), StageError> {
        store::put(self.stores(), &self.object(name), bytes).await
    }
}

/// An object that is being written: by one request, or in parts where it is large.
struct Upload {
    object: ObjectRef,
    bucket: Arc<dyn ObjectStore>,
    upload_bytes: usize,
    pending: Vec<Bytes>,
    pending_bytes: usize,
    parts: Option<PartsUpload>,
    bytes: u64,
}

impl Upload {
    async fn write(&mut self, bytes: impl Into<Bytes>) -> Result<(), StageError> {
        let bytes = bytes.into();
        self.bytes += bytes.len() as u64;
        self.pending_bytes += bytes.len();
        self.pending.push(bytes);
        if self.pending_bytes >= self.upload_bytes { self.send().await } else { Ok(()) }
    }

    /// Returns the key and the size.
    async fn finish(mut self) -> Result<(String, u64), StageError> {
        if self.parts.is_some() && self.pending_bytes > 0 {
            self.send().await?;
        }
        let written = match self.parts.take() {
            Some(parts) => parts.complete().await,
            None => {
                let whole: PutPayload = self.pending.drain(..).collect();
                self.bucket.put(&store::path(&self.object.key)?, whole).await.map(|_| ())
            }
        };
        written.map_err(|error| self.unwritten(error))?;
        Ok((self.object.key, self.bytes))
    }

    /// Gives the object up.
    async fn abort(mut self) {
        if let Some(parts) = self.parts.take() {
            parts.abort().await;
        }
    }

    async fn send(&mut self) -> Result<(), StageError> {
        self.pending_bytes = 0;
        let part: PutPayload = self.pending.drain(..).collect();
        let mut parts = match self.parts.take() {
            Some(parts) => parts,
            None => {
                let path = store::path(&self.object.key)?;
                let begun = PartsUpload::begin(&self.bucket, &path, UPLOADS_AHEAD).await;
                begun.map_err(|error| self.unwritten(error))?
            }
        };
        parts.part(part).await.map_err(|error| self.unwritten(error))?;
        self.parts = Some(parts);
        Ok(())
    }

    fn unwritten(&self, error: object_store::Error) -> StageError {
        store::classify(error, &format!("cannot write {}", self.object))
    }
}
