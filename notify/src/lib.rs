//! Outcome to people: tells of a run's success or failure, and ends a failed execution with the error of the stage
//! that failed.

mod advice;
mod ended;
mod error;
mod failure;
mod figures;
mod lineage;
mod measure;
mod resume;
mod sent;
mod success;

pub use error::NotifyError;
use serde::Deserialize;
use serde_json::{Value, json};
use stepwell_pipeline::{
    StageError,
    failure::{ExecutionContext, Failure},
    handoff::{self, Loaded},
    lineage::Problem,
    notice::{Notice, Notifier},
    run::Run,
    spec::{CheckedSpec, NotifyOn},
    stage::StageContext,
    store::{self, ObjectRef},
};
use tracing::{info, warn};

use crate::{ended::Ended, sent::Sent};

/// What the state machine asks for.
#[derive(Debug, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum Request {
    /// Tell that a run succeeded.
    NotifySuccess { loaded: Loaded },
    /// Tell that a run failed.
    NotifyFailure { failure: Failure },
    /// Tell that an execution ended without success, unless that was told: also of what no Catch can see.
    ExecutionEnded { ended: Ended },
    /// End the execution with the stage's error or, when it was redriven since, resume the stage.
    Fail { failure: Failure, execution: ExecutionContext },
}

/// Serves one request of the state machine.
///
/// `notify_success` and `notify_failure` give `{"notified": true}`, or `false` with a `reason` where the pipeline
/// wants no such notice. A failure is told once for each execution and redrive, by `notify_failure` or, where that could
/// not, by `execution_ended`; twice only where a notice went out and its answer was lost. `fail` gives `{"stage": …, "input": …}` to resume, else it raises the stage's error.
///
/// # Errors
/// `InvalidInput` for a request of another shape; what the stores and the notifier say; and for `fail` the stage's
/// error under its own name.
pub async fn handler(context: &StageContext, notifier: &dyn Notifier, input: Value) -> Result<Value, NotifyError> {
    match handoff::parse(&input)? {
        Request::NotifySuccess { loaded } => {
            lineage::completed(context, &loaded).await;
            let told = if wants(context, &loaded.run, NotifyOn::Succeeded).await? {
                publish(context, notifier, &success::notice(context, &loaded).await?).await?
            } else {
                unwanted(&loaded.run, "succeeded")
            };
            measure::succeeded(context, &loaded.run, input.get("loaded"));
            Ok(told)
        }
        Request::NotifyFailure { failure } => {
            let run = failure::run(&failure);
            let sent = Sent::of(context, &failure.execution);
            if sent.is_known().await {
                return Ok(told_before());
            }
            let request = handoff::parse(&failure.input).ok();
            let problem = Problem { is_aborted: false, name: &failure.error.error, message: &failure.error.message() };
            let now = (context.now)();
            lineage::failed(context, &failure.execution, run.as_ref(), request.as_ref(), problem, now).await;
            if let Some(run) = &run
                && !wants_failure(context, run).await
            {
                sent.remember("not wanted").await;
                measure::failed(context, Some(&run.pipeline), Some(&run.id), Some(&failure.input));
                return Ok(unwanted(run, "failed"));
            }
            let notice = failure::notice(context, &failure, run.as_ref());
            let published = publish(context, notifier, &notice).await?;
            sent.remember(&notice.subject).await;
            let run_id = run.as_ref().map(|run| run.id.as_str());
            measure::failed(context, notice.pipeline.as_deref(), run_id, Some(&failure.input));
            Ok(published)
        }
        Request::ExecutionEnded { ended } => {
            let sent = Sent::of(context, &ended.execution());
            if !ended.is_failure() || sent.is_known().await {
                return Ok(told_before());
            }
            ended.tell(context).await;
            let notice = ended.notice(&context.buckets);
            let published = publish(context, notifier, &notice).await?;
            sent.remember(&notice.subject).await;
            measure::failed(context, notice.pipeline.as_deref(), None, None);
            Ok(published)
        }
        Request::Fail { failure, execution } => resume::resume_or_raise(failure, &execution),
    }
}

fn told_before() -> Value {
    json!({ "notified": false, "reason": "it needs no notice, or was told before" })
}

async fn publish(context: &StageContext, notifier: &dyn Notifier, notice: &Notice) -> Result<Value, NotifyError> {
    notifier.publish(notice).await.inspect_err(|_| measure::unpublished(context))?;
    info!(outcome = notice.outcome.word(), subject = notice.subject, "notice published");
    Ok(json!({ "notified": true }))
}

fn unwanted(run: &Run, outcome: &str) -> Value {
    info!(outcome, pipeline = run.pipeline, "notice not wanted");
    let reason = format!("`notify.on` of pipeline `{}` does not list `{outcome}`", run.pipeline);
    json!({ "notified": false, "reason": reason })
}

/// Whether the run's pinned spec wants a notice. A run whose spec cannot be found or understood is told of: a notice
/// too many does less harm than one too few.
async fn wants(context: &StageContext, run: &Run, outcome: NotifyOn) -> Result<bool, StageError> {
    let pinned = ObjectRef::new(&context.buckets.work, run.spec_key());
    let Some((bytes, _)) = store::get(&*context.stores, &pinned).await? else {
        warn!(spec = %pinned, "pinned spec is missing");
        return Ok(true);
    };
    match CheckedSpec::parse(&pinned.key, &String::from_utf8_lossy(&bytes)) {
        Ok(spec) => Ok(spec.spec.notify.on.contains(&outcome)),
        Err(errors) => {
            warn!(spec = %pinned, error = %errors, "pinned spec cannot be read");
            Ok(true)
        }
    }
}

/// The same for a failure, which may well be that of the very store that has the spec.
async fn wants_failure(context: &StageContext, run: &Run) -> bool {
    wants(context, run, NotifyOn::Failed).await.unwrap_or_else(|error| {
        warn!(error = error.report(), "pinned spec cannot be reached");
        true
    })
}
