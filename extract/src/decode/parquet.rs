//! Parquet: footer first, then row group by row group, page by page.

mod footer;
mod pages;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    },
    basic::Type as PhysicalType,
    file::metadata::{ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy},
    schema::types::SchemaDescriptor,
};
use stepwell_pipeline::{ErrorKind, StageError};
use tokio::runtime::Handle;

use super::typed::{BATCH_RECORDS, BlockSink, TypedBlocks, finished};
use crate::source::Object;
use pages::Pages;

/// The magic number, at both ends of a file, and the footer's length before the last.
const TAIL_BYTES: u64 = 8;
/// What a footer may have. It grows about fivefold in memory.
const FOOTER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What is read at first of a file's end, to have the footer of most files at once.
const END_BYTES: u64 = 64 * 1024;

/// A Parquet file whose footer is read.
#[derive(Debug)]
pub(crate) struct ParquetFile {
    object: Object,
    metadata: ArrowReaderMetadata,
}

fn unreadable(object: &Object, message: &str) -> StageError {
    StageError::new(ErrorKind::UnreadableSource, format!("{} {message}", object.name()))
}

impl ParquetFile {
    /// Reads the footer.
    ///
    /// # Errors
    /// `UnreadableSource` for what is no Parquet file, is encrypted, or has a footer that is broken or too large;
    /// `SourceChanged`, and what the store says.
    pub(crate) async fn open(object: Object) -> Result<Self, StageError> {
        let footer = footer_bytes(&object).await?;
        let foreign = object.clone();
        let parsing = tokio::task::spawn_blocking(move || parse(&footer, &foreign));
        let metadata = finished(parsing, &object.name()).await?;
        Ok(Self { object, metadata })
    }

    /// The columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// How many records the footer promises.
    #[cfg(test)]
    pub(crate) fn records(&self) -> u64 {
        let groups = self.metadata.metadata().row_groups();
        groups.iter().map(|group| group.num_rows().unsigned_abs()).fold(0, u64::saturating_add)
    }

    /// Reads some columns, by index in ascending order, from a record on, counted from 0.
    pub(crate) fn read(self, columns: &[usize], first_record: u64) -> TypedBlocks {
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), columns.iter().copied());
        let handle = Handle::current();
        TypedBlocks::spawn(&self.object.name(), first_record, move |sink| {
            let pages = Pages::new(self.object, handle);
            decode(&pages, &self.metadata, &mask, sink).map_err(|error| pages.failure().unwrap_or(error))
        })
    }
}

async fn footer_bytes(object: &Object) -> Result<Bytes, StageError> {
    let size = object.size();
    if size < 2 * TAIL_BYTES {
        return Err(unreadable(object, "is too short for a Parquet file"));
    }
    let end = object.read(size.saturating_sub(END_BYTES)..size).await?;
    let (rest, tail) = end.split_at(end.len() - TAIL_BYTES as usize);
    let footer_bytes = match tail {
        [a, b, c, d, b'P', b'A', b'R', b'1'] => u64::from(u32::from_le_bytes([*a, *b, *c, *d])),
        [.., b'P', b'A', b'R', b'E'] => {
            return Err(unreadable(object, "is an encrypted Parquet file; write it without encryption"));
        }
        _ => {
            return Err(unreadable(object, "does not end as a Parquet file does: it is cut off, or of another format"));
        }
    };
    if footer_bytes > size - TAIL_BYTES {
        return Err(unreadable(object, "is a broken Parquet file: its footer would begin before the file does"));
    }
    if footer_bytes > FOOTER_BYTES_MAX {
        return Err(unreadable(
            object,
            &format!(
                "has a footer of {footer_bytes} bytes where {FOOTER_BYTES_MAX} are allowed; write it with fewer row groups or \
             as several files"
            ),
        ));
    }
    match rest.len().checked_sub(footer_bytes as usize) {
        Some(start) => Ok(end.slice(start..rest.len())),
        None => object.read(size - TAIL_BYTES - footer_bytes..size - TAIL_BYTES).await,
    }
}

fn parse(footer: &[u8], object: &Object) -> Result<ArrowReaderMetadata, StageError> {
    let broken = |error: &dyn std::fmt::Display| {
        let reason: String = error.to_string().chars().take(200).collect();
        unreadable(object, &format!("is a broken Parquet file: in its footer, {reason}"))
    };
    footer::check(footer).map_err(|message| broken(&message))?;
    // Statistics are what most of a footer is, and nothing here asks for them.
    let options = ParquetMetaDataOptions::new()
        .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll);
    let metadata = ParquetMetaDataReader::decode_metadata_with_options(footer, Some(&options))
        .map(Arc::new)
        .map_err(|error| broken(&error))?;
    // The Arrow schema that some writers embed asks for types (run ends, list views) that nothing else in the file needs.
    let plain = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let inferred = ArrowReaderMetadata::try_new(metadata.clone(), plain.clone()).map_err(|error| broken(&error))?;
    let schema = reading_schema(inferred.schema(), inferred.parquet_schema());
    ArrowReaderMetadata::try_new(metadata, plain.with_schema(Arc::new(schema))).map_err(|error| broken(&error))
}

/// The schema to read with.
///
/// Strings are views into the pages: a long dictionary value that occurs a thousand times is in memory once. The old
/// 96-bit timestamps are read to the microsecond, since nanoseconds in 64 bits reach only from 1677 to 2262 and files
/// hold days such as 9999-12-31.
fn reading_schema(inferred: &Schema, parquet: &SchemaDescriptor) -> Schema {
    let roots = parquet.root_schema().get_fields();
    let fields = inferred.fields().iter().zip(roots).map(|(field, root)| {
        if root.is_primitive() && root.get_physical_type() == PhysicalType::INT96 {
            let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
            return Arc::new(field.as_ref().clone().with_data_type(micros));
        }
        reading_field(field)
    });
    Schema::new(fields.collect::<Fields>())
}

fn reading_field(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(reading_field).collect()),
        DataType::List(item) => DataType::List(reading_field(item)),
        _ => return field.clone(),
    };
    Arc::new(Field::clone(field).with_data_type(data_type))
}

fn decode(
    pages: &Pages,
    metadata: &ArrowReaderMetadata,
    mask: &ProjectionMask,
    sink: &mut BlockSink,
) -> Result<(), StageError> {
    let mut group_start = 0_u64;
    for (index, group) in metadata.metadata().row_groups().iter().enumerate() {
        let Ok(records) = u64::try_from(group.num_rows()) else {
            return Err(pages.broken(index, "has a negative number of records"));
        };
        let group_end = group_start.saturating_add(records);
        let skipped = sink.next_record().saturating_sub(group_start);
        if skipped < records {
            pages.enter(index, group, mask)?;
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(pages.clone(), metadata.clone())
                .with_row_groups(vec![index])
                .with_projection(mask.clone())
                .with_batch_size(BATCH_RECORDS)
                .with_offset(skipped as usize)
                .build()
                .map_err(|error| pages.broken(index, &error.to_string()))?;
            for batch in reader {
                let batch = batch.map_err(|error| pages.broken(index, &error.to_string()))?;
                if !sink.send(&batch)? {
                    return Ok(());
                }
            }
            if sink.next_record() != group_end {
                let found = sink.next_record() - group_start;
                return Err(pages.broken(index, &format!("has {found} records where the footer says {records}")));
            }
        }
        group_start = group_end;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
