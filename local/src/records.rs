//! Keeps what executions did, so that they can be replayed.

use futures::TryStreamExt;
use stepwell_pipeline::{
    StageError,
    request::RunRequest,
    run::Run,
    stage::StageContext,
    store::{self, ObjectRef},
};
use stepwell_statemachine::Execution;

fn request_ref(context: &StageContext, run_id: &str) -> ObjectRef {
    ObjectRef::new(&context.buckets.work, format!("{}request.json", Run::home(run_id)))
}

fn executions_prefix(run_id: &str) -> String {
    format!("{}executions/", Run::home(run_id))
}

/// Keeps a run's request.
pub(crate) async fn keep_request(context: &StageContext, run_id: &str, request: &RunRequest) -> Result<(), StageError> {
    store::put_json(&*context.stores, &request_ref(context, run_id), request).await
}

/// A run's request.
pub(crate) async fn request(context: &StageContext, run_id: &str) -> Result<Option<RunRequest>, StageError> {
    store::get_json(&*context.stores, &request_ref(context, run_id)).await
}

/// Keeps an execution of a run.
pub(crate) async fn keep(context: &StageContext, run_id: &str, execution: &Execution) -> Result<(), StageError> {
    let key = format!("{}{}.json", executions_prefix(run_id), execution.info.name);
    store::put_json(&*context.stores, &ObjectRef::new(&context.buckets.work, key), execution).await
}

/// The latest execution of a run.
pub(crate) async fn latest(context: &StageContext, run_id: &str) -> Result<Option<Execution>, StageError> {
    let work = &context.buckets.work;
    let prefix = store::path(&executions_prefix(run_id))?;
    let listed: Vec<String> = context
        .stores
        .bucket(work)?
        .list(Some(&prefix))
        .map_ok(|meta| meta.location.to_string())
        .try_collect()
        .await
        .map_err(|error| store::classify(error, "cannot list the executions"))?;
    // Names end in the time of their start.
    let Some(key) = listed.into_iter().max_by_key(|key| key.rsplit('-').next().map(str::to_owned)) else {
        return Ok(None);
    };
    store::get_json(&*context.stores, &ObjectRef::new(work, key)).await
}

/// The ids of all runs.
pub(crate) async fn runs(context: &StageContext) -> Result<Vec<String>, StageError> {
    let listed = context
        .stores
        .bucket(&context.buckets.work)?
        .list_with_delimiter(Some(&store::path("runs/")?))
        .await
        .map_err(|error| store::classify(error, "cannot list the runs"))?;
    let name = |path: &object_store::path::Path| path.filename().map(str::to_owned);
    Ok(listed.common_prefixes.iter().filter_map(name).collect())
}
