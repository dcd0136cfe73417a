//! What lineage is told of an execution's end.

use std::time::SystemTime;

use stepwell_pipeline::{
    StageError,
    batch::{BatchName, PinnedBatch},
    failure::ExecutionContext,
    handoff::Loaded,
    lineage::{Lineage, Problem, RunEvent, Subject},
    manifest::{Report, TransformManifest},
    request::RunRequest,
    run::Run,
    spec::{Catalog, CheckedSpec},
    stage::{Stage, StageContext},
    store::{self, ObjectRef},
};
use tracing::warn;

/// Tells that an execution has succeeded. Where that cannot be done the log says so.
pub(crate) async fn completed(context: &StageContext, loaded: &Loaded) {
    let Some(lineage) = &context.lineage else { return };
    match completed_event(context, lineage, loaded).await {
        Ok(Some(event)) => lineage.send(&event).await,
        Ok(None) => warn!(report = loaded.report, "lineage event not sent: the report is gone"),
        Err(error) => warn!(error = error.report(), "lineage event not sent"),
    }
}

async fn completed_event(
    context: &StageContext,
    lineage: &Lineage,
    loaded: &Loaded,
) -> Result<Option<RunEvent>, StageError> {
    let in_work = |key: &str| ObjectRef::new(&context.buckets.work, key);
    let run = &loaded.run;
    let Some(report) = store::get_json::<Report>(&*context.stores, &in_work(&loaded.report)).await? else {
        return Ok(None);
    };
    let spec = CheckedSpec::pinned(context, run).await?;
    let manifest = in_work(&run.stage_key(Stage::Transform, "manifest.json"));
    let transformed: Option<TransformManifest> = store::get_json(&*context.stores, &manifest).await?;
    let batch = batch(context, run).await?;
    let subject = Subject {
        namespace: lineage.namespace(),
        execution_id: context.execution_id.as_deref().unwrap_or(&run.id),
        redrive_count: 0,
        pipeline: &run.pipeline,
        spec: Some(&spec),
        run: Some(run),
        object: None,
        members: batch.as_ref().map(|batch| &*batch.list.members),
        buckets: &context.buckets,
    };
    Ok(Some(subject.completed(&report, transformed.as_ref())))
}

/// Tells that an execution has ended without success, unless not even its pipeline is known.
pub(crate) async fn failed(
    context: &StageContext,
    execution: &ExecutionContext,
    run: Option<&Run>,
    request: Option<&RunRequest>,
    problem: Problem<'_>,
    ended: SystemTime,
) {
    let Some(lineage) = &context.lineage else { return };
    match failed_event(context, lineage, execution, (run, request), problem, ended).await {
        Ok(Some(event)) => lineage.send(&event).await,
        Ok(None) => {}
        Err(error) => warn!(error = error.report(), "lineage event not sent"),
    }
}

async fn failed_event(
    context: &StageContext,
    lineage: &Lineage,
    execution: &ExecutionContext,
    (run, request): (Option<&Run>, Option<&RunRequest>),
    problem: Problem<'_>,
    ended: SystemTime,
) -> Result<Option<RunEvent>, StageError> {
    let object = request.map(|request| ObjectRef::new(&request.bucket, &request.key));
    let spec = match run {
        Some(run) => CheckedSpec::pinned(context, run).await.ok(),
        None => picked(context, request).await,
    };
    let named = run.map(|run| &*run.pipeline).or(spec.as_ref().map(CheckedSpec::name));
    let Some(pipeline) = named.or(request.and_then(|request| request.pipeline.as_deref())) else { return Ok(None) };
    let batch = match run {
        Some(run) => batch(context, run).await?,
        None => None,
    };
    let subject = Subject {
        namespace: lineage.namespace(),
        execution_id: &execution.id,
        redrive_count: execution.redrive_count,
        pipeline,
        spec: spec.as_ref(),
        run,
        object: object.as_ref(),
        members: batch.as_ref().map(|batch| &*batch.list.members),
        buckets: &context.buckets,
    };
    Ok(Some(subject.failed(ended, problem)))
}

/// The spec that `extract` would have picked for a request, where it did not get so far as to say.
async fn picked(context: &StageContext, request: Option<&RunRequest>) -> Option<CheckedSpec> {
    let request = request?;
    let object = ObjectRef::new(&request.bucket, &request.key);
    let batch = BatchName::of(&object, &context.buckets.work);
    let pipeline = batch.map(|batch| batch.pipeline).or(request.pipeline.as_deref());
    let catalog = Catalog::read(context).await.ok()?;
    catalog.pick(&request.key, pipeline).ok().cloned()
}

/// The batch that a run reads, if it is one.
async fn batch(context: &StageContext, run: &Run) -> Result<Option<PinnedBatch>, StageError> {
    if BatchName::of(&run.source_ref(), &context.buckets.work).is_none() {
        return Ok(None);
    }
    let pinned = ObjectRef::new(&context.buckets.work, PinnedBatch::key(&run.id));
    store::get_json(&*context.stores, &pinned).await
}
