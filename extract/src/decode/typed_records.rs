//! Parquet and Avro: files to blocks of records.

use std::{borrow::Cow, sync::Arc};

use stepwell_pipeline::{
    ErrorKind, StageError,
    reject::RejectCode,
    spec::{CheckedSpec, Column, Format},
};

use super::{
    Block, Place,
    avro::AvroFile,
    parquet::ParquetFile,
    typed::{TextColumn, TypedBlock, TypedBlocks, TypedLayout, record_json},
};
use crate::{
    column::{Faults, Fields},
    source::File,
};

/// Reads one file.
pub(crate) struct TypedRecords {
    layout: Arc<TypedLayout>,
    blocks: TypedBlocks,
    columns: usize,
}

impl TypedRecords {
    /// Opens a file to read it from a record on, counted from 0.
    ///
    /// # Errors
    /// `UnreadableSource`, among others for Parquet within an archive, of which no range can be read; `SchemaMismatch`;
    /// and what the store says.
    pub(crate) async fn open(
        spec: &CheckedSpec,
        file: File,
        format: Format,
        first_record: u64,
    ) -> Result<Self, StageError> {
        let label = file.label();
        let (layout, blocks) = if format == Format::Parquet {
            let Some(object) = file.plain() else {
                let message =
                    format!("{label} is Parquet within another file; unpack it first: it is compressed in itself");
                return Err(StageError::new(ErrorKind::UnreadableSource, message));
            };
            let parquet = ParquetFile::open(object.clone()).await?;
            let layout = TypedLayout::new(parquet.schema(), spec, &label)?;
            let blocks = parquet.read(layout.projection(), first_record);
            (layout, blocks)
        } else {
            let avro = AvroFile::open(&label, file.into_bytes().into_stream()).await?;
            let layout = TypedLayout::new(avro.schema(), spec, &label)?;
            let blocks = avro.read(layout.projection(), first_record);
            (layout, blocks)
        };
        Ok(Self { layout: Arc::new(layout), blocks, columns: spec.columns.len() })
    }

    /// The declared columns as their parsers should be given them.
    pub(crate) fn parsers(&self) -> &[Column] {
        self.layout.parsers()
    }

    /// The next block, or nothing at the end.
    ///
    /// # Errors
    /// `UnreadableSource`, `SourceChanged`, and what the store says.
    pub(crate) async fn next(&mut self) -> Result<Option<TypedRecordsBlock>, StageError> {
        let Some(block) = self.blocks.next().await? else { return Ok(None) };
        let text = |column| self.layout.text(column, &block.batch);
        Ok(Some(TypedRecordsBlock {
            columns: (0..self.columns).map(text).collect(),
            extra: self.layout.extra(&block.batch),
            layout: self.layout.clone(),
            block,
        }))
    }
}

/// Some consecutive records.
pub(crate) struct TypedRecordsBlock {
    layout: Arc<TypedLayout>,
    block: TypedBlock,
    columns: Vec<TextColumn>,
    extra: Option<TextColumn>,
}

impl TypedRecordsBlock {
    /// The bytes of the records in memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.block.batch.get_array_memory_size() as u64
    }
}

impl Block for TypedRecordsBlock {
    type Cells<'a> = TypedCells<'a>;

    fn records(&self) -> usize {
        self.block.batch.num_rows()
    }

    fn record_bytes(&self, record: usize) -> usize {
        let bytes = |column: &TextColumn| Fields::get(column, record).map_or(0, <[u8]>::len);
        self.columns.iter().map(bytes).sum()
    }

    fn mark(&self, faults: &mut Faults) {
        for (index, column) in self.columns.iter().enumerate() {
            for fault in column.faults() {
                faults.add(fault.record, Some(index), fault.code, fault.message);
            }
        }
        for fault in self.extra.iter().flat_map(TextColumn::faults) {
            faults.add(fault.record, None, RejectCode::InvalidValue, fault.message);
        }
    }

    fn cells(&self, column: usize) -> TypedCells<'_> {
        TypedCells { text: Some(&self.columns[column]), records: self.records() }
    }

    fn extra(&self) -> TypedCells<'_> {
        TypedCells { text: self.extra.as_ref(), records: self.records() }
    }

    fn place(&self, record: usize, _: Option<Place>) -> Place {
        Place { line: self.block.first_record + record as u64 + 1, position: 0 }
    }

    fn original(&self, record: usize, _: &[usize]) -> Cow<'_, [u8]> {
        Cow::Owned(record_json(&self.block.batch, record, self.layout.masked()))
    }
}

/// The cells of one column.
pub(crate) struct TypedCells<'a> {
    /// Nothing, where nothing undeclared is kept.
    text: Option<&'a TextColumn>,
    records: usize,
}

impl Fields for TypedCells<'_> {
    fn len(&self) -> usize {
        self.records
    }

    fn get(&self, record: usize) -> Option<&[u8]> {
        Fields::get(self.text?, record)
    }
}
