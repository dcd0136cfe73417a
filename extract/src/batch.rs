use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder, Int8Builder,
        Int16Builder, Int32Builder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
        UInt8Builder, UInt16Builder, UInt32Builder, UInt64Builder,
    },
    datatypes::SchemaRef,
};
use stepwell_pipeline::{
    ErrorKind, StageError,
    manifest::ColumnProfile,
    spec::{Column, ColumnType},
};

use crate::{cell::Cell, profile::ColumnProfiler};

const BATCH_RECORDS: usize = 8192;
/// Caps a batch of wide records; in bytes of the source.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Gathers accepted records into batches.
pub(crate) struct BatchBuilder {
    schema: SchemaRef,
    columns: Vec<ColumnBuilder>,
    profilers: Vec<ColumnProfiler>,
    records: usize,
    source_bytes: usize,
}

impl BatchBuilder {
    pub(crate) fn new(columns: &[Column], schema: SchemaRef) -> Self {
        Self {
            schema,
            columns: columns.iter().map(|column| ColumnBuilder::new(&column.column_type)).collect(),
            profilers: columns.iter().map(ColumnProfiler::new).collect(),
            records: 0,
            source_bytes: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Appends a record that took so many bytes of the source. Returns whether the batch is full.
    pub(crate) fn append(&mut self, cells: &[Option<Cell<'_>>], source_bytes: usize) -> bool {
        for ((column, profiler), cell) in self.columns.iter_mut().zip(&mut self.profilers).zip(cells) {
            column.append(*cell);
            profiler.observe(*cell);
        }
        self.records += 1;
        self.source_bytes += source_bytes;
        self.records >= BATCH_RECORDS || self.source_bytes >= BATCH_BYTES
    }

    /// The records since the last call.
    pub(crate) fn take(&mut self) -> Result<RecordBatch, StageError> {
        self.records = 0;
        self.source_bytes = 0;
        let columns = self.columns.iter_mut().map(ColumnBuilder::finish).collect();
        RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|error| StageError::with_source(ErrorKind::Internal, "cannot build a batch", error))
    }

    /// What is known of the columns.
    pub(crate) fn profile(&self) -> Vec<ColumnProfile> {
        self.profilers.iter().map(ColumnProfiler::finish).collect()
    }
}

macro_rules! column_builders {
    ($($name:ident($builder:ident): $cell:pat => $value:expr;)+) => {
        enum ColumnBuilder { $($name($builder),)+ }

        impl ColumnBuilder {
            /// Appends a value that the column's own parser made, so that it is of the right kind and in range.
            fn append(&mut self, cell: Option<Cell<'_>>) {
                match (self, cell) {
                    $((Self::$name(builder), Some($cell)) => builder.append_value($value),)+
                    $((Self::$name(builder), _) => builder.append_null(),)+
                }
            }

            fn finish(&mut self) -> ArrayRef {
                match self { $(Self::$name(builder) => Arc::new(builder.finish()),)+ }
            }
        }
    };
}

column_builders! {
    Int8(Int8Builder): Cell::Int(value) => value as i8;
    Int16(Int16Builder): Cell::Int(value) => value as i16;
    Int32(Int32Builder): Cell::Int(value) => value as i32;
    Int64(Int64Builder): Cell::Int(value) => value;
    Uint8(UInt8Builder): Cell::Uint(value) => value as u8;
    Uint16(UInt16Builder): Cell::Uint(value) => value as u16;
    Uint32(UInt32Builder): Cell::Uint(value) => value as u32;
    Uint64(UInt64Builder): Cell::Uint(value) => value;
    Float32(Float32Builder): Cell::Float(value) => value as f32;
    Float64(Float64Builder): Cell::Float(value) => value;
    Decimal(Decimal128Builder): Cell::Decimal(value) => value;
    Boolean(BooleanBuilder): Cell::Boolean(value) => value;
    String(StringBuilder): Cell::String(value) => value;
    Date(Date32Builder): Cell::Date(value) => value;
    Timestamp(TimestampMicrosecondBuilder): Cell::Timestamp(value) => value;
}

impl ColumnBuilder {
    fn new(column_type: &ColumnType) -> Self {
        match column_type {
            ColumnType::Int(8) => Self::Int8(Int8Builder::new()),
            ColumnType::Int(16) => Self::Int16(Int16Builder::new()),
            ColumnType::Int(32) => Self::Int32(Int32Builder::new()),
            ColumnType::Int(_) => Self::Int64(Int64Builder::new()),
            ColumnType::Uint(8) => Self::Uint8(UInt8Builder::new()),
            ColumnType::Uint(16) => Self::Uint16(UInt16Builder::new()),
            ColumnType::Uint(32) => Self::Uint32(UInt32Builder::new()),
            ColumnType::Uint(_) => Self::Uint64(UInt64Builder::new()),
            ColumnType::Float(32) => Self::Float32(Float32Builder::new()),
            ColumnType::Float(_) => Self::Float64(Float64Builder::new()),
            ColumnType::Decimal { .. } => {
                Self::Decimal(Decimal128Builder::new().with_data_type(column_type.arrow_type()))
            }
            ColumnType::Boolean(_) => Self::Boolean(BooleanBuilder::new()),
            ColumnType::String
            | ColumnType::Binary(_)
            | ColumnType::Time(_)
            | ColumnType::List(_)
            | ColumnType::Struct(_) => Self::String(StringBuilder::new()),
            ColumnType::Date(_) => Self::Date(Date32Builder::new()),
            ColumnType::Timestamp(_) => Self::Timestamp(TimestampMicrosecondBuilder::new()),
        }
    }
}
