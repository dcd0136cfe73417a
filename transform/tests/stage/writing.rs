//! The files: their sizes, encodings, statistics and filters.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use parquet::{
    arrow::arrow_reader::ParquetRecordBatchReaderBuilder,
    basic::{Compression, Encoding},
    bloom_filter::Sbbf,
    file::{
        properties::ReaderProperties,
        reader::FileReader,
        serialized_reader::{ReadOptionsBuilder, SerializedFileReader},
    },
};
use stepwell_pipeline::ErrorKind;

use crate::{
    support::{bytes, context, manifest, transformed},
    types::{readings, readings_spec},
};

#[tokio::test]
async fn a_file_ends_at_its_target_size() {
    let context = context();
    let spec = readings_spec("SELECT id, note FROM input", "file_mib: 1");
    let transformed = transformed(&context, &spec, &readings(4, 100_000)).await.expect("transformed");
    let manifest = manifest(&context, &transformed).await;
    assert!(manifest.files.len() >= 3, "{} files", manifest.files.len());
    let mut next = 0;
    for (index, file) in manifest.files.iter().enumerate() {
        assert!(file.path.ends_with(&format!("-00000-{index:05}.parquet")), "{}", file.path);
        assert!(file.bytes < 3 << 19, "{} bytes", file.bytes);
        assert!(file.bytes > 1 << 19 || index + 1 == manifest.files.len(), "{} bytes", file.bytes);
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes(&context, file).await).unwrap().build().unwrap() {
            for id in batch.unwrap().column(0).as_primitive::<Int64Type>().values() {
                assert_eq!(*id, next, "records stay in order across files");
                next += 1;
            }
        }
    }
    assert_eq!(next, 400_000);
}

#[tokio::test]
async fn encodings_fit_the_data_and_statistics_and_filters_are_there() {
    let context = context();
    let spec = readings_spec("SELECT * FROM input", "bloom_filters: [id, note]");
    let transformed = transformed(&context, &spec, &readings(1, 20_000)).await.expect("transformed");
    let file = manifest(&context, &transformed).await.files.remove(0);
    let bytes = bytes(&context, &file).await;
    let properties = ReaderProperties::builder().set_read_bloom_filter(true).build();
    let options = ReadOptionsBuilder::new().with_reader_properties(properties).with_page_index().build();
    let reader = SerializedFileReader::new_with_options(bytes, options).unwrap();
    let group = reader.metadata().row_group(0);
    let expected = [
        ("id", Encoding::DELTA_BINARY_PACKED),
        ("kind", Encoding::RLE_DICTIONARY),
        ("value", Encoding::RLE_DICTIONARY),
        ("day", Encoding::DELTA_BINARY_PACKED),
        ("price", Encoding::DELTA_BINARY_PACKED),
        ("note", Encoding::DELTA_LENGTH_BYTE_ARRAY),
    ];
    for (column, (name, encoding)) in group.columns().iter().zip(expected) {
        assert_eq!(column.column_path().string(), name);
        assert!(
            column.encodings().any(|used| used == encoding),
            "{name}: {:?}",
            column.encodings().collect::<Vec<_>>()
        );
        assert!(matches!(column.compression(), Compression::ZSTD(_)));
        let statistics = column.statistics().expect("statistics");
        assert!(statistics.min_bytes_opt().is_some() && statistics.max_bytes_opt().is_some(), "{name}");
    }
    assert!(reader.metadata().column_index().is_some() && reader.metadata().offset_index().is_some());
    let row_group = reader.get_row_group(0).unwrap();
    let filter = |column: usize| -> &Sbbf { row_group.get_column_bloom_filter(column).expect("a bloom filter") };
    assert!((0..20_000_i64).all(|id| filter(0).check(&id)));
    let wrong = (1_000_000..1_010_000_i64).filter(|id| filter(0).check(id)).count();
    assert!(wrong < 300, "{wrong} of 10,000 absent values pass");
    assert!(filter(5).check(&"note 0 of reading 0") && row_group.get_column_bloom_filter(1).is_none());
}

#[tokio::test]
async fn many_partitions_are_written_whole_and_too_many_are_refused() {
    let context = context();
    let spec = readings_spec("SELECT id, note, price, value, id % 900 AS bucket FROM input", "partition_by: [bucket]");
    let done = transformed(&context, &spec, &readings(4, 100_000)).await.expect("transformed");
    let manifest = manifest(&context, &done).await;
    assert_eq!((manifest.files.len(), manifest.records_out), (900, 400_000), "one file for each partition");

    let spec = readings_spec("SELECT id, note, id % 1100 AS bucket FROM input", "partition_by: [bucket]");
    let error = transformed(&context, &spec, &readings(1, 5000)).await.expect_err("too many");
    assert_eq!(error.kind(), ErrorKind::TransformFailed);
    assert!(error.report().contains("more than 1000 partitions"), "{}", error.report());
}
