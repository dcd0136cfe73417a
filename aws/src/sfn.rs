//! Executions over Step Functions.

use async_trait::async_trait;
use aws_sdk_sfn::{Client, error::ProvideErrorMetadata};
use stepwell_pipeline::{
    ErrorKind, StageError,
    execution::{Executions, Started},
    request::RunRequest,
};

use crate::fault::stage_error;

/// Starts executions of one state machine.
#[derive(Clone, Debug)]
pub struct SfnExecutions {
    client: Client,
    state_machine_arn: String,
}

impl SfnExecutions {
    /// The executions of one state machine.
    pub fn new(client: Client, state_machine_arn: impl Into<String>) -> Self {
        Self { client, state_machine_arn: state_machine_arn.into() }
    }
}

#[async_trait]
impl Executions for SfnExecutions {
    async fn start(&self, name: &str, request: &RunRequest) -> Result<Started, StageError> {
        let input = serde_json::to_string(request).map_err(|error| {
            StageError::with_source(ErrorKind::Internal, "cannot write the execution's input", error)
        })?;
        let sent =
            self.client.start_execution().state_machine_arn(&self.state_machine_arn).name(name).input(input).send();
        match sent.await {
            // A standard state machine gives the running execution of that name and input (Step Functions API
            // Reference, `StartExecution`).
            Ok(_) => Ok(Started::Running),
            Err(error) if error.code() == Some("ExecutionAlreadyExists") => Ok(Started::AlreadyDone),
            Err(error) => Err(stage_error(
                error,
                ErrorKind::TargetUnavailable,
                format!("cannot start execution {name} of {}", self.state_machine_arn),
            )),
        }
    }
}
