//! Sources whose records are typed already: what Parquet and Avro have in common.
//!
//! Their columns become text once per block, so that conditions, nulls, defaults, personal data and faults are handled
//! by the same [`crate::column`] code as for CSV and JSON.

mod json;
mod layout;
mod parser_column;
mod sizes;
mod text;
mod value;

use arrow::array::RecordBatch;
use stepwell_pipeline::{ErrorKind, StageError};
use tokio::{sync::mpsc, task::JoinHandle};
use tracing::Span;

use super::RECORD_BYTES_MAX;

#[allow(unused_imports, reason = "the stage does not read these formats yet")]
pub(crate) use self::{
    json::record_json,
    layout::TypedLayout,
    parser_column::parser_column,
    text::{CellFault, TextColumn},
};

/// Records per batch that the decoders make.
pub(crate) const BATCH_RECORDS: usize = 8192;
/// What the values of a block take at most, unless one record alone takes more.
const BLOCK_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Some consecutive records of a typed source.
#[derive(Debug)]
pub(crate) struct TypedBlock {
    /// The records, in the source's columns as far as they were asked for.
    pub(crate) batch: RecordBatch,
    /// The number of the first record in the object, counted from 0: where to resume.
    pub(crate) first_record: u64,
}

/// The blocks of a typed source, decoded ahead on a thread of their own.
#[derive(Debug)]
pub(crate) struct TypedBlocks {
    blocks: mpsc::Receiver<TypedBlock>,
    worker: Option<JoinHandle<Result<(), StageError>>>,
    object: String,
}

impl TypedBlocks {
    /// Starts a decoder. `object` is what messages call the source.
    pub(super) fn spawn(
        object: &str,
        first_record: u64,
        decode: impl FnOnce(&mut BlockSink) -> Result<(), StageError> + Send + 'static,
    ) -> Self {
        let (sender, blocks) = mpsc::channel(1);
        let mut sink = BlockSink { sender, next_record: first_record, object: object.to_owned() };
        let span = Span::current();
        let worker = tokio::task::spawn_blocking(move || span.in_scope(|| decode(&mut sink)));
        Self { blocks, worker: Some(worker), object: object.to_owned() }
    }

    /// The next block, or nothing at the object's end.
    ///
    /// # Errors
    /// `UnreadableSource` for bytes that are not of the format, `SourceChanged`, and what the store says.
    pub(crate) async fn next(&mut self) -> Result<Option<TypedBlock>, StageError> {
        if let Some(block) = self.blocks.recv().await {
            return Ok(Some(block));
        }
        let Some(worker) = self.worker.take() else { return Ok(None) };
        finished(worker, &self.object).await.map(|()| None)
    }
}

/// The result of a decoding thread.
///
/// Arrow's readers panic on some malformed input. The files are foreign, so that a panic says that they are broken.
pub(super) async fn finished<T>(worker: JoinHandle<Result<T, StageError>>, object: &str) -> Result<T, StageError> {
    worker.await.unwrap_or_else(|error| {
        let panicked = error.is_panic();
        let (kind, message) = match panicked {
            true => (ErrorKind::UnreadableSource, format!("{object} is broken: its decoder came to a contradiction")),
            false => (ErrorKind::Internal, format!("the decoding of {object} was cancelled")),
        };
        Err(StageError::new(kind, message))
    })
}

/// Where a decoder's batches go.
pub(super) struct BlockSink {
    sender: mpsc::Sender<TypedBlock>,
    next_record: u64,
    object: String,
}

impl BlockSink {
    /// The number of the next record.
    pub(super) fn next_record(&self) -> u64 {
        self.next_record
    }

    /// Hands over records, in blocks of bounded size. False: nobody wants any more.
    ///
    /// # Errors
    /// `UnreadableSource` for a record that is too large.
    pub(super) fn send(&mut self, batch: &RecordBatch) -> Result<bool, StageError> {
        let sizes = sizes::record_bytes(batch);
        let mut start = 0;
        while start < batch.num_rows() {
            let mut bytes = 0;
            let mut end = start;
            while end < sizes.len()
                && end - start < BATCH_RECORDS
                && (end == start || bytes + sizes[end] <= BLOCK_BYTES_MAX)
            {
                bytes += sizes[end];
                end += 1;
            }
            if bytes > RECORD_BYTES_MAX as u64 {
                return Err(StageError::new(
                    ErrorKind::UnreadableSource,
                    format!(
                        "record {} of {} has {bytes} bytes where {RECORD_BYTES_MAX} are allowed",
                        self.next_record + 1,
                        self.object
                    ),
                ));
            }
            let block = TypedBlock { batch: batch.slice(start, end - start), first_record: self.next_record };
            self.next_record += (end - start) as u64;
            start = end;
            if self.sender.blocking_send(block).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
