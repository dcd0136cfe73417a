//! Batches in buckets in memory, and what the stage makes of them.

use std::{collections::BTreeMap, io::Write as _, sync::Arc};

use arrow::{
    array::{ArrayRef, Int32Array, RecordBatch, StringArray},
    ipc::reader::FileReader,
};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use parquet::arrow::ArrowWriter;
use stepwell_extract::extract;
use stepwell_pipeline::{
    StageError,
    batch::BatchList,
    handoff::{Extracted, Round},
    manifest::{ExtractManifest, Timing},
    progress::Unwatched,
    reject::Reject,
    request::RunRequest,
    run::Source,
    stage::{Buckets, StageContext},
    store::{self, MemoryStores, ObjectRef},
};

/// Says no format: each member has its own.
pub(crate) const SPEC: &str = r#"
pipeline: orders
source: { match: "in/**" }
schema:
  - { name: id, type: int32, required: true }
  - { name: item, type: string }
rejects: { tolerate: "90%" }
load: { target: parquet, path: lake/orders/ }
"#;

pub(crate) fn context() -> StageContext {
    StageContext::new(
        Arc::new(MemoryStores::default()),
        Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() },
        Arc::new(Unwatched),
    )
}

/// Lands an object, and pins it as a member.
pub(crate) async fn member(context: &StageContext, key: &str, bytes: impl Into<Vec<u8>>) -> Source {
    let object = ObjectRef::new("landing", key);
    store::put(&*context.stores, &object, bytes.into()).await.unwrap();
    let meta = store::head(&*context.stores, &object).await.unwrap().unwrap();
    Source {
        bucket: object.bucket,
        key: object.key,
        version: meta.version,
        etag: meta.e_tag.unwrap(),
        size: meta.size,
        modified_ms: 0,
        sequencer: None,
    }
}

/// Lists a batch, and gives the request that names nothing but the list.
pub(crate) async fn list(context: &StageContext, revision: u64, members: Vec<Source>) -> RunRequest {
    store::put(&*context.stores, &ObjectRef::new("work", "pipelines/orders.yaml"), SPEC).await.unwrap();
    let object = ObjectRef::new("work", BatchList::key("orders", "2026-11-20"));
    let list = BatchList { pipeline: "orders".into(), revision, members };
    store::put_json(&*context.stores, &object, &list).await.unwrap();
    RunRequest { bucket: object.bucket, key: object.key, ..RunRequest::default() }
}

/// Lands the members, lists them, and runs the stage to its end.
pub(crate) async fn run(members: &[(&str, Vec<u8>)]) -> (StageContext, Result<Extracted, StageError>) {
    let context = context();
    let mut pinned = Vec::new();
    for (key, bytes) in members {
        pinned.push(member(&context, key, bytes.clone()).await);
    }
    let request = list(&context, 0, pinned).await;
    let ended = to_the_end(&context, request).await.map(|(extracted, _)| extracted);
    (context, ended)
}

/// Runs the stage to its end. Gives how many rounds it took, too.
pub(crate) async fn to_the_end(
    context: &StageContext,
    mut request: RunRequest,
) -> Result<(Extracted, usize), StageError> {
    let mut rounds = 1;
    loop {
        match extract(context, request).await? {
            Round::Done(extracted) => return Ok((extracted, rounds)),
            Round::More(again) => request = again,
        }
        rounds += 1;
    }
}

pub(crate) async fn manifest(context: &StageContext, extracted: &Extracted) -> ExtractManifest {
    let object = ObjectRef::new("work", &extracted.manifest);
    store::get_json(&*context.stores, &object).await.unwrap().unwrap()
}

pub(crate) async fn text(context: &StageContext, key: &str) -> String {
    let (bytes, _) = store::get(&*context.stores, &ObjectRef::new("work", key)).await.unwrap().unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) async fn reasons(context: &StageContext, manifest: &ExtractManifest) -> Vec<Reject> {
    let reasons = text(context, &manifest.rejects.as_ref().unwrap().reasons).await;
    reasons.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The ids of the accepted records, in order.
pub(crate) async fn ids(context: &StageContext, manifest: &ExtractManifest) -> Vec<i32> {
    let mut ids = Vec::new();
    for part in &manifest.parts {
        let (bytes, _) = store::get(&*context.stores, &ObjectRef::new("work", &part.key)).await.unwrap().unwrap();
        for batch in FileReader::try_new(std::io::Cursor::new(bytes), None).unwrap() {
            let batch = batch.unwrap();
            let column = batch.column(0).as_any().downcast_ref::<Int32Array>().unwrap();
            ids.extend(column.values());
        }
    }
    ids
}

/// What is in the work bucket, but for what hangs on the time of day.
pub(crate) async fn left(context: &StageContext, extracted: &Extracted) -> BTreeMap<String, Vec<u8>> {
    let bucket = context.stores.bucket("work").unwrap();
    let listed: Vec<_> = bucket.list(None).try_collect().await.unwrap();
    let mut objects = BTreeMap::new();
    for meta in listed {
        let bytes = bucket.get(&meta.location).await.unwrap().bytes().await.unwrap();
        objects.insert(meta.location.to_string(), bytes.to_vec());
    }
    let mut manifest = manifest(context, extracted).await;
    manifest.timing = Timing::default();
    manifest.run.source.modified_ms = 0;
    objects.insert(extracted.manifest.clone(), serde_json::to_vec(&manifest).unwrap());
    // It holds when the list was written.
    objects.retain(|name, _| !name.ends_with("/batch.json"));
    objects
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

pub(crate) fn parquet(ids: &[i32]) -> Vec<u8> {
    let items: StringArray = ids.iter().map(|id| Some(format!("item {id}"))).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(ids.iter().map(|id| (*id != 0).then_some(*id)).collect::<Int32Array>())),
        ("item", Arc::new(items)),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}
