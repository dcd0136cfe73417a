#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray,
        RecordBatch, StringArray, StringDictionaryBuilder, StructArray, TimestampMicrosecondArray,
    },
    datatypes::{Int32Type, Int64Type},
};
use object_store::{ObjectStoreExt, PutPayload};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel, GzipLevel},
    file::properties::WriterProperties,
};
use stepwell_pipeline::{
    progress::NoProgress,
    stage::{Buckets, StageContext},
    store::{MemoryStores, Stores},
};

use super::*;
use crate::decode::typed::record_json;

const KEY: &str = "in/records.parquet";

/// Records of most types, with nulls, in an order that no accident keeps.
fn records(count: i64) -> RecordBatch {
    let number = |index: i64| (index % 7 != 3).then_some(index * 1_000_003);
    let text = |index: i64| (index % 5 != 2).then(|| format!("value {}", index * 31 % 17));
    let mut dictionary = StringDictionaryBuilder::<Int32Type>::new();
    (0..count).for_each(|index| dictionary.append_option(text(index)));
    let inner: ArrayRef = Arc::new((0..count).map(text).collect::<StringArray>());
    let lists = (0..count).map(|index| (index % 3 != 1).then(|| (0..index % 4).map(Some).collect::<Vec<_>>()));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("number", Arc::new((0..count).map(number).collect::<Int64Array>())),
        ("small", Arc::new((0..count).map(|index| i32::try_from(index).ok()).collect::<Int32Array>())),
        ("text", Arc::new((0..count).map(text).collect::<StringArray>())),
        ("dictionary", Arc::new(dictionary.finish())),
        ("bytes", Arc::new(BinaryArray::from_iter((0..count).map(text)))),
        ("flag", Arc::new((0..count).map(|index| Some(index % 2 == 0)).collect::<BooleanArray>())),
        ("day", Arc::new((0..count).map(|index| i32::try_from(index).ok()).collect::<Date32Array>())),
        ("at", Arc::new((0..count).map(number).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))),
        ("ratio", Arc::new((0..count).map(|index| Some(index as f64 / 8.0)).collect::<Float64Array>())),
        (
            "price",
            Arc::new(
                (0..count)
                    .map(|index| number(index).map(i128::from))
                    .collect::<Decimal128Array>()
                    .with_precision_and_scale(20, 2)
                    .expect("a decimal"),
            ),
        ),
        ("nested", Arc::new(StructArray::from(vec![(Arc::new(Field::new("inner", DataType::Utf8, true)), inner)]))),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .expect("a batch")
}

fn file(batch: &RecordBatch, compression: Compression, group_records: usize) -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(group_records))
        .set_data_page_row_count_limit(100)
        .set_write_batch_size(50)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).expect("a writer");
    writer.write(batch).expect("records are written");
    writer.into_inner().expect("a file")
}

async fn context(bytes: Vec<u8>) -> (StageContext, Source) {
    let stores = Arc::new(MemoryStores::default());
    let size = bytes.len() as u64;
    let bucket = stores.bucket("landing").expect("a bucket");
    let put = bucket.put(&store::path(KEY).expect("a path"), PutPayload::from(bytes)).await.expect("put");
    let source = Source {
        bucket: "landing".into(),
        key: KEY.into(),
        version: None,
        etag: put.e_tag.expect("an etag"),
        size,
        modified_ms: 0,
        sequencer: None,
    };
    let context = StageContext::new(stores, Buckets::default());
    (context, source)
}
