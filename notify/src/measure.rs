use serde_json::Value;
use stepwell_pipeline::{
    metrics::{Metric, Subject},
    run::Run,
    stage::StageContext,
};

/// Where what a run used so far is in a handoff.
const COST_USD: &str = "/usage/cost_usd";

/// Counts an execution that succeeded, with what its last handoff says that it cost.
pub(crate) fn succeeded(context: &StageContext, run: &Run, handoff: Option<&Value>) {
    context.measure(Subject::run(run), with_cost(Metric::RunsSucceeded, handoff));
}

/// Counts an execution that did not, with the cost of what it did before the stage that failed.
pub(crate) fn failed(context: &StageContext, pipeline: Option<&str>, run_id: Option<&str>, handoff: Option<&Value>) {
    let subject = Subject::Run { pipeline: pipeline.map(str::to_owned), run_id: run_id.map(str::to_owned) };
    context.measure(subject, with_cost(Metric::RunsFailed, handoff));
}

/// Counts an attempt to publish that failed.
pub(crate) fn unpublished(context: &StageContext) {
    context.measure(Subject::Deployment, vec![(Metric::NoticesFailed, 1.0)]);
}

fn with_cost(count: Metric, handoff: Option<&Value>) -> Vec<(Metric, f64)> {
    let cost = handoff.and_then(|handoff| handoff.pointer(COST_USD)?.as_f64());
    let cost = cost.map(|dollars| (Metric::CostUsd, dollars));
    std::iter::once((count, 1.0)).chain(cost).collect()
}
