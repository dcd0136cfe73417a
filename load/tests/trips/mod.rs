//! Runs of a pipeline `trips`, as `transform` leaves them.
#![allow(dead_code, reason = "each test binary uses some of it")]

use std::sync::Arc;

use futures::TryStreamExt;
use stepwell_pipeline::{
    batch::BATCHES_PREFIX,
    handoff::Transformed,
    manifest::{DataFile, ExtractManifest, Timing, TransformManifest},
    progress::Unwatched,
    run::{Run, Source, digest},
    stage::{Buckets, Stage, StageContext},
    store::{self, MemoryStores, ObjectRef},
};

pub(crate) const SPEC: &str = "pipeline: trips\nsource: { match: \"in/*.csv\" }\nschema: [{ name: id, type: int8 }]\n\
                    load: { target: parquet, path: lake/trips/ }\n";

pub(crate) fn context() -> StageContext {
    StageContext::new(
        Arc::new(MemoryStores::default()),
        Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() },
        Arc::new(Unwatched),
    )
}

/// What `transform` would leave for one version of `in/trips.csv`: two files that hold the version's name.
pub(crate) async fn transformed(context: &StageContext, version: &str, sequencer: &str, spec: &str) -> Transformed {
    of_key(context, "in/trips.csv", version, sequencer, spec).await
}

/// The same for an object of that key.
pub(crate) async fn of_key(
    context: &StageContext,
    key: &str,
    version: &str,
    sequencer: &str,
    spec: &str,
) -> Transformed {
    let bucket = if key.starts_with(BATCHES_PREFIX) { "work" } else { "landing" };
    let source = Source {
        bucket: bucket.into(),
        key: key.into(),
        version: None,
        etag: version.into(),
        size: 10,
        modified_ms: 0,
        sequencer: Some(sequencer.into()),
    };
    of_source(context, source, spec).await
}

/// The same for a source, whose entity tag is the version's name.
pub(crate) async fn of_source(context: &StageContext, source: Source, spec: &str) -> Transformed {
    let version = source.etag.clone();
    let stores = &*context.stores;
    let run = Run::new("trips", &digest(spec.as_bytes()), source);
    store::put(stores, &ObjectRef::new("work", run.spec_key()), spec.to_owned()).await.unwrap();
    let mut files = Vec::new();
    for directory in ["year=1", "year=2"] {
        let path = format!("{directory}/{}.parquet", run.file_stem());
        let staged = run.stage_key(Stage::Transform, &path);
        store::put(stores, &ObjectRef::new("work", &staged), version.clone()).await.unwrap();
        files.push(DataFile { staged, path, records: 2, bytes: version.len() as u64 });
    }
    let bytes_out = files.iter().map(|file| file.bytes).sum();
    let manifest = TransformManifest {
        columns: Vec::new(),
        lineage: None,
        run: run.clone(),
        files,
        records_in: 5,
        records_out: 4,
        records_filtered: Some(1),
        records_duplicate: None,
        bytes_spilled: 0,
        bytes_out,
        timing: Timing::default(),
        code_version: "test".into(),
    };
    let extract = ExtractManifest {
        run: run.clone(),
        parts: Vec::new(),
        rejects: None,
        records_read: 6,
        records_accepted: 5,
        records_rejected: 1,
        bytes_read: 10,
        reasons: Vec::new(),
        profile: Vec::new(),
        timing: Timing::default(),
        code_version: "test".into(),
    };
    let manifest_key = run.stage_key(Stage::Transform, "manifest.json");
    store::put_json(stores, &ObjectRef::new("work", &manifest_key), &manifest).await.unwrap();
    let extract_key = run.stage_key(Stage::Extract, "manifest.json");
    store::put_json(stores, &ObjectRef::new("work", extract_key), &extract).await.unwrap();
    Transformed {
        run,
        manifest: manifest_key,
        records_read: 6,
        records_rejected: 1,
        records_in: 5,
        records_out: 4,
        records_filtered: Some(1),
        records_duplicate: None,
        bytes_out,
    }
}

/// The contents of the table's data files.
pub(crate) async fn table(context: &StageContext) -> Vec<String> {
    let bucket = context.stores.bucket("lake").unwrap();
    let listed: Vec<_> = bucket.list(None).try_collect().await.unwrap();
    let mut contents = Vec::new();
    for meta in listed {
        let key = meta.location.to_string();
        if !key.contains("/_stepwell/") {
            let (bytes, _) = store::get(&*context.stores, &ObjectRef::new("lake", key)).await.unwrap().unwrap();
            contents.push(String::from_utf8(bytes.to_vec()).unwrap());
        }
    }
    contents.sort();
    contents
}
