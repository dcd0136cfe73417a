//! The stage `extract` on buckets in memory, for the fuzz targets.

use std::{
    collections::BTreeMap,
    panic,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use stepwell_extract::{extract, fuzzing::set_piece_bytes};
use stepwell_pipeline::{
    ErrorKind, StageError,
    handoff::Round,
    manifest::{ExtractManifest, Timing},
    progress::Unwatched,
    request::RunRequest,
    stage::{Buckets, Budget, HashKey, Limits, StageContext},
    store::{self, MemoryStores, ObjectRef},
};
use tokio::runtime::{Builder, Runtime};

/// How many rounds the second reading of an object takes, about: more would read a compressed one too often.
const ROUNDS: usize = 4;

/// The pieces in which the second reading takes an object.
const PIECE_BYTES: usize = 53;

/// Runs the stage on an object, in one round, and in several and small pieces, and checks that both end alike: with the same objects,
/// where every record is accepted or rejected with a reason, or with the same error, which is one for the source.
///
/// # Panics
/// If they do not.
pub fn check_extract(key: &str, spec: &str, object: &[u8]) {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    set_piece_bytes(usize::MAX);
    let (whole, questions) = run(&runtime, key, spec, object, usize::MAX);
    set_piece_bytes(PIECE_BYTES);
    let (cut, _) = run(&runtime, key, spec, object, (questions / ROUNDS).max(1));
    match (whole, cut) {
        (Ok(whole), Ok(cut)) => assert_same(&whole, &cut),
        (Err(whole), Err(cut)) => {
            let kind = whole.kind();
            let is_of_source =
                matches!(kind, ErrorKind::UnreadableSource | ErrorKind::SchemaMismatch | ErrorKind::TooManyRejects);
            assert!(is_of_source, "{kind:?}: {}", whole.report());
            // Of several faults, which is met first is a matter of how much is looked at in one go.
            assert_eq!(kind, cut.kind(), "another error in several rounds: {} / {}", whole.report(), cut.report());
            assert!(whole.report().len() < 4096, "a message of {} bytes", whole.report().len());
        }
        (Ok(_), Err(error)) => panic!("fails in several rounds only: {}", error.report()),
        (Err(error), Ok(_)) => panic!("fails in one round only: {}", error.report()),
    }
}

/// What a run left in the work bucket, beside its manifest.
struct Left {
    manifest: ExtractManifest,
    objects: BTreeMap<String, Vec<u8>>,
}

fn assert_same(whole: &Left, cut: &Left) {
    let ExtractManifest { records_read, records_accepted, records_rejected, rejects, parts, .. } = &whole.manifest;
    assert_eq!(*records_read, records_accepted + records_rejected);
    assert_eq!(*records_accepted, parts.iter().map(|part| part.records).sum::<u64>());
    let reasons = rejects.as_ref().map_or(0, |files| lines(&whole.objects[&files.reasons]));
    assert_eq!(reasons, *records_rejected, "reasons and rejects");
    assert_eq!(whole.manifest, cut.manifest, "another manifest in several rounds");
    let keys = |left: &Left| left.objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(whole), keys(cut), "other objects in several rounds");
    for (key, bytes) in &whole.objects {
        assert!(cut.objects[key] == *bytes, "{key} differs in several rounds");
    }
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// A round ends at every so manieth place where it can.
#[derive(Debug)]
struct SpentEvery {
    questions: usize,
    asked: AtomicUsize,
}

impl Budget for SpentEvery {
    fn is_spent(&self) -> bool {
        (self.asked.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(self.questions)
    }
}

/// Runs the stage to its end. Returns what it left, and at how many places a round could have ended.
fn run(runtime: &Runtime, key: &str, spec: &str, object: &[u8], questions: usize) -> (Result<Left, StageError>, usize) {
    let buckets = Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() };
    let budget = Arc::new(SpentEvery { questions, asked: AtomicUsize::new(0) });
    let context = StageContext {
        budget: budget.clone(),
        limits: Limits { part_bytes: 1, batch_records: if object.len() < 512 { 3 } else { 32 }, ..Limits::default() },
        hash_key: Some(HashKey::new(b"a key")),
        ..StageContext::new(Arc::new(MemoryStores::default()), buckets, Arc::new(Unwatched))
    };
    let result = runtime.block_on(read(&context, key, spec, object));
    (result, budget.asked.load(Ordering::Relaxed))
}

async fn read(context: &StageContext, key: &str, spec: &str, object: &[u8]) -> Result<Left, StageError> {
    let stores = &*context.stores;
    store::put(stores, &ObjectRef::new("work", "pipelines/fuzz.yaml"), spec.to_owned()).await?;
    store::put(stores, &ObjectRef::new("landing", key), object.to_vec()).await?;
    let mut request = RunRequest { bucket: "landing".into(), key: key.into(), ..RunRequest::default() };
    let extracted = loop {
        match extract(context, request).await? {
            Round::Done(extracted) => break extracted,
            Round::More(again) => request = again,
        }
    };
    let manifest_ref = ObjectRef::new("work", &extracted.manifest);
    let mut manifest: ExtractManifest = store::get_json(stores, &manifest_ref).await?.expect("a manifest");
    // These depend on when it ran.
    manifest.timing = Timing::default();
    manifest.run.source.modified_ms = 0;
    let bucket = stores.bucket("work")?;
    let listed: Vec<_> = bucket.list(None).try_collect().await.expect("lists");
    let mut objects = BTreeMap::new();
    for meta in listed.iter().filter(|meta| meta.location.as_ref() != extracted.manifest) {
        let bytes = bucket.get(&meta.location).await.expect("is there").bytes().await.expect("reads");
        objects.insert(meta.location.to_string(), bytes.to_vec());
    }
    Ok(Left { manifest, objects })
}

/// Lets others' code panic: the stage takes that for a broken source where it says so. Anywhere else libFuzzer ends
/// with the panic that goes through.
pub fn allow_panics_of_dependencies() {
    let abort = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let is_own = panic.location().is_none_or(|place| {
            let mut folders = Path::new(place.file()).iter();
            !folders.any(|folder| folder == "registry" || folder == "rustc" || folder == "library")
        });
        if is_own {
            abort(panic);
        }
    }));
}
