//! The stage on buckets in memory: what it accepts, what it rejects, and what it refuses.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt};
use stepwell_extract::extract;
use stepwell_pipeline::{
    ErrorKind, StageError,
    handoff::Extracted,
    manifest::ExtractManifest,
    progress::Unwatched,
    reject::{Reject, RejectCode},
    request::RunRequest,
    stage::{Buckets, StageContext},
    store::{self, MemoryStores, ObjectRef},
};

const SPEC: &str = r#"
pipeline: people
source: { match: "in/*.csv", csv: { nulls: ["", "NA"] } }
schema:
  - { name: id, type: int16, required: true }
  - { name: name, type: string }
  - { name: born, type: date }
rejects: { tolerate: "60%" }
load: { target: parquet, path: lake/people/ }
"#;

fn context() -> StageContext {
    StageContext::new(
        Arc::new(MemoryStores::default()),
        Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() },
        Arc::new(Unwatched),
    )
}

async fn land(context: &StageContext, key: &str, bytes: impl AsRef<[u8]>) -> RunRequest {
    store::put(&*context.stores, &ObjectRef::new("work", "pipelines/people.yaml"), SPEC).await.expect("the spec");
    let object = ObjectRef::new("landing", key);
    store::put(&*context.stores, &object, bytes.as_ref().to_vec()).await.expect("the object");
    RunRequest { bucket: object.bucket, key: object.key, ..RunRequest::default() }
}

async fn run(bytes: impl AsRef<[u8]>) -> (StageContext, Result<Extracted, StageError>) {
    let context = context();
    let request = land(&context, "in/people.csv", bytes).await;
    let result = extract(&context, request).await.map(|round| round.done().expect("in one round"));
    (context, result)
}

async fn manifest(context: &StageContext, extracted: &Extracted) -> ExtractManifest {
    let manifest = ObjectRef::new("work", &extracted.manifest);
    store::get_json(&*context.stores, &manifest).await.expect("reads").expect("is there")
}

