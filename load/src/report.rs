mod page;

use std::time::SystemTime;

use stepwell_pipeline::{
    ErrorKind, StageError,
    batch::{BatchName, PinnedBatch},
    manifest::{BatchSummary, ExtractManifest, Report, Timing, Timings, TransformManifest},
    price::Bill,
    run::{Run, Source},
    stage::{CODE_VERSION, Stage, StageContext},
    store::{self, ObjectRef},
    usage::Requests,
};

use crate::Brought;
/// The report's own requests: it is part of what it tells of.
const OWN_REQUESTS: Requests =
    Requests { requests_get: 0, requests_put: 2, requests_delete: 0, bytes_read: 0, bytes_written: 0 };

/// Members that a report names; the list has them all.
const MEMBERS_NAMED: usize = 50;

/// Writes `report.json` and `report.html` into the run's prefix. Returns the key of the first.
pub(crate) async fn write(
    context: &StageContext,
    run: &Run,
    batch: Option<PinnedBatch>,
    table: &ObjectRef,
    staged: &TransformManifest,
    Brought { commit, generation, files }: Brought,
    started: SystemTime,
) -> Result<String, StageError> {
    let work = &context.buckets.work;
    let extract_ref = ObjectRef::new(work, run.stage_key(Stage::Extract, "manifest.json"));
    let source: ExtractManifest = store::get_json(&*context.stores, &extract_ref).await?.ok_or_else(|| {
        StageError::new(ErrorKind::InvalidInput, format!("{extract_ref} is gone; start a new execution for the object"))
    })?;
    let report = Report {
        run: run.clone(),
        batch: batch.map(|pinned| summary(run, &pinned, work)),
        table: table.to_string(),
        commit,
        generation,
        records_read: source.records_read,
        records_rejected: source.records_rejected,
        records_in: staged.records_in,
        records_out: staged.records_out,
        records_filtered: staged.records_filtered,
        records_duplicate: staged.records_duplicate,
        records_loaded: files.iter().map(|file| file.records).sum(),
        bytes_read: source.bytes_read,
        bytes_loaded: files.iter().map(|file| file.bytes).sum(),
        files,
        rejects: source.rejects,
        reasons: source.reasons,
        profile: source.profile,
        timings: Timings {
            extract: source.timing,
            transform: staged.timing,
            load: Timing::between(started, (context.now)()),
        },
        cost: context.meter.as_ref().map(|meter| Bill::of(&meter.so_far_and(OWN_REQUESTS))),
        code_version: CODE_VERSION.to_owned(),
    };
    let key = format!("{}report.json", run.prefix());
    let page_ref = ObjectRef::new(work, format!("{}report.html", run.prefix()));
    store::put(&*context.stores, &page_ref, page::page(&report)).await?;
    store::put_json(&*context.stores, &ObjectRef::new(work, &key), &report).await?;
    Ok(key)
}

/// The batch that a run loads, if it is one.
pub(crate) async fn pinned_batch(context: &StageContext, run: &Run) -> Result<Option<PinnedBatch>, StageError> {
    let work = &context.buckets.work;
    if BatchName::of(&run.source_ref(), work).is_none() {
        return Ok(None);
    }
    let pinned_ref = ObjectRef::new(work, PinnedBatch::key(&run.id));
    let pinned: PinnedBatch = store::get_json(&*context.stores, &pinned_ref).await?.ok_or_else(|| {
        StageError::new(ErrorKind::InvalidInput, format!("{pinned_ref} is gone; start a new execution for the batch"))
    })?;
    Ok(Some(pinned))
}

fn summary(run: &Run, pinned: &PinnedBatch, work: &str) -> BatchSummary {
    let members = &pinned.list.members;
    let list_ref = run.source_ref();
    let name = BatchName::of(&list_ref, work).map(|name| name.batch.to_owned()).unwrap_or_default();
    let url = |member: &Source| ObjectRef::new(&member.bucket, &member.key).to_string();
    BatchSummary {
        name,
        revision: pinned.list.revision,
        members: members.len() as u64,
        first: members.iter().take(MEMBERS_NAMED).map(url).collect(),
        list: PinnedBatch::key(&run.id),
    }
}
