#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
        ListArray, RecordBatch, StringArray, StringDictionaryBuilder, StructArray, TimestampMicrosecondArray,
    },
    datatypes::{Int32Type, Int64Type},
};
use object_store::{ObjectStoreExt, PutPayload};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, GzipLevel, ZstdLevel},
    file::properties::WriterProperties,
};
use stepwell_pipeline::{
    progress::Unwatched,
    run::Source,
    stage::{Buckets, StageContext},
    store::{self, MemoryStores, Stores},
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
    let buckets = Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() };
    let context = StageContext::new(stores, buckets, Arc::new(Unwatched));
    (context, source)
}

/// The records from one on as JSON, or the error.
async fn read(bytes: Vec<u8>, first_record: u64) -> Result<Vec<String>, StageError> {
    let (context, source) = context(bytes).await;
    let file = ParquetFile::open(Object::new(&context, &source).expect("a place")).await?;
    let columns: Vec<usize> = (0..file.schema().fields().len()).collect();
    lines(file.read(&columns, first_record), first_record).await
}

async fn lines(mut blocks: TypedBlocks, first_record: u64) -> Result<Vec<String>, StageError> {
    let mut lines = Vec::new();
    while let Some(block) = blocks.next().await? {
        assert_eq!(block.first_record, first_record + lines.len() as u64);
        lines.extend((0..block.batch.num_rows()).map(|row| json(&block.batch, row)));
    }
    Ok(lines)
}

fn json(batch: &RecordBatch, row: usize) -> String {
    String::from_utf8(record_json(batch, row, &[])).expect("JSON is UTF-8")
}

