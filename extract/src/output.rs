//! Writes what the stage makes: staged parts of accepted records, and rejects.

mod parts;
mod rejects;

use std::sync::Arc;

use bytes::Bytes;
use object_store::{ObjectStore, buffered::BufWriter};
pub(crate) use parts::{PartWriter, from_ipc, to_ipc};
pub(crate) use rejects::{Framing, RejectState, RejectWriter};
use stepwell_pipeline::{
    StageError,
    run::Run,
    stage::{Stage, StageContext},
    store::{self, ObjectRef, Stores},
};
use tokio::io::AsyncWriteExt;

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
}

impl Target {
    pub(crate) fn new(context: &StageContext, run: &Run) -> Self {
        Self { bucket_name: context.buckets.work.clone(), stores: context.stores.clone(), run: run.clone() }
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
        let writer = BufWriter::with_capacity(bucket, store::path(&object.key)?, UPLOAD_BYTES);
        Ok(Upload { object, writer: writer.with_max_concurrency(UPLOADS_AHEAD), bytes: 0 })
    }

    pub(crate) async fn put(&self, name: &str, bytes: impl Into<Bytes>) -> Result<(), StageError> {
        store::put(self.stores(), &self.object(name), bytes).await
    }
}

/// An object that is being written.
struct Upload {
    object: ObjectRef,
    writer: BufWriter,
    bytes: u64,
}

impl Upload {
    async fn write(&mut self, bytes: impl Into<Bytes>) -> Result<(), StageError> {
        let bytes = bytes.into();
        self.bytes += bytes.len() as u64;
        let written = self.writer.put(bytes).await;
        written.map_err(|error| store::classify(error, &format!("cannot write {}", self.object)))
    }

    async fn finish(mut self) -> Result<(String, u64), StageError> {
        self.writer
            .shutdown()
            .await
            .map_err(|error| store::classify_io(error, &format!("cannot write {}", self.object)))?;
        Ok((self.object.key, self.bytes))
    }
}
