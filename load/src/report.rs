mod page;

use std::time::SystemTime;

use stepwell_pipeline::{
    ErrorKind, StageError,
    batch::{BatchName, PinnedBatch},
    handoff::Commit,
    manifest::{BatchSummary, CommittedFile, ExtractManifest, Report, Timing, Timings, TransformManifest},
    price::Bill,
    run::{Run, Source},
    stage::{CODE_VERSION, Stage, StageContext},
    store::{self, ObjectRef},
    usage::Requests,
};

/// The report's own requests: it is part of what it tells of.
const OWN_REQUESTS: Requests =
    Requests { requests_get: 0, requests_put: 2, requests_delete: 0, bytes_read: 0, bytes_written: 0 };

/// Members that a report names; the list has them all.
const MEMBERS_NAMED: usize = 50;

/// Writes `report.json` and `report.html` into the run's prefix. Returns the key of the first.
pub(crate) async fn write(
    context: &StageContext,
    run: &Run,
    table: &ObjectRef,
    staged: &TransformManifest,
    (commit, files): (Commit, Vec<CommittedFile>),
    started: SystemTime,
) -> Result<String, StageError> {
    let work = &context.buckets.work;
    let extract_ref = ObjectRef::new(work, run.stage_key(Stage::Extract, "manifest.json"));
    let source: ExtractManifest = store::get_json(&*context.stores, &extract_ref).await?.ok_or_else(|| {
        StageError::new(ErrorKind::InvalidInput, format!("{extract_ref} is gone; start a new execution for the object"))
    })?;
    let report = Report {
        run: run.clone(),
        batch: batch(context, run).await?,
        table: table.to_string(),
        commit,
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

/// The batch that a run loaded, if it is one.
async fn batch(context: &StageContext, run: &Run) -> Result<Option<BatchSummary>, StageError> {
    let list_ref = run.source_ref();
    let Some(name) = BatchName::of(&list_ref, &context.buckets.work) else { return Ok(None) };
    let pinned_ref = ObjectRef::new(&context.buckets.work, PinnedBatch::key(&run.id));
    let pinned: PinnedBatch = store::get_json(&*context.stores, &pinned_ref).await?.ok_or_else(|| {
        StageError::new(ErrorKind::InvalidInput, format!("{pinned_ref} is gone; start a new execution for the batch"))
    })?;
    let members = &pinned.list.members;
    let url = |member: &Source| ObjectRef::new(&member.bucket, &member.key).to_string();
    Ok(Some(BatchSummary {
        name: name.batch.to_owned(),
        revision: pinned.list.revision,
        members: members.len() as u64,
        first: members.iter().take(MEMBERS_NAMED).map(url).collect(),
        list: pinned_ref.key,
    }))
}
