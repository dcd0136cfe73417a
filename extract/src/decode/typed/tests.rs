#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int64Array,
        NullArray, StringArray, StringViewArray, StructArray, Time64MicrosecondArray, TimestampMicrosecondArray,
        TimestampNanosecondArray, UInt64Array,
    },
    datatypes::{DataType, Field, Fields as ArrowFields, Schema, TimeUnit},
};
use stepwell_pipeline::{
    reject::RejectCode,
    spec::{CheckedSpec, Column, ColumnType, TimestampFormat},
};

use super::*;
use crate::column::Fields;

fn spec(unknown_columns: &str, schema: &str) -> CheckedSpec {
    let text = format!(
        "pipeline: p\nsource: {{ match: \"in/*.parquet\", format: parquet }}\nunknown_columns: {unknown_columns}\nschema:\n\
         {schema}\nload: {{ target: parquet, path: lake/p/ }}\n"
    );
    CheckedSpec::parse("p.yaml", &text).expect("a spec")
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .expect("a batch")
}

/// The cells of the only declared column.
fn cells(declared: &str, array: ArrayRef) -> Vec<Option<String>> {
    let spec = spec("reject", &format!("  - {{ name: c, {declared} }}"));
    let batch = batch(vec![("c", array)]);
    let layout = TypedLayout::new(batch.schema_ref(), &spec, "s3://in/c").expect("it fits");
    all(&layout.text(0, &batch))
}

fn all(column: &TextColumn) -> Vec<Option<String>> {
    let cell = |record| column.get(record).map(|cell| String::from_utf8_lossy(cell).into_owned());
    (0..column.len()).map(cell).collect()
}

fn mismatch(source: Schema, spec: &CheckedSpec) -> String {
    let error = TypedLayout::new(&source, spec, "s3://in/c").expect_err("a mismatch");
    assert_eq!(error.kind(), ErrorKind::SchemaMismatch);
    error.to_string()
}

fn some<const N: usize>(cells: [&str; N]) -> Vec<Option<String>> {
    cells.map(|cell| Some(cell.to_owned())).to_vec()
}

#[test]
fn values_are_written_as_text_that_loses_nothing() {
    assert_eq!(
        cells("type: uint64", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0)]))),
        [Some("18446744073709551615".into()), None, Some("0".into())]
    );
    assert_eq!(
        cells("type: int64", Arc::new(Float64Array::from(vec![3.0, 2.5, 1e300, f64::NAN, -0.0]))),
        some(["3", "2.5", "1e300", "NaN", "-0"])
    );
    assert_eq!(cells("type: float32", Arc::new(Float32Array::from(vec![0.1, 1e-30]))), some(["0.1", "1e-30"]));
    let decimals = || {
        Arc::new(Decimal128Array::from(vec![150, -5, 0, 1_000_000]).with_precision_and_scale(20, 2).expect("a decimal"))
    };
    assert_eq!(cells("type: \"decimal(9,1)\"", decimals()), some(["1.5", "-0.05", "0", "10000"]));
    assert_eq!(cells("type: string", decimals()), some(["1.50", "-0.05", "0.00", "10000.00"]));
    assert_eq!(
        cells("type: date, format: \"%d.%m.%Y\"", Arc::new(Date32Array::from(vec![0, -1, 2_932_896]))),
        some(["1970-01-01", "1969-12-31", "9999-12-31"])
    );
    assert_eq!(
        cells("type: time", Arc::new(Time64MicrosecondArray::from(vec![0, 86_399_000_001]))),
        some(["00:00:00", "23:59:59.000001"])
    );
    assert_eq!(
        cells("type: timestamp", Arc::new(TimestampMicrosecondArray::from(vec![-1, 1_500_000]))),
        some(["1969-12-31T23:59:59.999999", "1970-01-01T00:00:01.500000"])
    );
    assert_eq!(
        cells(
            "type: timestamp, zone: Europe/Berlin",
            Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("+02:00"))
        ),
        some(["1970-01-01T00:00:00+00:00"])
    );
    assert_eq!(
        cells("type: boolean, true: [ja], false: [nein]", Arc::new(BooleanArray::from(vec![true, false]))),
        some(["true", "false"])
    );
    let bytes = || Arc::new(BinaryArray::from_vec(vec![b"\xff\x00", b"", b"abcd"]));
    assert_eq!(cells("type: binary, format: hex", bytes()), some(["ff00", "", "61626364"]));
    assert_eq!(cells("type: binary", bytes()), some(["/wA=", "", "YWJjZA=="]));
    assert_eq!(cells("type: string", Arc::new(NullArray::new(2))), [None, None]);
    let views = StringViewArray::from(vec![Some("a view that is longer than twelve bytes"), None, Some("")]);
    assert_eq!(
        cells("type: string", Arc::new(views)),
        [Some("a view that is longer than twelve bytes".into()), None, Some(String::new())]
    );
}