async fn text(context: &StageContext, key: &str) -> String {
    let (bytes, _) =
        store::get(&*context.stores, &ObjectRef::new("work", key)).await.expect("reads").expect("is there");
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[tokio::test]
async fn columns_are_matched_by_name_and_nulls_by_spelling() {
    let (context, extracted) = run("\u{feff}born,id,name\r\n1990-05-17,1,Ada\r\nNA,2,\"O'Hara, Max\"\r\n").await;
    let extracted = extracted.expect("extracted");
    assert_eq!((extracted.records_read, extracted.records_rejected), (2, 0));
    let manifest = manifest(&context, &extracted).await;
    assert_eq!(manifest.rejects, None);
    let born = manifest.profile.iter().find(|column| column.name == "born").expect("profiled");
    assert_eq!((born.nulls, born.min.as_deref()), (1, Some("1990-05-17")));
    let path = store::path(&manifest.parts[0].key).expect("a key");
    let part = context.stores.bucket("work").unwrap().get(&path).await.unwrap().bytes().await.unwrap();
    let mut batches = arrow::ipc::reader::FileReader::try_new(std::io::Cursor::new(part), None).expect("a part");
    let batch = batches.next().expect("a batch").expect("decodes");
    // Texts of which there are few are staged as a dictionary.
    let names = arrow::array::AsArray::as_dictionary::<arrow::datatypes::UInt8Type>(
        batch.column_by_name("name").expect("there"),
    );
    let names = names.downcast_dict::<arrow::array::StringArray>().expect("of strings");
    assert_eq!(names.into_iter().flatten().collect::<Vec<_>>(), ["Ada", "O'Hara, Max"]);
}

#[tokio::test]
async fn a_last_record_without_line_end_that_two_chunks_share_is_read_once() {
    const FIRST_CHUNK_BYTES: usize = 64 * 1024;
    let mut body = String::from("id,name,born\n");
    let mut records = 1;
    while body.len() < FIRST_CHUNK_BYTES - 100 {
        body.push_str("1,Ada,1985-01-01\n");
        records += 1;
    }
    let name = "x".repeat(FIRST_CHUNK_BYTES - 5 - body.len());
    body.push_str(&format!("2,{name},1990-05-17"));
    let (context, extracted) = run(body).await;
    let extracted = extracted.expect("extracted");
    assert_eq!((extracted.records_read, extracted.records_rejected), (records, 0));
    let manifest = manifest(&context, &extracted).await;
    let born = manifest.profile.iter().find(|column| column.name == "born").expect("profiled");
    assert_eq!(born.max.as_deref(), Some("1990-05-17"));
}

#[tokio::test]
async fn every_bad_record_is_kept_with_its_reason_and_its_bytes() {
    let body: &[u8] = b"id,name,born\n1,Ada,1990-05-17\n2,short\n3,a,b,c\nx7,Bob,NA\n40000,Cy,NA\nNA,Di,NA\n4,caf\xe9,NA\n5,Ed,17.5.1990\n6,\"two\nlines\",\n7,Flo,\n8,Gus,\n9,Hal,\n10,Ivy,\n";
    let (context, extracted) = run(body).await;
    let extracted = extracted.expect("within the tolerance");
    assert_eq!((extracted.records_read, extracted.records_rejected), (13, 7));
    let manifest = manifest(&context, &extracted).await;
    assert_eq!(manifest.records_accepted, 6);
    let files = manifest.rejects.expect("rejects");
    assert!(files.records.ends_with("/rejects.csv"), "{}", files.records);
    let reasons: Vec<Reject> =
        text(&context, &files.reasons).await.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let expected = [
        (3, None, RejectCode::TooFewFields, None),
        (4, None, RejectCode::TooManyFields, None),
        (5, Some("id"), RejectCode::InvalidValue, Some("x7")),
        (6, Some("id"), RejectCode::OutOfRange, Some("40000")),
        (7, Some("id"), RejectCode::RequiredMissing, Some("NA")),
        (8, Some("name"), RejectCode::InvalidEncoding, Some("caf\u{fffd}")),
        (9, Some("born"), RejectCode::InvalidValue, Some("17.5.1990")),
    ];
    for (reject, (line, column, code, value)) in reasons.iter().zip(expected) {
        assert_eq!(
            (reject.line, reject.column.as_deref(), reject.code, reject.value.as_deref()),
            (line, column, code, value)
        );
    }
    assert_eq!(reasons.len(), expected.len());

    let (kept, _) =
        store::get(&*context.stores, &ObjectRef::new("work", &files.records)).await.expect("reads").expect("is there");
    let mut kept_lines = kept.split(|byte| *byte == b'\n');
    assert_eq!(kept_lines.next(), Some(&b"id,name,born"[..]));
    for reject in &reasons {
        let record = kept_lines.next().expect("one record for each reason");
        let offset = usize::try_from(reject.byte_offset).expect("small");
        assert_eq!(&body[offset..offset + record.len()], record);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_by_name() {
    let cases: [(&[u8], ErrorKind, &str); 11] = [
        (b"", ErrorKind::UnreadableSource, "s3://landing/in/people.csv is empty: it has 0 bytes"),
        (b"\n\n", ErrorKind::UnreadableSource, "has not even a header"),
        (b"\xff\xfei\0d\0d\0", ErrorKind::SchemaMismatch, "missing `id` (is it `idd`?)"),
        (b"\x1f\x8b\x08\0", ErrorKind::UnreadableSource, "gzip"),
        (b"id,n\xe4me,born\n", ErrorKind::UnreadableSource, "not UTF-8 in field 2"),
        (b"id,nam,born\n", ErrorKind::SchemaMismatch, "extra `nam` (is it `name`?)"),
        (b"name,born\n", ErrorKind::SchemaMismatch, "missing `id`"),
        (b"id,name,born,died\n", ErrorKind::SchemaMismatch, "extra `died`"),
        (b"id,name,born,id\n", ErrorKind::SchemaMismatch, "`id` stands twice"),
        (
            b"id,name,born\nx,,\ny,,\n",
            ErrorKind::TooManyRejects,
            "2 of 2 records rejected, more than the 60% tolerated: 2 × invalid_value in `id`, first on line 2",
        ),
        (b"1;2;3\n", ErrorKind::SchemaMismatch, "missing `id`, `name`, `born`; extra `1;2;3`"),
    ];
    for (bytes, kind, expected) in cases {
        let (_, result) = run(bytes).await;
        let error = result.expect_err(expected);
        assert_eq!(error.kind(), kind, "{}", error.report());
        assert!(error.report().contains(expected), "expected {expected}\ngot {}", error.report());
    }
}

#[tokio::test]
async fn a_record_in_the_headers_place_is_not_told_where_data_is_personal() {
    let context = context();
    let request = land(&context, "in/people.csv", "4711,Ada Lovelace,1815-12-10\n").await;
    let spec = SPEC.replace("{ name: name, type: string }", "{ name: name, type: string, pii: drop }");
    store::put(&*context.stores, &ObjectRef::new("work", "pipelines/people.yaml"), spec).await.expect("the spec");
    let error = extract(&context, request).await.expect_err("no header");
    assert_eq!(error.kind(), ErrorKind::SchemaMismatch);
    assert!(error.report().contains("extra 3, not named here"), "{}", error.report());
    assert!(!error.report().contains("Lovelace") && !error.report().contains("4711"), "{}", error.report());
}

#[tokio::test]
async fn unique_personal_data_needs_the_hash_key() {
    let context = context();
    let request = land(&context, "in/people.csv", "id,name,born\n1,Ada,\n").await;
    let spec = SPEC.replace("{ name: name, type: string }", "{ name: name, type: string, pii: drop, unique: true }");
    store::put(&*context.stores, &ObjectRef::new("work", "pipelines/people.yaml"), spec).await.expect("the spec");
    let error = extract(&context, request).await.expect_err("no key");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.report().contains("column `name` is unique and personal"), "{}", error.report());
}

#[tokio::test]
async fn a_missing_object_or_a_newer_version_is_told_apart() {
    let context = context();
    let request = land(&context, "in/people.csv", "id,name,born\n1,Ada,\n").await;
    let missing = RunRequest { key: "in/nobody.csv".into(), ..request.clone() };
    let error = extract(&context, missing).await.expect_err("missing");
    assert_eq!(error.kind(), ErrorKind::SourceMissing);
    assert!(error.report().starts_with("there is no object s3://landing/in/nobody.csv"), "{}", error.report());
    let replaced = RunRequest { etag: Some("\"of another day\"".into()), ..request };
    let error = extract(&context, replaced).await.expect_err("replaced");
    assert_eq!(error.kind(), ErrorKind::SourceChanged);
}

#[tokio::test]
async fn a_repetition_finds_the_manifest_and_rewrites_nothing() {
    let context = context();
    let request = land(&context, "in/people.csv", "id,name,born\n1,Ada,\nx,Bob,\n").await;
    let first = extract(&context, request.clone()).await.expect("extracted").done().expect("in one round");
    let written = listing(&context).await;
    assert_eq!(extract(&context, request.clone()).await.expect("found").done(), Some(first.clone()));
    assert_eq!(listing(&context).await, written);

    let mended = SPEC.replace("int16", "string");
    store::put(&*context.stores, &ObjectRef::new("work", "pipelines/people.yaml"), mended).await.expect("the spec");
    let again = extract(&context, request).await.expect("extracted anew").done().expect("in one round");
    assert_eq!(again.run.id, first.run.id);
    assert_ne!(again.manifest, first.manifest);
    assert_eq!((first.records_rejected, again.records_rejected), (1, 0));
}

async fn listing(context: &StageContext) -> Vec<(String, Option<String>)> {
    use futures::TryStreamExt;
    let prefix = store::path("runs/").expect("a prefix");
    let list = context.stores.bucket("work").expect("there").list(Some(&prefix));
    list.map_ok(|meta| (meta.location.to_string(), meta.e_tag)).try_collect().await.expect("lists")
}

#[tokio::test]
async fn a_field_of_more_than_16_mib_is_refused_with_its_place() {
    let mut body = b"id,name,born\n1,Ada,\n2,\"".to_vec();
    body.resize(body.len() + (17 << 20), b'x');
    let (_, result) = run(body).await;
    let error = result.expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::UnreadableSource);
    assert!(
        error.report().contains("the record on line 3 (byte 20 of the text) has more than 16 MiB"),
        "{}",
        error.report()
    );
}
