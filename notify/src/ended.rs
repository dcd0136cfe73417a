use std::time::{Duration, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Value, json};
use stepwell_pipeline::{
    failure::{CaughtError, ExecutionContext},
    handoff,
    lineage::Problem,
    notice::{Notice, Outcome},
    request::RunRequest,
    stage::{Buckets, StageContext},
    store::ObjectRef,
};

use crate::{
    advice::of_other,
    figures::{long_name, short_name, table},
    lineage,
};

/// The detail of an event that an execution's status changed (Step Functions Developer Guide, "Automating Step Functions
/// event delivery with EventBridge").
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ended {
    execution_arn: String,
    name: String,
    status: String,
    /// As text; absent where it is too large for an event.
    #[serde(default)]
    input: Option<String>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    cause: Option<String>,
    #[serde(default)]
    redrive_count: Option<u64>,
    /// Milliseconds since 1970.
    #[serde(default)]
    stop_date: Option<u64>,
}

impl Ended {
    /// Whether the execution ended without success.
    pub(crate) fn is_failure(&self) -> bool {
        ["FAILED", "TIMED_OUT", "ABORTED"].contains(&self.status.as_str())
    }

    /// The execution, as the state machine names it.
    pub(crate) fn execution(&self) -> ExecutionContext {
        ExecutionContext {
            id: self.execution_arn.clone(),
            name: self.name.clone(),
            redrive_count: self.redrive_count.unwrap_or_default(),
        }
    }

    /// Tells lineage of it.
    pub(crate) async fn tell(&self, context: &StageContext) {
        let request: Option<RunRequest> = handoff::parse(&self.parsed_input()).ok();
        let caught = self.caught();
        let is_aborted = self.status == "ABORTED";
        let problem = Problem { is_aborted, name: &caught.error, message: &caught.message() };
        // The event says when; repetitions of it say the same.
        let ended = self.stop_date.map_or_else(context.now, |ms| UNIX_EPOCH + Duration::from_millis(ms));
        lineage::failed(context, &self.execution(), None, request.as_ref(), problem, ended).await;
    }

    fn parsed_input(&self) -> Value {
        self.input.as_deref().and_then(|input| serde_json::from_str(input).ok()).unwrap_or_default()
    }

    fn caught(&self) -> CaughtError {
        let name = self.error.as_deref().unwrap_or(&self.status);
        CaughtError { error: name.to_owned(), cause: self.cause.clone().unwrap_or_default() }
    }

    /// The notice of it.
    pub(crate) fn notice(&self, buckets: &Buckets) -> Notice {
        let input = self.parsed_input();
        let request: Option<RunRequest> = handoff::parse(&input).ok();
        let object = request.as_ref().map(|request| ObjectRef::new(&request.bucket, &request.key));
        let pipeline = request.and_then(|request| request.pipeline);
        let who = pipeline.as_deref().unwrap_or("a run");
        let verb = match self.status.as_str() {
            "TIMED_OUT" => "took too long",
            "ABORTED" => "was stopped",
            _ => "failed",
        };
        let caught = self.caught();
        let name = caught.error.as_str();
        let what = object
            .as_ref()
            .map_or_else(|| "an input that names no object".to_owned(), |object| long_name(object, buckets));
        let subject = match &object {
            Some(object) => format!("{who} {verb}: {name}: {}", short_name(object, buckets)),
            None => format!("{who} {verb}: {name}"),
        };
        let advice = match self.status.as_str() {
            "ABORTED" => "somebody stopped the execution. If the object is to be loaded, press Redrive.",
            _ => of_other(name),
        };
        let message = caught.message();
        let mut text = format!("{who} {verb} on {what}.\n\n{name}: {message}\n\nWhat to do: {advice}\n\n");
        text.push_str(&table(&[("Execution", self.name.clone()), ("", self.execution_arn.clone())]));
        let detail = json!({
            "outcome": Outcome::Failed,
            "error": { "name": name, "message": message },
            "execution": self.execution(),
            "input": input,
        });
        Notice { outcome: Outcome::Failed, pipeline, subject, text, detail }
    }
}
