//! First specs from whole objects: compressed, in archives, and of formats that declare their types.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod zip;

use std::{io::Write, sync::Arc};

use arrow::{
    array::{ArrayRef, Decimal128Array, ListArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt16Array},
    datatypes::{DataType, Field, Int32Type, Schema, TimeUnit},
};
use parquet::arrow::ArrowWriter;
use stepwell_extract::infer::infer_object;
use stepwell_pipeline::{
    StageError,
    progress::Unwatched,
    spec::CheckedSpec,
    stage::{Buckets, StageContext},
    store::{self, MemoryStores, ObjectRef},
};

async fn infer(key: &str, bytes: Vec<u8>) -> Result<String, StageError> {
    let buckets = Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() };
    let context = StageContext::new(Arc::new(MemoryStores::default()), buckets, Arc::new(Unwatched));
    let object = ObjectRef::new("landing", key);
    store::put(&*context.stores, &object, bytes).await.unwrap();
    let spec = infer_object(&context, &object).await?;
    let checked = CheckedSpec::parse("p.yaml", &spec).unwrap_or_else(|errors| panic!("{errors}\n{spec}"));
    stepwell_extract::check(&checked).unwrap_or_else(|errors| panic!("{errors}\n{spec}"));
    Ok(spec)
}

fn assert_has(spec: &str, fragments: &[&str]) {
    for fragment in fragments {
        assert!(spec.contains(fragment), "{fragment}\nis not in\n{spec}");
    }
}

fn table() -> Vec<u8> {
    b"id,name\n1,x\n2,y\n".to_vec()
}

#[tokio::test]
async fn every_compression_is_looked_into() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&table()).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    bzip2.write_all(&table()).unwrap();
    let zstd = zstd::encode_all(&table()[..], 3).unwrap();
    for (key, bytes) in [
        ("in/a.csv", table()),
        ("in/a.csv.gz", gzip.finish().unwrap()),
        ("in/a.csv.bz2", bzip2.finish().unwrap()),
        ("in/a.csv.zst", zstd),
    ] {
        let spec = infer(key, bytes).await.unwrap();
        assert_has(&spec, &["all 2 records", "match: \"a/*.csv*\"", "{ name: id, type: int8 }"]);
    }
}

#[tokio::test]
async fn of_a_large_file_a_sample_is_enough() {
    let text: String = (0..1_500_000).map(|number| format!("{number},x\n")).collect();
    let spec = infer("a.csv", format!("id,v\n{text}").into_bytes()).await.unwrap();
    // The last record of all may be cut, as far as a sample knows.
    assert_has(&spec, &["a sample of", "{ name: id, type: int32", "# 0 to 1499998"]);
}

#[tokio::test]
async fn of_an_archive_the_first_file_is_looked_into() {
    let archive = zip::zip(&[("x/orders.ndjson", br#"{"id": 1}"#), ("readme.txt", b"no")]);
    let spec = infer("in/orders.zip", archive).await.unwrap();
    assert_has(&spec, &["match: \"orders/*.zip\"", "format: ndjson", "{ name: id, type: int8 }"]);
}

#[tokio::test]
async fn parquet_declares_its_types() {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let tags = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]);
    let columns: Vec<(Field, ArrayRef)> = vec![
        (Field::new("id", DataType::UInt16, false), Arc::new(UInt16Array::from(vec![1]))),
        (Field::new("the name", DataType::Utf8, true), Arc::new(StringArray::from(vec!["x"]))),
        (
            Field::new("price", DataType::Decimal128(12, 2), true),
            Arc::new(Decimal128Array::from(vec![1]).with_precision_and_scale(12, 2).unwrap()),
        ),
        (Field::new("at", instant, true), Arc::new(TimestampMicrosecondArray::from(vec![1]).with_timezone("UTC"))),
        (Field::new("tags", tags.value_type(), true), Arc::new(arrow::array::Int32Array::from(vec![1]))),
    ];
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let spec = infer("in/sales.parquet", writer.into_inner().unwrap()).await.unwrap();
    assert_has(
        &spec,
        &[
            "format: parquet",
            "{ name: id, type: uint16, required: true }",
            "{ name: \"the name\", type: string }",
            "{ name: price, type: \"decimal(12,2)\" }",
            "{ name: at, type: timestamp, zone: UTC }",
        ],
    );
}

#[tokio::test]
async fn avro_declares_its_types() {
    const SCHEMA: &str = r#"{"type": "record", "name": "sale", "fields": [{"name": "id", "type": "long"},
        {"name": "note", "type": ["null", "string"]}, {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "tags", "type": {"type": "array", "items": "string"}}]}"#;
    let mut file = b"Obj\x01\x02\x16avro.schema".to_vec();
    let length = (SCHEMA.len() as u64) << 1;
    file.extend([length as u8 | 0x80, (length >> 7) as u8]);
    file.extend_from_slice(SCHEMA.as_bytes());
    file.push(0);
    file.extend_from_slice(b"0123456789abcdef");
    let spec = infer("in/sales.avro", file).await.unwrap();
    assert_has(
        &spec,
        &[
            "format: avro",
            "{ name: id, type: int64, required: true }",
            "{ name: note, type: string }",
            "{ name: day, type: date, required: true }",
            "type: \"list<string>\"",
            "# To partition by month",
        ],
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_told() {
    for (bytes, expected) in [
        (b"PAR1....PAR1.........".to_vec(), "does not end as a Parquet file does"),
        (b"Obj\x01".to_vec(), "is cut off"),
        (b"\x1f\x8b\x08\x00".to_vec(), "gzip"),
        (b"%PDF-1.4\n\x00\x01".to_vec(), "a PDF document"),
        (b"a,b\n".to_vec(), "no records"),
    ] {
        let error = infer("in/a", bytes).await.unwrap_err();
        assert!(error.report().contains(expected), "{}", error.report());
    }
}
