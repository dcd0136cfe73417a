//! The failure record: what the state machine keeps of a stage that failed.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::stage::Stage;

/// The error and cause that a Catch gives (`$.error`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaughtError {
    /// The error's name: one of our kinds or one of AWS's own names.
    #[serde(rename = "Error")]
    pub error: String,
    /// The cause: for a function's error the JSON text with `errorType` and `errorMessage`.
    #[serde(rename = "Cause", default)]
    pub cause: String,
}

impl CaughtError {
    /// The message for people: the function's `errorMessage` where the cause is a function's, else the cause itself.
    pub fn message(&self) -> String {
        let parsed: Option<Value> = serde_json::from_str(&self.cause).ok();
        let message = parsed.as_ref().and_then(|cause| cause.get("errorMessage")).and_then(Value::as_str);
        message.unwrap_or(&self.cause).to_owned()
    }
}

/// The execution, as the state machine's context object has it (`$$.Execution`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionContext {
    /// The execution's ARN.
    #[serde(rename = "Id", default)]
    pub id: String,
    /// The execution's name.
    #[serde(rename = "Name", default)]
    pub name: String,
    /// How often the execution was redriven. Engines that cannot redrive leave it out.
    #[serde(rename = "RedriveCount", default)]
    pub redrive_count: u64,
}

/// What the state machine keeps of a stage that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The stage that failed.
    pub stage: Stage,
    /// What it failed with.
    pub error: CaughtError,
    /// What it was given: a run request for `Extract`, the handoff of the stage before for the others.
    pub input: Value,
    /// The execution when the stage failed.
    pub execution: ExecutionContext,
}
