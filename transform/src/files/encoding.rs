use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::SchemaRef,
};
use parquet::{
    arrow::ArrowSchemaConverter,
    basic::{Compression, ZstdLevel},
    errors::Result,
    file::metadata::SortingColumn,
    file::properties::WriterProperties,
    schema::types::ColumnPath,
};
use stepwell_pipeline::stage::CODE_VERSION;

use super::{
    flat::{Compressors, FlatWriter},
    pages::{FilePages, PagePool},
    sample,
};

/// The level of columns that do not get much smaller at the next.
const FAST_LEVEL: i32 = 1;
/// The level of the others.
const ZSTD_LEVEL: i32 = 3;
/// It takes twice the time, and so is worth it where a column loses at least this fraction more. Many get larger: numbers
/// in many bytes have short repetitions that cost more than they save.
const MORE_SAVING_LEAST: u64 = 12;
/// Bloom filters begin with room for so many different values, and are folded to what they need when the row group ends.
const BLOOM_VALUES_MAX: u64 = 1024 * 1024;
/// The share of absent values that a bloom filter takes for present.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// What the spec says of how files are to be written.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    pub(super) sort_by: Vec<String>,
    pub(super) bloom_filters: BTreeSet<String>,
    pub(super) is_partitioned: bool,
}

/// How files are written whose records begin like the sample.
pub(super) fn properties(schema: &SchemaRef, wishes: &Wishes, sample: &[RecordBatch]) -> Result<WriterProperties> {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_created_by(format!("stepwell {CODE_VERSION}"))
        .set_sorting_columns(sorting_columns(schema, &wishes.sort_by)?)
        // Where a row group ends is decided by the file's own bounds.
        .set_max_row_group_row_count(None);
    for (index, field) in schema.fields().iter().enumerate() {
        let path = ColumnPath::from(field.name().as_str());
        let arrays: Vec<ArrayRef> = sample.iter().map(|batch| batch.column(index).clone()).collect();
        if let Some(encoding) = sample::encoding(field.data_type(), &arrays) {
            builder =
                builder.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path.clone(), encoding);
        }
        if wishes.bloom_filters.contains(field.name()) {
            builder = builder
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_fpp(path.clone(), BLOOM_FALSE_POSITIVES)
                .set_column_bloom_filter_max_ndv(path, BLOOM_VALUES_MAX);
        }
    }
    let properties = builder.build();
    let fast = fast_columns(schema, &properties, sample)?;
    let mut builder = properties.into_builder();
    for path in fast {
        builder = builder.set_column_compression(path, Compression::ZSTD(ZstdLevel::try_new(FAST_LEVEL)?));
    }
    Ok(builder.build())
}

/// The columns that are not worth the time of the higher level.
fn fast_columns(schema: &SchemaRef, properties: &WriterProperties, sample: &[RecordBatch]) -> Result<Vec<ColumnPath>> {
    let fast = Compression::ZSTD(ZstdLevel::try_new(FAST_LEVEL)?);
    let at_fast_level = properties.clone().into_builder().set_compression(fast).build();
    let parquet = ArrowSchemaConverter::new().convert(schema)?;
    let compressors = Compressors::default();
    let mut columns = Vec::new();
    for (index, field) in schema.fields().iter().enumerate() {
        let path = [field.name().clone()];
        let Some(leaf) = parquet.columns().iter().find(|leaf| leaf.path().parts() == path) else { continue };
        let bytes_at = |properties: &WriterProperties| -> Result<Option<u64>> {
            let pages = FilePages::new(Arc::new(PagePool::new(usize::MAX)));
            let Some(mut writer) = FlatWriter::new(field.data_type(), leaf, properties, pages.column()) else {
                return Ok(None);
            };
            let chunk = compressors.with(|compressor| {
                sample.iter().try_for_each(|batch| writer.write(batch.column(index), compressor))?;
                writer.close(compressor)
            })?;
            Ok(Some(chunk.bytes()))
        };
        if let (Some(fast), Some(slow)) = (bytes_at(&at_fast_level)?, bytes_at(properties)?)
            && slow + fast / MORE_SAVING_LEAST >= fast
        {
            columns.push(leaf.path().clone());
        }
    }
    Ok(columns)
}

/// The order of the records as Parquet's footer says it, by the columns that the files hold.
fn sorting_columns(schema: &SchemaRef, sort_by: &[String]) -> Result<Option<Vec<SortingColumn>>> {
    let parquet = ArrowSchemaConverter::new().convert(schema)?;
    let leaf = |name: &String| {
        let index = parquet.columns().iter().position(|column| column.path().parts() == [name.clone()])?;
        Some(SortingColumn { column_idx: i32::try_from(index).ok()?, descending: false, nulls_first: false })
    };
    let columns: Vec<SortingColumn> = sort_by.iter().filter_map(leaf).collect();
    Ok((!columns.is_empty()).then_some(columns))
}
