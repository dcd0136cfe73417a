//! Metrics as lines of the log, which CloudWatch Logs turns into metrics (CloudWatch User Guide, "Specification: Embedded
//! metric format"): no request, no right and no time of the function is needed for them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use stepwell_pipeline::metrics::{Measured, Metrics, Subject, Unit};

use crate::serve::{CallIds, TraceHeader};

/// The namespace of the metrics.
pub const NAMESPACE: &str = "Stepwell";

/// Metrics of one call of a function, written to standard output, a line for each.
#[derive(Clone, Debug)]
pub struct EmfMetrics {
    stack: String,
    ids: CallIds,
}

impl EmfMetrics {
    /// The metrics of a call. `stack` is what all of them are told apart by from those of other deployments.
    pub fn new(stack: impl Into<String>, ids: CallIds) -> Self {
        Self { stack: stack.into(), ids }
    }
}

impl Metrics for EmfMetrics {
    fn emit(&self, measured: Measured) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        println!("{}", document(&self.stack, &self.ids, &measured, timestamp_ms));
    }
}

/// The document of what was measured. Beside the metrics it has the ids that every line of the log has; as properties
/// and not as dimensions, since each value of a dimension is a metric to be paid for.
pub fn document(stack: &str, ids: &CallIds, measured: &Measured, timestamp_ms: u64) -> Value {
    let mut members = Map::new();
    let mut property = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            members.insert(name.to_owned(), value.into());
        }
    };
    property("function", Some(&ids.function));
    property("request_id", Some(&ids.request_id));
    property("trace_id", ids.trace.as_ref().map(TraceHeader::root));
    property("execution_id", ids.execution_id.as_deref());
    property("stack", Some(stack));
    let (run_id, dimensions): (_, &[&[&str]]) = match &measured.subject {
        Subject::Deployment => (None, &[&["stack"]]),
        Subject::Pipeline(pipeline) => {
            property("pipeline", Some(pipeline));
            (None, &[&["stack", "pipeline"]])
        }
        Subject::Run { pipeline: Some(pipeline), run_id } => {
            property("pipeline", Some(pipeline));
            (run_id.as_deref(), &[&["stack"], &["stack", "pipeline"]])
        }
        Subject::Run { pipeline: None, run_id } => (run_id.as_deref(), &[&["stack"]]),
        Subject::Stage { pipeline, run_id, stage } => {
            property("pipeline", Some(pipeline));
            property("stage", Some(stage.name()));
            (Some(run_id.as_str()), &[&["stack", "pipeline", "stage"]])
        }
    };
    property("run_id", run_id.or(ids.run_id.as_deref()));
    let metrics: Vec<Value> = measured
        .values
        .iter()
        .map(|(metric, _)| json!({ "Name": metric.name(), "Unit": unit(metric.unit()) }))
        .collect();
    for (metric, value) in &measured.values {
        members.insert(metric.name().to_owned(), json!(value));
    }
    let directive = json!({ "Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": metrics });
    members.insert("_aws".to_owned(), json!({ "Timestamp": timestamp_ms, "CloudWatchMetrics": [directive] }));
    Value::Object(members)
}

/// The unit as CloudWatch names it (CloudWatch API Reference, `MetricDatum`).
fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "Count",
        Unit::Bytes => "Bytes",
        Unit::Seconds => "Seconds",
        Unit::None => "None",
    }
}

#[cfg(test)]
mod tests {
    use stepwell_pipeline::{metrics::Metric, stage::Stage};

    use super::*;

    fn ids() -> CallIds {
        CallIds {
            function: "load".into(),
            request_id: "request".into(),
            trace: TraceHeader::parse("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"),
            execution_id: Some("arn".into()),
            run_id: None,
        }
    }

    fn dimensions(subject: Subject) -> Value {
        let measured = Measured { subject, values: vec![(Metric::RunsFailed, 1.0)] };
        document("s", &ids(), &measured, 1).pointer("/_aws/CloudWatchMetrics/0/Dimensions").cloned().unwrap_or_default()
    }

    #[test]
    fn a_document_names_its_metrics_dimensions_and_ids() {
        let subject = Subject::Run { pipeline: Some("p".into()), run_id: Some("p-1".into()) };
        let values = vec![(Metric::BytesLoaded, 7.0), (Metric::RejectRatio, 0.25)];
        let expected = json!({
            "_aws": {
                "Timestamp": 1_700_000_000_000_u64,
                "CloudWatchMetrics": [{
                    "Namespace": "Stepwell",
                    "Dimensions": [["stack"], ["stack", "pipeline"]],
                    "Metrics": [{"Name": "BytesLoaded", "Unit": "Bytes"}, {"Name": "RejectRatio", "Unit": "None"}],
                }],
            },
            "stack": "s", "pipeline": "p", "BytesLoaded": 7.0, "RejectRatio": 0.25,
            "function": "load", "request_id": "request", "execution_id": "arn", "run_id": "p-1",
            "trace_id": "1-5759e988-bd862e3fe1be46a994272793",
        });
        assert_eq!(document("s", &ids(), &Measured { subject, values }, 1_700_000_000_000), expected);
    }

    #[test]
    fn what_a_metric_is_about_decides_its_dimensions() {
        let run = |pipeline: Option<&str>| Subject::Run { pipeline: pipeline.map(Into::into), run_id: None };
        assert_eq!(dimensions(Subject::Deployment), json!([["stack"]]));
        assert_eq!(dimensions(Subject::Pipeline("p".into())), json!([["stack", "pipeline"]]));
        assert_eq!(dimensions(run(None)), json!([["stack"]]));
        assert_eq!(dimensions(run(Some("p"))), json!([["stack"], ["stack", "pipeline"]]));
        let stage = Subject::Stage { pipeline: "p".into(), run_id: "r".into(), stage: Stage::Load };
        assert_eq!(dimensions(stage), json!([["stack", "pipeline", "stage"]]));
    }

    #[test]
    fn the_run_of_the_call_is_told_where_the_subject_has_none() {
        let ids = CallIds { run_id: Some("r".into()), ..ids() };
        let measured = Measured { subject: Subject::Deployment, values: vec![(Metric::NoticesFailed, 1.0)] };
        assert_eq!(document("s", &ids, &measured, 1)["run_id"], "r");
    }
}
