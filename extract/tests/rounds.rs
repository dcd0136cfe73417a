//! A source that takes several rounds gives, byte for byte, what it gives in one: at every place where a round can end.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod zip;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int32Array, RecordBatch, StringArray};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use stepwell_extract::extract;
use stepwell_pipeline::{
    handoff::{Extracted, Round},
    manifest::{ExtractManifest, Timing},
    progress::Unwatched,
    request::RunRequest,
    stage::{Buckets, Budget, HashKey, Limits, StageContext},
    store::{self, MemoryStores, ObjectRef},
};

const COLUMNS: &str = r#"
schema:
  - { name: id, type: int32, required: true, unique: true }
  - { name: name, type: string, pii: hash }
  - { name: price, type: "decimal(8,2)", check: "price < 900" }
  - { name: day, type: date }
unknown_columns: keep
rejects: { tolerate: "90%" }
load: { target: parquet, path: lake/sales/ }
"#;

/// Is spent at the asked-for question, counted from 1 over all rounds, or at every one.
#[derive(Debug, Default)]
struct SpentAt {
    question: Option<usize>,
    always: bool,
    asked: AtomicUsize,
}

impl Budget for SpentAt {
    fn is_spent(&self) -> bool {
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        self.always || self.question == Some(number)
    }
}

struct Source {
    key: &'static str,
    spec: String,
    bytes: Vec<u8>,
}

fn source(key: &'static str, format: &str, bytes: Vec<u8>) -> Source {
    Source { key, spec: format!("pipeline: sales\nsource: {{ match: \"in/*\", {format} }}{COLUMNS}"), bytes }
}

/// What is in the work bucket after a run, the manifest without its timing, and how often the budget was asked.
async fn run(source: &Source, budget: SpentAt) -> (BTreeMap<String, Vec<u8>>, usize, usize) {
    let buckets = Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() };
    let budget = Arc::new(budget);
    let context = StageContext {
        budget: budget.clone(),
        limits: Limits { part_bytes: 6000, batch_records: 16, ..Limits::default() },
        hash_key: Some(HashKey::new(b"secret")),
        ..StageContext::new(Arc::new(MemoryStores::default()), buckets, Arc::new(Unwatched))
    };
    let stores = &*context.stores;
    store::put(stores, &ObjectRef::new("work", "pipelines/sales.yaml"), source.spec.clone()).await.unwrap();
    store::put(stores, &ObjectRef::new("landing", source.key), source.bytes.clone()).await.unwrap();
    let mut request = RunRequest { bucket: "landing".into(), key: source.key.into(), ..RunRequest::default() };
    let mut rounds = 1;
    let extracted: Extracted = loop {
        match extract(&context, request).await.unwrap_or_else(|error| panic!("{}: {}", source.key, error.report())) {
            Round::Done(extracted) => break extracted,
            Round::More(again) => request = again,
        }
        rounds += 1;
    };
    let bucket = context.stores.bucket("work").unwrap();
    let listed: Vec<_> = bucket.list(None).try_collect().await.unwrap();
    let mut objects = BTreeMap::new();
    for meta in listed {
        let bytes = bucket.get(&meta.location).await.unwrap().bytes().await.unwrap();
        objects.insert(meta.location.to_string(), bytes.to_vec());
    }
    let mut manifest: ExtractManifest = serde_json::from_slice(&objects[&extracted.manifest]).unwrap();
    manifest.timing = Timing::default();
    // The object in memory is as old as the test.
    manifest.run.source.modified_ms = 0;
    objects.insert(extracted.manifest, serde_json::to_vec(&manifest).unwrap());
    (objects, budget.asked.load(Ordering::Relaxed), rounds)
}

/// Compares one round with a cut at every question, and with a cut at each.
async fn any_cut_gives_the_same(source: Source) {
    let (whole, questions, rounds) = run(&source, SpentAt::default()).await;
    assert_eq!(rounds, 1);
    assert!(questions >= 3, "{}: only {questions} places to end a round", source.key);
    for question in 1..=questions {
        let (cut, _, rounds) = run(&source, SpentAt { question: Some(question), ..SpentAt::default() }).await;
        assert_eq!(rounds, 2, "{} at {question}", source.key);
        same(&source, question, &cut, &whole);
    }
    let (cut, _, rounds) = run(&source, SpentAt { always: true, ..SpentAt::default() }).await;
    assert_eq!(rounds, questions + 1, "{}", source.key);
    same(&source, 0, &cut, &whole);
}

