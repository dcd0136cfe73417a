//! Runs in memory: what `extract` would leave, and what `transform` makes of it.

use std::sync::Arc;

use arrow::{array::RecordBatch, ipc::writer::FileWriter};
use bytes::Bytes;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use stepwell_pipeline::{
    ErrorKind, StageError,
    handoff::{Extracted, Round, Transformed},
    manifest::{DataFile, ExtractManifest, Part, Timing, TransformManifest},
    progress::Unwatched,
    run::{Run, Source, digest},
    stage::{Buckets, Limits, Stage, StageContext},
    store::{self, MemoryStores, ObjectRef},
};
use stepwell_transform::transform;

/// A context over empty buckets, with small limits.
pub(crate) fn context() -> StageContext {
    let buckets = Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() };
    let context = StageContext::new(Arc::new(MemoryStores::default()), buckets, Arc::new(Unwatched));
    StageContext { limits: Limits { batch_records: 1024, ..Limits::default() }, ..context }
}

pub(crate) fn run_of(spec: &str) -> Run {
    let source = Source {
        bucket: "landing".into(),
        key: "in/trips.csv".into(),
        version: None,
        etag: "e".into(),
        size: 100,
        modified_ms: 0,
        sequencer: None,
    };
    Run::new("trips", &digest(spec.as_bytes()), source)
}

/// What `extract` would leave: one part for each list of batches.
pub(crate) async fn extracted(context: &StageContext, spec: &str, parts_of: &[Vec<RecordBatch>]) -> Extracted {
    let run = run_of(spec);
    let stores = &*context.stores;
    store::put(stores, &ObjectRef::new("work", run.spec_key()), spec.to_owned()).await.unwrap();
    let mut parts = Vec::new();
    for (index, batches) in parts_of.iter().enumerate() {
        let mut writer = FileWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
        for batch in batches {
            writer.write(batch).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let key = run.stage_key(Stage::Extract, &format!("part-{index}.arrow"));
        let records = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let part = Part { key, records, bytes: bytes.len() as u64 };
        store::put(stores, &ObjectRef::new("work", &part.key), bytes).await.unwrap();
        parts.push(part);
    }
    let records: u64 = parts.iter().map(|part| part.records).sum();
    let manifest = ExtractManifest {
        run: run.clone(),
        parts,
        rejects: None,
        records_read: records + 1,
        records_accepted: records,
        records_rejected: 1,
        bytes_read: 100,
        reasons: Vec::new(),
        profile: Vec::new(),
        timing: Timing::default(),
        code_version: "test".into(),
    };
    let key = run.stage_key(Stage::Extract, "manifest.json");
    store::put_json(stores, &ObjectRef::new("work", &key), &manifest).await.unwrap();
    Extracted { run, manifest: key, records_read: records + 1, records_rejected: 1, bytes_read: 100 }
}

/// Rounds until the stage is done. Returns how many there were, too.
pub(crate) async fn rounds(
    context: &StageContext,
    mut extracted: Extracted,
) -> Result<(Transformed, usize), StageError> {
    for round in 1.. {
        match transform(context, extracted).await? {
            Round::Done(transformed) => return Ok((transformed, round)),
            Round::More(again) => extracted = again,
        }
    }
    Err(StageError::new(ErrorKind::Internal, "no end"))
}

/// The whole stage, in as many rounds as it takes.
pub(crate) async fn transformed(
    context: &StageContext,
    spec: &str,
    parts: &[Vec<RecordBatch>],
) -> Result<Transformed, StageError> {
    let extracted = extracted(context, spec, parts).await;
    rounds(context, extracted).await.map(|(transformed, _)| transformed)
}

pub(crate) async fn manifest(context: &StageContext, transformed: &Transformed) -> TransformManifest {
    store::get_json(&*context.stores, &ObjectRef::new("work", &transformed.manifest)).await.unwrap().unwrap()
}

pub(crate) async fn bytes(context: &StageContext, file: &DataFile) -> Bytes {
    let (bytes, _) = store::get(&*context.stores, &ObjectRef::new("work", &file.staged)).await.unwrap().unwrap();
    assert_eq!(bytes.len() as u64, file.bytes);
    bytes
}

pub(crate) async fn delete(context: &StageContext, key: &str) {
    let work = context.stores.bucket("work").unwrap();
    work.delete(&store::path(key).unwrap()).await.unwrap();
}

/// The files of a transformed run: their directory and their records as text.
pub(crate) async fn files(context: &StageContext, transformed: &Transformed) -> Vec<(String, Vec<String>)> {
    let mut files = Vec::new();
    for file in manifest(context, transformed).await.files {
        let bytes = bytes(context, &file).await;
        let mut rows = Vec::new();
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let types = batch.schema().fields().iter().map(|field| field.data_type().to_string()).collect::<String>();
            for of_data in ["View", "Dictionary", "Decimal64"] {
                assert!(!types.contains(of_data), "{types} depends on the data");
            }
            for row in 0..batch.num_rows() {
                let values = batch
                    .columns()
                    .iter()
                    .map(|column| arrow::util::display::array_value_to_string(column, row).expect("displays"));
                rows.push(values.collect::<Vec<_>>().join(","));
            }
        }
        assert_eq!(rows.len() as u64, file.records);
        files.push((file.path.rsplit_once('/').map_or("", |(directory, _)| directory).to_owned(), rows));
    }
    files
}
