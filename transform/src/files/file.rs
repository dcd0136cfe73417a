use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_writer::{ArrowRowGroupWriterFactory, ArrowWriterOptions},
    },
    errors::Result,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::types::ColumnDescPtr,
};
use stepwell_pipeline::{StageError, manifest::DataFile};

use super::{
    encode::{Chunk, Column, Done, Encoder, Job},
    encoding_failed,
    flat::FlatWriter,
    pages::{FilePages, Held, PagePool},
    upload::Upload,
};

/// The file's bytes are kept in pieces of about this size.
const PIECE_BYTES: usize = 512 * 1024;

/// A Parquet file that is being written.
pub(super) struct OpenFile {
    writer: SerializedFileWriter<Sink>,
    row_groups: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    sink: Sink,
    pages: FilePages,
    upload: Upload,
    columns: Vec<Column>,
    group_records: u64,
    records: u64,
    staged: String,
    path: String,
}

impl OpenFile {
    pub(super) fn new(
        schema: &SchemaRef,
        properties: &WriterProperties,
        pages: FilePages,
        upload: Upload,
        staged: String,
        path: String,
    ) -> Result<Self> {
        let sink = Sink::new(pages.pool());
        let options = ArrowWriterOptions::new()
            .with_properties(properties.clone())
            .with_page_store_factory(Arc::new(pages.clone()));
        let writer = ArrowWriter::try_new_with_options(sink.clone(), schema.clone(), options)?;
        let (writer, row_groups) = writer.into_serialized_writer()?;
        Ok(Self {
            writer,
            row_groups,
            schema: schema.clone(),
            sink,
            pages,
            upload,
            columns: Vec::new(),
            group_records: 0,
            records: 0,
            staged,
            path,
        })
    }

    /// The jobs that encode more records. Their columns come back through [`Self::put_back`].
    pub(super) fn jobs(&mut self, batches: &[RecordBatch]) -> Result<Vec<Job>> {
        let records = batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
        self.group_records += records;
        self.records += records;
        if self.columns.is_empty() {
            self.columns = self.begin_row_group()?;
        }
        let arrays = |index| batches.iter().map(|batch| RecordBatch::column(batch, index).clone()).collect();
        let columns = mem::take(&mut self.columns).into_iter().enumerate();
        Ok(columns.map(|(index, column)| Job::Write(column, arrays(index))).collect())
    }

    pub(super) fn put_back(&mut self, columns: Vec<Column>) {
        self.columns = columns;
    }

    fn begin_row_group(&self) -> Result<Vec<Column>> {
        let leaves = self.writer.schema_descr().columns();
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        let mut nested = Vec::new();
        let mut first = 0;
        for (root, field) in self.writer.schema_descr().root_schema().get_fields().iter().zip(self.schema.fields()) {
            let is_below = |leaf: &&ColumnDescPtr| leaf.path().parts().first().is_some_and(|name| name == root.name());
            let count = leaves.iter().skip(first).take_while(is_below).count();
            let flat = leaves.get(first).filter(|_| count == 1).and_then(|leaf| {
                FlatWriter::new(field.data_type(), leaf, self.writer.properties(), self.pages.column())
            });
            match flat {
                Some(writer) => columns.push(Column::Flat(Box::new(writer))),
                None => {
                    nested.push((columns.len(), first..first + count));
                    columns.push(Column::Nested(field.clone(), Vec::new()));
                }
            }
            first += count;
        }
        if !nested.is_empty() {
            let row_group = self.writer.flushed_row_groups().len();
            // They come for every leaf; those that are not needed take no memory until they are used.
            let mut writers: Vec<_> = self.row_groups.create_column_writers(row_group)?.into_iter().map(Some).collect();
            for (index, leaves) in nested {
                if let (Some(Column::Nested(_, own)), Some(all)) = (columns.get_mut(index), writers.get_mut(leaves)) {
                    own.extend(all.iter_mut().filter_map(Option::take));
                }
            }
        }
        Ok(columns)
    }

    /// The records of the row group that is being written.
    pub(super) fn group_records(&self) -> u64 {
        self.group_records
    }

    /// About how many bytes the row group that is being written will have.
    pub(super) fn group_bytes(&self) -> usize {
        self.columns.iter().map(Column::bytes).sum()
    }

    /// About how many bytes the file has so far.
    pub(super) fn bytes(&self) -> u64 {
        self.upload.bytes() + self.group_bytes() as u64
    }

    /// The bytes of finished pages that are held, in memory or temporary storage.
    pub(super) fn held_bytes(&self) -> usize {
        self.pages.bytes() + self.upload.pending_bytes()
    }

    /// Ends the row group.
    pub(super) async fn end_row_group(&mut self, encoder: &Encoder) -> Result<(), StageError> {
        if self.group_records == 0 {
            return Ok(());
        }
        self.group_records = 0;
        let jobs = mem::take(&mut self.columns).into_iter().map(Job::Close).collect();
        let done = encoder.start(jobs).join().await.map_err(encoding_failed)?;
        let chunks: Vec<Chunk> = done
            .into_iter()
            .flat_map(|done| match done {
                Done::Closed(chunks) => chunks,
                Done::Written(_) => Vec::new(),
            })
            .collect();
        let mut row_group = self.writer.next_row_group().map_err(encoding_failed)?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut row_group).map_err(encoding_failed)?;
            hand_on(&self.sink, &mut self.upload).await?;
        }
        row_group.close().map_err(encoding_failed)?;
        Ok(())
    }

    /// Gives the file up.
    pub(super) async fn abort(self) {
        self.upload.abort().await;
    }

    pub(super) async fn finish(mut self, encoder: &Encoder) -> Result<DataFile, StageError> {
        if let Err(error) = self.write_footer(encoder).await {
            self.upload.abort().await;
            return Err(error);
        }
        let bytes = self.upload.finish().await?;
        Ok(DataFile { staged: self.staged, path: self.path, records: self.records, bytes })
    }
}

impl OpenFile {
    async fn write_footer(&mut self, encoder: &Encoder) -> Result<(), StageError> {
        self.end_row_group(encoder).await?;
        self.writer.finish().map_err(encoding_failed)?;
        hand_on(&self.sink, &mut self.upload).await
    }
}

/// Gives what is written to the upload.
async fn hand_on(sink: &Sink, upload: &mut Upload) -> Result<(), StageError> {
    for piece in sink.take().map_err(|error| encoding_failed(error.into()))? {
        upload.write(piece).await?;
    }
    Ok(())
}

/// Where the file's bytes go until they are taken on to the upload: a piece after the other into the pool, so that a large
/// chunk is not in memory twice.
#[derive(Clone)]
struct Sink(Arc<Mutex<Pieces>>);

struct Pieces {
    pool: Arc<PagePool>,
    held: Vec<Held>,
    open: Vec<u8>,
}

impl Sink {
    fn new(pool: Arc<PagePool>) -> Self {
        Self(Arc::new(Mutex::new(Pieces { pool, held: Vec::new(), open: Vec::new() })))
    }

    fn take(&self) -> io::Result<Vec<Held>> {
        let mut pieces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.end_piece()?;
        Ok(mem::take(&mut pieces.held))
    }
}

impl Pieces {
    fn end_piece(&mut self) -> io::Result<()> {
        if !self.open.is_empty() {
            self.held.push(self.pool.hold(mem::take(&mut self.open).into())?);
        }
        Ok(())
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut pieces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pieces.open.len() + bytes.len() > PIECE_BYTES {
            pieces.end_piece()?;
        }
        pieces.open.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