#[test]
fn nanoseconds_are_faults_and_not_cut() {
    let spec = spec("reject", "  - { name: c, type: timestamp }");
    let batch = batch(vec![("c", Arc::new(TimestampNanosecondArray::from(vec![Some(1000), Some(1001), None])))]);
    let layout = TypedLayout::new(batch.schema_ref(), &spec, "s3://in/c").expect("it fits");
    let text = layout.text(0, &batch);
    let faults: Vec<_> = text.faults().iter().map(|fault| (fault.record, fault.code)).collect();
    assert_eq!(faults, [(1, RejectCode::OutOfRange)]);
    assert_eq!(all(&text)[1].as_deref(), Some("1970-01-01T00:00:00.000001001"));
}

fn nested() -> RecordBatch {
    let city: ArrayRef = Arc::new(StringArray::from(vec![Some("Köln"), Some("Ulm"), None]));
    let zip: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None]));
    let fields =
        ArrowFields::from(vec![Field::new("city", DataType::Utf8, true), Field::new("zip", DataType::Int64, true)]);
    let home = StructArray::new(fields, vec![city, zip], Some(vec![true, false, true].into()));
    batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("home", Arc::new(home)),
        ("note", Arc::new(StringArray::from(vec![Some("a\"b"), None, None]))),
    ])
}

