use std::collections::BTreeMap;

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::SchemaRef,
};
use parquet::{
    arrow::ArrowSchemaConverter,
    basic::{Compression, ZstdLevel},
    errors::Result,
    file::properties::{WriterProperties, WriterPropertiesBuilder},
    file::metadata::SortingColumn,
    schema::types::ColumnPath,
};
use stepwell_pipeline::stage::CODE_VERSION;

use super::sample;

const ZSTD_LEVEL: i32 = 3;
/// The records of a page in tables with partitions, whose files are many and are all open at once.
const PARTITIONED_PAGE_RECORDS: usize = 4096;
/// Bloom filters are made for so many different values at most; smaller ones are folded.
const BLOOM_VALUES_MAX: u64 = 1024 * 1024;
const PARTITIONED_BLOOM_VALUES_MAX: u64 = 64 * 1024;
/// The share of absent values that a bloom filter takes for present.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// What the spec says of how files are to be written.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    pub(super) sort_by: Vec<String>,
    /// The columns with bloom filters, and how many different values they have, about, where that is known.
    pub(super) bloom_filters: BTreeMap<String, Option<u64>>,
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
    if wishes.is_partitioned {
        builder = builder.set_data_page_row_count_limit(PARTITIONED_PAGE_RECORDS);
    }
    for (index, field) in schema.fields().iter().enumerate() {
        let path = ColumnPath::from(field.name().as_str());
        let arrays: Vec<ArrayRef> = sample.iter().map(|batch| batch.column(index).clone()).collect();
        if let Some(encoding) = sample::encoding(field.data_type(), &arrays) {
            builder = builder.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path.clone(), encoding);
        }
        if let Some(distinct) = wishes.bloom_filters.get(field.name()) {
            builder = with_bloom_filter(builder, path, *distinct, wishes.is_partitioned);
        }
    }
    Ok(builder.build())
}

fn with_bloom_filter(
    builder: WriterPropertiesBuilder,
    path: ColumnPath,
    distinct: Option<u64>,
    is_partitioned: bool,
) -> WriterPropertiesBuilder {
    let most = if is_partitioned { PARTITIONED_BLOOM_VALUES_MAX } else { BLOOM_VALUES_MAX };
    // The estimate is a few percent off.
    let values = distinct.map_or(most, |distinct| (distinct + distinct / 8).clamp(1, most));
    builder
        .set_column_bloom_filter_enabled(path.clone(), true)
        .set_column_bloom_filter_fpp(path.clone(), BLOOM_FALSE_POSITIVES)
        .set_column_bloom_filter_max_ndv(path, values)
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