fn expected(batch: &RecordBatch) -> Vec<String> {
    (0..batch.num_rows()).map(|row| json(batch, row)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_and_compression_is_read_back() {
    let batch = records(3000);
    let compressions = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ];
    for compression in compressions {
        let lines = read(file(&batch, compression, 1000), 0).await.expect("a readable file");
        assert!(lines == expected(&batch), "{compression}: {} lines, first {:?}", lines.len(), lines.first());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_resumes_at_any_record() {
    let batch = records(230);
    let bytes = file(&batch, Compression::SNAPPY, 100);
    let whole = expected(&batch);
    for first in 0..=whole.len() {
        let lines = read(bytes.clone(), first as u64).await.expect("a readable file");
        assert!(lines == whole[first..], "from record {first}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_row_groups_are_read_by_windows() {
    let text: ArrayRef = Arc::new((0..30_000_u64).map(|index| Some(noise(index))).collect::<StringArray>());
    let number: ArrayRef = Arc::new((0..30_000).collect::<Int64Array>());
    let batch = RecordBatch::try_from_iter([("text", text), ("number", number)]).expect("a batch");
    let bytes = file(&batch, Compression::UNCOMPRESSED, 1_000_000);
    assert!(bytes.len() as u64 > 2 * pages::WINDOW_BYTES.end, "{} bytes need no windows", bytes.len());
    for first in [0, 1, 29_998] {
        let lines = read(bytes.clone(), first).await.expect("a readable file");
        assert!(lines == expected(&batch)[first as usize..], "from record {first}");
    }
}

/// 320 characters that do not compress, another for every seed.
fn noise(seed: u64) -> String {
    let step = |state: &u64| Some((state ^ (state >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(1));
    std::iter::successors(Some(seed + 1), step).take(20).map(|word| format!("{word:016x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_columns_asked_for_are_read() {
    let batch = records(50);
    let (context, source) = context(file(&batch, Compression::SNAPPY, 20)).await;
    let file = ParquetFile::open(Object::new(&context, &source).expect("a place")).await.expect("a file");
    assert_eq!(file.records(), 50);
    let wanted = batch.project(&[2, 10]).expect("columns");
    assert_eq!(lines(file.read(&[2, 10], 0), 0).await.expect("readable"), expected(&wanted));
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_files_are_unreadable() {
    let bytes = file(&records(50), Compression::ZSTD(ZstdLevel::default()), 20);
    for length in (1..bytes.len()).step_by(13) {
        let error = read(bytes[..length].to_vec(), 0).await.expect_err("cut off");
        assert_eq!(error.kind(), ErrorKind::UnreadableSource, "{length}: {}", error.report());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flipped_bits_give_records_or_a_named_error() {
    let bytes = file(&records(50), Compression::SNAPPY, 20);
    for position in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[position] ^= 1 << (position % 8);
        if let Err(error) = read(flipped, 0).await {
            assert_eq!(error.kind(), ErrorKind::UnreadableSource, "byte {position}: {}", error.report());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_replaced_meanwhile_is_told() {
    let bytes = file(&records(50), Compression::SNAPPY, 20);
    let (context, source) = context(bytes).await;
    let opened = ParquetFile::open(Object::new(&context, &source).expect("a place")).await.expect("a file");
    let bucket = context.stores.bucket("landing").expect("a bucket");
    let other = file(&records(60), Compression::SNAPPY, 20);
    bucket.put(&store::path(KEY).expect("a path"), PutPayload::from(other)).await.expect("put");
    let error = lines(opened.read(&[0], 0), 0).await.expect_err("replaced");
    assert_eq!(error.kind(), ErrorKind::SourceChanged, "{}", error.report());
    let error = ParquetFile::open(Object::new(&context, &source).expect("a place")).await.expect_err("replaced");
    assert_eq!(error.kind(), ErrorKind::SourceChanged, "{}", error.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_page_is_refused_before_it_is_decompressed() {
    let zeros = "0".repeat(70 * 1024 * 1024);
    let text: ArrayRef = Arc::new(StringArray::from(vec![zeros]));
    let batch = RecordBatch::try_from_iter([("text", text)]).expect("a batch");
    let bytes = file(&batch, Compression::ZSTD(ZstdLevel::default()), 10);
    assert!(bytes.len() < 1024 * 1024);
    let error = read(bytes, 0).await.expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::UnreadableSource);
    assert!(error.to_string().contains("write it with smaller pages"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dictionary_value_in_every_record_is_in_memory_once() {
    let value = "x".repeat(1024 * 1024);
    let text: ArrayRef = Arc::new(StringArray::from(vec![value.as_str(); 100]));
    let batch = RecordBatch::try_from_iter([("text", text)]).expect("a batch");
    let (context, source) = context(file(&batch, Compression::SNAPPY, 1000)).await;
    let opened = ParquetFile::open(Object::new(&context, &source).expect("a place")).await.expect("a file");
    let mut blocks = opened.read(&[0], 0);
    let mut records = 0;
    while let Some(block) = blocks.next().await.expect("readable") {
        assert!(block.batch.num_rows() <= 4, "{} records of 1 MiB in a block", block.batch.num_rows());
        records += block.batch.num_rows();
    }
    assert_eq!(records, 100);
}

/// A schema of groups within groups, as a `FileMetaData` begins.
fn nested_footer(depth: usize) -> Vec<u8> {
    let mut footer = vec![0x15, 2, 0x19, 0xfc];
    footer.extend([(depth & 127) as u8 | 128, (depth >> 7) as u8]);
    // Field 4, the name `g`; field 5, one child.
    (0..depth).for_each(|_| footer.extend([0x48, 1, b'g', 0x15, 2, 0]));
    footer.push(0);
    footer
}

#[test]
fn hostile_footers_are_refused_before_they_are_decoded() {
    assert_eq!(footer::check(&nested_footer(20)), Ok(()));
    assert_eq!(footer::check(&nested_footer(2000)), Err("structures nest too deeply"));
    let row_groups = [0x15, 2, 0x39, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07];
    assert_eq!(footer::check(&row_groups), Err("a list is longer than the footer"));
    let skipped = [0x19, 0x19].repeat(100);
    assert!(footer::check(&skipped).is_err());
    let bytes = file(&records(50), Compression::SNAPPY, 20);
    let footer_bytes = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().expect("four")) as usize;
    let footer = &bytes[bytes.len() - 8 - footer_bytes..bytes.len() - 8];
    assert_eq!(footer::check(footer), Ok(()));
}