fn same(source: &Source, question: usize, cut: &BTreeMap<String, Vec<u8>>, whole: &BTreeMap<String, Vec<u8>>) {
    let names = |objects: &BTreeMap<String, Vec<u8>>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(cut), names(whole), "{} at {question}", source.key);
    for (name, bytes) in whole {
        let as_text = String::from_utf8_lossy;
        assert!(
            cut[name] == *bytes,
            "{} at {question}: {name} differs\n{}\n{}",
            source.key,
            as_text(&cut[name]).chars().take(2000).collect::<String>(),
            as_text(bytes).chars().take(2000).collect::<String>()
        );
    }
}

/// Records of which some are bad in each way that there is.
fn csv() -> String {
    let mut text = String::from("id,name,price,day,note\n");
    for number in 0..1200_u32 {
        let id = if number % 97 == 3 { 0 } else { number };
        let name = if number % 5 == 0 { format!("\"O'Hara, \"\"{number}\"\"\nJr\"") } else { format!("née {number}") };
        let price = if number % 41 == 7 { "dear".to_owned() } else { format!("{}.{:02}", number % 1000, number % 100) };
        let day = format!("2024-{:02}-{:02}", number % 12 + 1, number % 28 + 1);
        let note = if number % 3 == 0 { "" } else { ",more" };
        let extra = if number % 11 == 0 { note } else { "" };
        writeln!(text, "{id},{name},{price},{day},x{extra}").unwrap();
    }
    text
}

fn ndjson() -> String {
    let mut text = String::new();
    for number in 0..1200_u32 {
        if number % 61 == 5 {
            text.push_str("{\"id\": 1,\n");
            continue;
        }
        let price =
            if number % 41 == 7 { "\"dear\"".to_owned() } else { format!("{}.{:02}", number % 1000, number % 100) };
        let extra = if number % 2 == 0 { ", \"vip\": true" } else { "" };
        writeln!(
            text,
            "{{\"id\": {}, \"name\": \"n\\u00e9e {number}\", \"price\": {price}, \"day\": \"2024-01-{:02}\"{extra}}}",
            if number % 97 == 3 { 0 } else { number },
            number % 28 + 1
        )
        .unwrap();
    }
    text
}

fn json() -> String {
    let records: Vec<String> = ndjson().lines().filter(|line| line.ends_with('}')).map(str::to_owned).collect();
    format!("{{\"page\": 1, \"data\": {{\"items\": [\n{}\n]}}, \"next\": null}}", records.join(",\n"))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    // Two members: what is behind the first belongs to the file, too.
    let (first, second) = bytes.split_at(bytes.len() / 3);
    let mut zipped = Vec::new();
    for member in [first, second] {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(member).unwrap();
        zipped.extend(encoder.finish().unwrap());
    }
    zipped
}

fn parquet() -> Vec<u8> {
    let numbers = || 0..1200_i32;
    let price = |number: i32| (number % 41 != 7).then_some(i128::from(number % 1000 * 100 + number % 100));
    let prices: Decimal128Array = numbers().map(price).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(numbers().map(|number| if number % 97 == 3 { 0 } else { number }).collect::<Int32Array>())),
        ("name", Arc::new(numbers().map(|number| Some(format!("née {number}"))).collect::<StringArray>())),
        ("price", Arc::new(prices.with_precision_and_scale(8, 2).unwrap())),
        ("day", Arc::new(numbers().map(|number| Some(19_000 + number)).collect::<Date32Array>())),
        ("note", Arc::new(numbers().map(|number| (number % 3 > 0).then_some("x")).collect::<StringArray>())),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(500)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// A number as Avro writes it: zigzag, seven bits a byte.
fn avro_long(number: i64, out: &mut Vec<u8>) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest > 0x7f {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn avro_text(text: &str, out: &mut Vec<u8>) {
    avro_long(text.len() as i64, out);
    out.extend_from_slice(text.as_bytes());
}

/// An object container file of several blocks.
fn avro() -> Vec<u8> {
    const SYNC: &[u8; 16] = b"0123456789abcdef";
    const SCHEMA: &str = r#"{"type": "record", "name": "sale", "fields": [{"name": "id", "type": "int"},
        {"name": "name", "type": "string"}, {"name": "price", "type": "string"},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}}, {"name": "note", "type": ["null", "string"]}]}"#;
    let mut file = b"Obj\x01".to_vec();
    avro_long(1, &mut file);
    avro_text("avro.schema", &mut file);
    avro_text(SCHEMA, &mut file);
    avro_long(0, &mut file);
    file.extend_from_slice(SYNC);
    for first in (0..1200).step_by(250) {
        let numbers = first..1200.min(first + 250);
        let mut block = Vec::new();
        for number in numbers.clone() {
            avro_long(if number % 97 == 3 { 0 } else { number }, &mut block);
            avro_text(&format!("née {number}"), &mut block);
            avro_text(&if number % 41 == 7 { "dear".to_owned() } else { format!("{}.5", number % 1000) }, &mut block);
            avro_long(19_000 + number, &mut block);
            avro_long(number % 2, &mut block);
            if number % 2 == 1 {
                avro_text("x", &mut block);
            }
        }
        avro_long(numbers.end - numbers.start, &mut file);
        avro_long(block.len() as i64, &mut file);
        file.extend(block);
        file.extend_from_slice(SYNC);
    }
    file
}