#[test]
fn fields_of_structs_are_columns_and_the_rest_is_kept() {
    let batch = nested();
    let spec = spec("keep", "  - { name: town, type: string, path: home.city }\n  - { name: gone, type: int8 }");
    let layout = TypedLayout::new(batch.schema_ref(), &spec, "s3://in/c").expect("it fits");
    assert_eq!(layout.projection(), [0, 1, 2]);
    assert_eq!(all(&layout.text(0, &batch)), [Some("Köln".into()), None, None], "null within a null struct");
    assert_eq!(all(&layout.text(1, &batch)), [None, None, None]);
    let extra = layout.extra(&batch).expect("kept");
    assert_eq!(all(&extra), some([r#"{"id":1,"home.zip":1,"note":"a\"b"}"#, r#"{"id":2}"#, r#"{"id":3}"#]));
}

#[test]
fn only_the_declared_columns_are_projected_unless_the_rest_is_kept() {
    let batch = nested();
    let spec = spec("ignore", "  - { name: note, type: string }\n  - { name: home, type: string }");
    let layout = TypedLayout::new(batch.schema_ref(), &spec, "s3://in/c").expect("it fits");
    assert_eq!(layout.projection(), [1, 2]);
    let projected = batch.project(layout.projection()).expect("columns");
    assert_eq!(all(&layout.text(0, &projected))[0].as_deref(), Some("a\"b"));
    assert_eq!(all(&layout.text(1, &projected))[0].as_deref(), Some(r#"{"city":"Köln","zip":1}"#));
    assert!(layout.extra(&projected).is_none());
}

#[test]
fn what_does_not_fit_is_named() {
    let fields = |count: usize| (0..count).map(|index| Field::new(format!("x{index}"), DataType::Int64, true));
    let one = spec("reject", "  - { name: amount, type: int32, required: true }");
    let wide = mismatch(Schema::new(fields(1_000_000).collect::<Vec<_>>()), &one);
    assert!(wide.len() < 500 && wide.contains("missing `amount`") && wide.contains("and 999995 more"), "{wide}");
    let misspelt = mismatch(Schema::new(vec![Field::new("amuont", DataType::Int64, true)]), &one);
    assert!(misspelt.contains("is it `amuont`?"), "{misspelt}");
    let inner = ArrowFields::from(vec![Field::new("x", DataType::Int64, true)]);
    let structure = mismatch(Schema::new(vec![Field::new("amount", DataType::Struct(inner), true)]), &one);
    assert!(structure.contains("Struct(") && structure.contains("declared `int32`"), "{structure}");
    let twice = Schema::new(vec![Field::new("amount", DataType::Int32, true); 2]);
    assert!(mismatch(twice, &one).contains("`amount` stands twice"));
    let at = spec("reject", "  - { name: at, type: timestamp }");
    let instant =
        Schema::new(vec![Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true)]);
    assert!(mismatch(instant, &at).contains("declare `zone: UTC`"));
}

fn parsed(declared: &str, source: &DataType) -> Result<Column, StageError> {
    parser_column(&spec("reject", &format!("  - {{ name: c, {declared} }}")).columns[0], source)
}

#[test]
fn what_the_spec_writes_in_its_own_format_is_rewritten() {
    let day = parsed("type: date, format: \"%d.%m.%Y\", default: 02.01.2020", &DataType::Date32).expect("a column");
    assert_eq!(day.column_type, ColumnType::Date(ColumnType::ISO_DATE.into()));
    assert_eq!((day.default.as_deref(), day.nulls.len()), (Some("2020-01-02"), 0));
    let berlin = "type: timestamp, format: \"%d.%m.%Y %H:%M\", zone: Europe/Berlin, default: \"01.07.2020 12:00\"";
    let instants = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let at = parsed(berlin, &instants).expect("a column");
    assert_eq!(at.default.as_deref(), Some("2020-07-01T10:00:00.000000+00:00"));
    let ColumnType::Timestamp(TimestampFormat { zone: None, pattern }) = &at.column_type else {
        panic!("{:?}", at.column_type)
    };
    assert!(at.column_type.arrow_type() == parsed(berlin, &DataType::Utf8).expect("a column").column_type.arrow_type());
    assert!(pattern.ends_with("%:z"));
    let wall = parsed(berlin, &DataType::Timestamp(TimeUnit::Microsecond, None)).expect("a column");
    assert_eq!(wall.default.as_deref(), Some("2020-07-01T12:00:00.000000"));
    let flag = parsed("type: boolean, true: [ja], false: [nein], default: ja", &DataType::Boolean).expect("a column");
    assert_eq!(flag.default.as_deref(), Some("true"));
    let text = parsed("type: date, format: \"%d.%m.%Y\", default: 02.01.2020", &DataType::Utf8).expect("a column");
    assert_eq!(text.default.as_deref(), Some("02.01.2020"), "text is as declared");
}

#[test]
fn rejected_records_mask_personal_data() {
    let batch = nested();
    let masked = |paths: &[&[&str]]| {
        let paths: Vec<Vec<String>> =
            paths.iter().map(|path| path.iter().map(|step| (*step).to_owned()).collect()).collect();
        String::from_utf8(record_json(&batch, 0, &paths)).expect("UTF-8")
    };
    assert_eq!(masked(&[]), r#"{"id":1,"home":{"city":"Köln","zip":1},"note":"a\"b"}"#);
    assert_eq!(masked(&[&["home", "city"], &["id"]]), r#"{"id":"***","home":{"city":"***","zip":1},"note":"a\"b"}"#);
    let spec =
        spec("ignore", "  - { name: town, type: string, path: home.city, pii: redact }\n  - { name: id, type: int8 }");
    let layout = TypedLayout::new(batch.schema_ref(), &spec, "s3://in/c").expect("it fits");
    assert_eq!(layout.masked(), [["home", "city"]]);
    assert_eq!(masked(&[&["home"]]), r#"{"id":1,"home":"***","note":"a\"b"}"#);
    assert_eq!(masked(&[&["note", "deeper"]]), r#"{"id":1,"home":{"city":"Köln","zip":1},"note":"***"}"#);
}

#[tokio::test]
async fn a_decoder_that_panics_says_that_the_source_is_broken() {
    let mut blocks = TypedBlocks::spawn("s3://in/c", 0, |_| panic!("as Arrow does"));
    let error = blocks.next().await.expect_err("a panic");
    assert_eq!(error.kind(), ErrorKind::UnreadableSource);
    assert!(blocks.next().await.expect("the end").is_none());
}
