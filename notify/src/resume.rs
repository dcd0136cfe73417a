use serde_json::{Value, json};
use stepwell_pipeline::failure::{ExecutionContext, Failure};
use tracing::info;

use crate::NotifyError;

/// Gives the stage to resume where the execution was redriven since the stage failed, else raises the stage's error.
///
/// A redrive continues a failed execution from the state that failed and counts up `RedriveCount` (Step Functions
/// Developer Guide, "Restarting state machine executions with redrive"); that state is the one that asks here.
pub(crate) fn resume_or_raise(failure: Failure, execution: &ExecutionContext) -> Result<Value, NotifyError> {
    if execution.redrive_count > failure.execution.redrive_count {
        info!(stage = %failure.stage, redrive_count = execution.redrive_count, "stage resumed");
        let mut input = failure.input;
        // The Catch left the old error in the stage's input.
        if let Some(fields) = input.as_object_mut() {
            fields.remove("error");
        }
        return Ok(json!({ "stage": failure.stage, "input": input }));
    }
    Err(NotifyError::Original { message: failure.error.message(), name: failure.error.error })
}
