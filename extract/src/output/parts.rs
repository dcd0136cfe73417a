use std::mem;

use arrow::{
    array::RecordBatch,
    datatypes::SchemaRef,
    ipc::{
        reader::FileReader,
        writer::{DictionaryHandling, FileWriter, IpcWriteOptions},
    },
};
use bytes::Bytes;
use stepwell_pipeline::{ErrorKind, StageError, manifest::Part, run::Run, stage::StageContext};

use super::{Target, Upload};
use crate::buffers::Buffers;

/// Buffers of batches that are no larger are used again.
const BUFFER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Writes accepted records as Arrow IPC files of bounded size.
pub(crate) struct PartWriter {
    target: Target,
    part_bytes: u64,
    buffers: Buffers,
    open: Option<OpenPart>,
    parts: Vec<Part>,
}

struct OpenPart {
    encoder: FileWriter<Vec<u8>>,
    upload: Upload,
    records: u64,
}

impl PartWriter {
    /// A writer that goes on after the parts that are there.
    pub(crate) fn new(context: &StageContext, run: &Run, parts: Vec<Part>) -> Self {
        Self {
            target: Target::new(context, run),
            part_bytes: context.limits.part_bytes,
            buffers: Buffers::new(BUFFER_BYTES_MAX),
            open: None,
            parts,
        }
    }

    /// Writes a batch. Returns whether a part ended with it. A part whose texts were dictionaries ends before a batch in
    /// which they are plain.
    pub(crate) async fn write(&mut self, batch: &RecordBatch) -> Result<bool, StageError> {
        if let Some(part) = self.open.take_if(|part| part.encoder.schema() != batch.schema_ref()) {
            self.parts.push(part.finish().await?);
        }
        let mut part = match self.open.take() {
            Some(part) => part,
            None => OpenPart {
                encoder: encoder(batch.schema_ref())?,
                upload: self.target.create(self.target.object(&format!("part-{:05}.arrow", self.parts.len())))?,
                records: 0,
            },
        };
        if let Err(error) = part.write(batch, &self.buffers).await {
            part.upload.abort().await;
            return Err(error);
        }
        let is_full = part.upload.bytes >= self.part_bytes;
        if is_full {
            self.parts.push(part.finish().await?);
        } else {
            self.open = Some(part);
        }
        Ok(is_full)
    }

    /// Ends the part that is begun, if one is.
    pub(crate) async fn end(&mut self) -> Result<(), StageError> {
        if let Some(part) = self.open.take() {
            self.parts.push(part.finish().await?);
        }
        Ok(())
    }

    /// Gives up the part that is begun.
    pub(crate) async fn abort(&mut self) {
        if let Some(part) = self.open.take() {
            part.upload.abort().await;
        }
    }

    /// Whether a part is begun and not ended.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The parts that are whole.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(crate) async fn finish(mut self) -> Result<Vec<Part>, StageError> {
        self.end().await?;
        Ok(self.parts)
    }
}

impl OpenPart {
    async fn write(&mut self, batch: &RecordBatch, buffers: &Buffers) -> Result<(), StageError> {
        self.encoder.write(batch).map_err(encoding)?;
        self.records += batch.num_rows() as u64;
        let written = mem::replace(self.encoder.get_mut(), buffers.empty());
        self.upload.write(buffers.bytes(written)).await
    }

    async fn finish(mut self) -> Result<Part, StageError> {
        self.encoder.finish().map_err(encoding)?;
        self.upload.write(mem::take(self.encoder.get_mut())).await?;
        let (key, bytes) = self.upload.finish().await?;
        Ok(Part { key, records: self.records, bytes })
    }
}

fn encoder(schema: &SchemaRef) -> Result<FileWriter<Vec<u8>>, StageError> {
    // Dictionaries grow from batch to batch.
    let options = IpcWriteOptions::default().with_dictionary_handling(DictionaryHandling::Delta);
    FileWriter::try_new_with_options(Vec::new(), schema, options).map_err(encoding)
}

/// A batch as the bytes of an Arrow IPC file.
pub(crate) fn to_ipc(batch: &RecordBatch) -> Result<Vec<u8>, StageError> {
    let mut encoder = encoder(&batch.schema())?;
    encoder.write(batch).map_err(encoding)?;
    encoder.into_inner().map_err(encoding)
}

/// The batch of [`to_ipc`].
pub(crate) fn from_ipc(bytes: Bytes) -> Result<RecordBatch, StageError> {
    let decoding = |error| StageError::with_source(ErrorKind::Internal, "cannot decode the rest of a round", error);
    let mut batches = FileReader::try_new(std::io::Cursor::new(bytes), None).map_err(decoding)?;
    match batches.next() {
        Some(batch) => batch.map_err(decoding),
        None => Err(StageError::new(ErrorKind::Internal, "the rest of a round holds no batch")),
    }
}

fn encoding(error: arrow::error::ArrowError) -> StageError {
    StageError::with_source(ErrorKind::Internal, "cannot encode a part", error)
}
