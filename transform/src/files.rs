//! Writes the final Parquet files, one for each partition.

use std::{collections::BTreeMap, mem, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use bytes::Bytes;
use object_store::{ObjectStore, buffered::BufWriter};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
};
use stepwell_pipeline::{
    ErrorKind, StageError,
    manifest::DataFile,
    run::Run,
    stage::{CODE_VERSION, Stage, StageContext},
    store,
};
use tokio::io::AsyncWriteExt;

use crate::partition::Partitioner;

/// So many partitions from one object are taken for a mistake: their files would be too small to read well.
const PARTITIONS_MAX: usize = 1000;
/// All open files together hold at most about so much that is not yet written.
const BUFFERED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Writes records into one Parquet file for each partition.
pub(crate) struct FileWriter {
    partitioner: Partitioner,
    bucket: Arc<dyn ObjectStore>,
    run: Run,
    properties: WriterProperties,
    open: BTreeMap<String, OpenFile>,
}

struct OpenFile {
    encoder: ArrowWriter<Vec<u8>>,
    upload: BufWriter,
    staged: String,
    path: String,
    records: u64,
    bytes: u64,
}

impl FileWriter {
    pub(crate) fn new(
        context: &StageContext,
        run: &Run,
        schema: SchemaRef,
        partition_columns: &[&str],
    ) -> Result<Self, StageError> {
        let partitioner = Partitioner::new(&schema, partition_columns).map_err(|error| {
            StageError::with_source(ErrorKind::InvalidSpec, "the SQL does not give every partition column", error)
        })?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(format!("stepwell {CODE_VERSION}"))
            .build();
        let bucket = context.stores.bucket(&context.buckets.work)?;
        Ok(Self { partitioner, bucket, run: run.clone(), properties, open: BTreeMap::new() })
    }

    pub(crate) async fn write(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        for (directory, rows) in self.partitioner.split(batch).map_err(|error| encoding(error.into()))? {
            self.file(directory)?.write(&rows).await?;
        }
        self.bound_memory().await
    }

    pub(crate) async fn finish(self) -> Result<Vec<DataFile>, StageError> {
        let mut files = Vec::with_capacity(self.open.len());
        for (_, file) in self.open {
            files.push(file.finish().await?);
        }
        Ok(files)
    }

    fn file(&mut self, directory: String) -> Result<&mut OpenFile, StageError> {
        if !self.open.contains_key(&directory) {
            if self.open.len() == PARTITIONS_MAX {
                return Err(StageError::new(
                    ErrorKind::TransformFailed,
                    format!(
                        "the object has records for more than {PARTITIONS_MAX} partitions; partition by fewer or coarser columns"
                    ),
                ));
            }
            let file = self.create(&directory)?;
            self.open.insert(directory.clone(), file);
        }
        self.open
            .get_mut(&directory)
            .ok_or_else(|| StageError::new(ErrorKind::Internal, "a file that was just opened is gone"))
    }

    fn create(&self, directory: &str) -> Result<OpenFile, StageError> {
        let name = format!("{}-00000.parquet", self.run.file_stem());
        let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
        let staged = self.run.stage_key(Stage::Transform, &path);
        let encoder = ArrowWriter::try_new(Vec::new(), self.partitioner.schema(), Some(self.properties.clone()))
            .map_err(encoding)?;
        let upload = BufWriter::new(self.bucket.clone(), store::path(&staged)?);
        Ok(OpenFile { encoder, upload, staged, path, records: 0, bytes: 0 })
    }

    async fn bound_memory(&mut self) -> Result<(), StageError> {
        while self.open.values().map(|file| file.encoder.in_progress_size()).sum::<usize>() > BUFFERED_BYTES_MAX {
            let largest = self.open.values_mut().max_by_key(|file| file.encoder.in_progress_size());
            let Some(largest) = largest else { break };
            largest.encoder.flush().map_err(encoding)?;
            largest.send().await?;
        }
        Ok(())
    }
}

impl OpenFile {
    async fn write(&mut self, rows: &RecordBatch) -> Result<(), StageError> {
        self.encoder.write(rows).map_err(encoding)?;
        self.records += rows.num_rows() as u64;
        self.send().await
    }

    async fn send(&mut self) -> Result<(), StageError> {
        let bytes = mem::take(self.encoder.inner_mut());
        if bytes.is_empty() {
            return Ok(());
        }
        self.bytes += bytes.len() as u64;
        let written = self.upload.put(Bytes::from(bytes)).await;
        written.map_err(|error| store::classify(error, &format!("cannot write {}", self.staged)))
    }

    async fn finish(mut self) -> Result<DataFile, StageError> {
        self.encoder.finish().map_err(encoding)?;
        self.send().await?;
        let finished = self.upload.shutdown().await;
        finished.map_err(|error| store::classify_io(error, &format!("cannot write {}", self.staged)))?;
        Ok(DataFile { staged: self.staged, path: self.path, records: self.records, bytes: self.bytes })
    }
}

fn encoding(error: ParquetError) -> StageError {
    StageError::with_source(ErrorKind::TransformFailed, "cannot write Parquet", error)
}
