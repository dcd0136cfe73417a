//! Writes what the stage makes: staged parts of accepted records, and rejects.

use std::{mem, path::Path, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef, ipc::writer::FileWriter};
use bytes::Bytes;
use object_store::{ObjectStore, buffered::BufWriter};
use stepwell_pipeline::{
    ErrorKind, StageError,
    manifest::{Part, RejectFiles},
    reject::{ReasonCount, ReasonTally, Reject},
    run::Run,
    stage::{Stage, StageContext},
    store,
};
use tokio::io::AsyncWriteExt;

/// A part ends when it has reached this size.
const PART_BYTES: u64 = 64 * 1024 * 1024;
/// Rejects are gathered to this size before they go to the store.
const REJECT_BUFFER_BYTES: usize = 64 * 1024;

/// Writes accepted records as Arrow IPC files of bounded size.
pub(crate) struct PartWriter {
    target: Target,
    schema: SchemaRef,
    open: Option<OpenPart>,
    parts: Vec<Part>,
}

struct OpenPart {
    encoder: FileWriter<Vec<u8>>,
    upload: Upload,
    records: u64,
}

impl PartWriter {
    pub(crate) fn new(context: &StageContext, run: &Run, schema: SchemaRef) -> Self {
        Self { target: Target::new(context, run), schema, open: None, parts: Vec::new() }
    }

    pub(crate) async fn write(&mut self, batch: RecordBatch) -> Result<(), StageError> {
        let mut part = match self.open.take() {
            Some(part) => part,
            None => OpenPart {
                encoder: FileWriter::try_new(Vec::new(), &self.schema).map_err(encoding)?,
                upload: self.target.create(&format!("part-{:05}.arrow", self.parts.len()))?,
                records: 0,
            },
        };
        part.encoder.write(&batch).map_err(encoding)?;
        part.records += batch.num_rows() as u64;
        part.upload.write(mem::take(part.encoder.get_mut())).await?;
        if part.upload.bytes >= PART_BYTES {
            self.parts.push(part.finish().await?);
        } else {
            self.open = Some(part);
        }
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> Result<Vec<Part>, StageError> {
        if let Some(part) = self.open.take() {
            self.parts.push(part.finish().await?);
        }
        Ok(self.parts)
    }
}

impl OpenPart {
    async fn finish(mut self) -> Result<Part, StageError> {
        self.encoder.finish().map_err(encoding)?;
        self.upload.write(mem::take(self.encoder.get_mut())).await?;
        let (key, bytes) = self.upload.finish().await?;
        Ok(Part { key, records: self.records, bytes })
    }
}

fn encoding(error: arrow::error::ArrowError) -> StageError {
    StageError::with_source(ErrorKind::Internal, "cannot encode a part", error)
}

/// Writes rejects twice: as they were, and with their reasons.
pub(crate) struct RejectWriter {
    target: Target,
    records_name: String,
    header: Option<Vec<u8>>,
    open: Option<OpenRejects>,
    tally: ReasonTally,
    records: u64,
}

struct OpenRejects {
    records: Upload,
    records_buffer: Vec<u8>,
    reasons: Upload,
    reasons_buffer: Vec<u8>,
}

/// What became of the rejects.
pub(crate) struct Rejected {
    pub(crate) records: u64,
    pub(crate) files: Option<RejectFiles>,
    pub(crate) reasons: Vec<ReasonCount>,
}

impl RejectWriter {
    pub(crate) fn new(context: &StageContext, run: &Run) -> Self {
        let extension =
            Path::new(&run.source.key).extension().and_then(|extension| extension.to_str()).unwrap_or("csv");
        Self {
            target: Target::new(context, run),
            records_name: format!("rejects.{extension}"),
            header: None,
            open: None,
            tally: ReasonTally::default(),
            records: 0,
        }
    }

    /// Gives the header that the file of bad records begins with, without its line end.
    pub(crate) fn set_header(&mut self, header: &[u8]) {
        self.header = Some(header.to_vec());
    }

    /// Keeps a bad record, given without its line end.
    pub(crate) async fn write(&mut self, record: &[u8], reject: &Reject) -> Result<(), StageError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                let mut records_buffer = Vec::new();
                if let Some(header) = &self.header {
                    records_buffer.extend_from_slice(header);
                    records_buffer.push(b'\n');
                }
                OpenRejects {
                    records: self.target.create(&self.records_name)?,
                    records_buffer,
                    reasons: self.target.create("reasons.ndjson")?,
                    reasons_buffer: Vec::new(),
                }
            }
        };
        open.records_buffer.extend_from_slice(record);
        open.records_buffer.push(b'\n');
        serde_json::to_writer(&mut open.reasons_buffer, reject)
            .map_err(|error| StageError::with_source(ErrorKind::Internal, "cannot write a reason", error))?;
        open.reasons_buffer.push(b'\n');
        if open.records_buffer.len() + open.reasons_buffer.len() >= REJECT_BUFFER_BYTES {
            open.flush().await?;
        }
        self.tally.add(reject);
        self.records += 1;
        self.open = Some(open);
        Ok(())
    }

    pub(crate) async fn finish(self) -> Result<Rejected, StageError> {
        let files = match self.open {
            Some(mut open) => {
                open.flush().await?;
                Some(RejectFiles { records: open.records.finish().await?.0, reasons: open.reasons.finish().await?.0 })
            }
            None => None,
        };
        Ok(Rejected { records: self.records, files, reasons: self.tally.commonest() })
    }
}

impl OpenRejects {
    async fn flush(&mut self) -> Result<(), StageError> {
        self.records.write(mem::take(&mut self.records_buffer)).await?;
        self.reasons.write(mem::take(&mut self.reasons_buffer)).await
    }
}

/// Where the stage writes.
struct Target {
    bucket_name: String,
    stores: Arc<dyn store::Stores>,
    run: Run,
}

impl Target {
    fn new(context: &StageContext, run: &Run) -> Self {
        Self { bucket_name: context.buckets.work.clone(), stores: context.stores.clone(), run: run.clone() }
    }

    fn create(&self, name: &str) -> Result<Upload, StageError> {
        let key = self.run.stage_key(Stage::Extract, name);
        let bucket: Arc<dyn ObjectStore> = self.stores.bucket(&self.bucket_name)?;
        let writer = BufWriter::new(bucket, store::path(&key)?);
        Ok(Upload { url: format!("s3://{}/{key}", self.bucket_name), key, writer, bytes: 0 })
    }
}

/// An object that is being written.
struct Upload {
    key: String,
    url: String,
    writer: BufWriter,
    bytes: u64,
}

impl Upload {
    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), StageError> {
        self.bytes += bytes.len() as u64;
        let written = self.writer.put(Bytes::from(bytes)).await;
        written.map_err(|error| store::classify(error, &format!("cannot write {}", self.url)))
    }

    async fn finish(mut self) -> Result<(String, u64), StageError> {
        self.writer
            .shutdown()
            .await
            .map_err(|error| store::classify_io(error, &format!("cannot write {}", self.url)))?;
        Ok((self.key, self.bytes))
    }
}
