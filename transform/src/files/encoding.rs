use std::collections::BTreeSet;

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

use super::{flat::ZSTD_LEVEL, sample};

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
    Ok(builder.build())
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