#[tokio::test]
async fn of_zip() {
    let (one, two) = (csv(), ndjson());
    let archive = zip::zip(&[("one.csv", one.as_bytes()), ("two/two.csv", &one.as_bytes()[..20_000])]);
    any_cut_gives_the_same(source("in/a.zip", "format: csv", archive)).await;
    let archive = zip::zip(&[("one.ndjson", two.as_bytes()), ("two.ndjson", two.as_bytes())]);
    any_cut_gives_the_same(source("in/b.zip", "format: ndjson", archive)).await;
}

#[tokio::test]
async fn of_zstd_and_bzip2() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.write_all(csv().as_bytes()).unwrap();
    any_cut_gives_the_same(source("in/a.csv.zst", "format: csv", encoder.finish().unwrap())).await;
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(csv().as_bytes()).unwrap();
    any_cut_gives_the_same(source("in/a.csv.bz2", "format: csv", encoder.finish().unwrap())).await;
}

#[tokio::test]
async fn of_parquet() {
    any_cut_gives_the_same(source("in/a.parquet", "format: parquet", parquet())).await;
}

#[tokio::test]
async fn of_avro() {
    any_cut_gives_the_same(source("in/a.avro", "format: avro", avro())).await;
}

#[tokio::test]
async fn of_csv() {
    any_cut_gives_the_same(source("in/a.csv", "format: csv", csv().into_bytes())).await;
}

#[tokio::test]
async fn of_gzip() {
    any_cut_gives_the_same(source("in/a.csv.gz", "format: csv", gzip(csv().as_bytes()))).await;
}

#[tokio::test]
async fn of_another_encoding() {
    let latin: Vec<u8> = csv().chars().map(|letter| letter as u8).collect();
    any_cut_gives_the_same(source("in/a.csv", "format: csv, encoding: windows-1252", latin)).await;
    let wide: Vec<u8> = "\u{feff}".encode_utf16().chain(csv().encode_utf16()).flat_map(u16::to_le_bytes).collect();
    any_cut_gives_the_same(source("in/b.csv", "format: csv", wide)).await;
}

#[tokio::test]
async fn of_json_lines() {
    any_cut_gives_the_same(source("in/a.ndjson", "format: ndjson", ndjson().into_bytes())).await;
}

#[tokio::test]
async fn of_a_json_document() {
    any_cut_gives_the_same(source("in/a.json", "format: json, json: { records: data.items }", json().into_bytes()))
        .await;
}

#[tokio::test]
async fn of_rejects_alone() {
    let mut text = String::from("id,name,price,day,note\n");
    for number in 0..100_000_u32 {
        writeln!(text, "no number {number},a name,1.00,2024-01-01,x").unwrap();
    }
    let source = source("in/a.csv", "format: csv", text.into_bytes());
    any_cut_gives_the_same(Source { spec: source.spec.replace("90%", "100%"), ..source }).await;
}

#[tokio::test]
async fn of_unique_personal_data() {
    let source = source("in/a.csv", "format: csv", csv().into_bytes());
    any_cut_gives_the_same(Source { spec: source.spec.replace("unique: true", "unique: true, pii: drop"), ..source })
        .await;
}

/// Found by fuzzing: JSON values in between hold no number beyond 64 bits.
#[tokio::test]
async fn of_wide_decimals() {
    let mut text = String::from("id,name,price,day\n");
    for number in 0..1200_u32 {
        writeln!(text, "{number},a name,1234567890123456789012345678.{:010},2024-01-01", number).unwrap();
    }
    let source = source("in/a.csv", "format: csv", text.into_bytes());
    let spec = source.spec.replace("decimal(8,2)", "decimal(38,10)").replace(", check: \"price < 900\"", "");
    any_cut_gives_the_same(Source { spec, ..source }).await;
}
