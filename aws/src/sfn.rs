//! Executions over Step Functions.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_sdk_sfn::{Client, error::ProvideErrorMetadata, types::ExecutionStatus};
use stepwell_pipeline::{
    ErrorKind, StageError,
    execution::{Described, ExecutionState, Executions, Started},
    request::RunRequest,
};

use crate::{fault::stage_error, serve::TraceHeader};

/// Starts executions of one state machine.
#[derive(Clone, Debug)]
pub struct SfnExecutions {
    client: Client,
    state_machine_arn: String,
    trace: Option<TraceHeader>,
}

impl SfnExecutions {
    /// The executions of one state machine.
    pub fn new(client: Client, state_machine_arn: impl Into<String>) -> Self {
        Self { client, state_machine_arn: state_machine_arn.into(), trace: None }
    }

    /// The same executions, started as part of a trace: that of the call that starts them.
    #[must_use]
    pub fn traced(self, trace: Option<TraceHeader>) -> Self {
        Self { trace, ..self }
    }
}

#[async_trait]
impl Executions for SfnExecutions {
    async fn start(&self, name: &str, request: &RunRequest) -> Result<Started, StageError> {
        let input = serde_json::to_string(request).map_err(|error| {
            StageError::with_source(ErrorKind::Internal, "cannot write the execution's input", error)
        })?;
        let start = self.client.start_execution().state_machine_arn(&self.state_machine_arn).name(name).input(input);
        let trace = request.trace_header.as_deref().and_then(TraceHeader::parse).or_else(|| self.trace.clone());
        match start.set_trace_header(trace.map(|trace| trace.to_string())).send().await {
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

    fn id(&self, name: &str) -> String {
        self.execution_arn(name)
    }

    async fn describe(&self, name: &str) -> Result<Option<Described>, StageError> {
        let described = match self.client.describe_execution().execution_arn(self.execution_arn(name)).send().await {
            Ok(described) => described,
            Err(error) if error.code() == Some("ExecutionDoesNotExist") => return Ok(None),
            Err(error) => {
                let message = format!("cannot describe the execution {name}");
                return Err(stage_error(error, ErrorKind::TargetUnavailable, message));
            }
        };
        let state = match described.status() {
            ExecutionStatus::Succeeded => {
                let output = described.output().unwrap_or("null");
                ExecutionState::Succeeded(serde_json::from_str(output).unwrap_or_default())
            }
            status @ (ExecutionStatus::Failed | ExecutionStatus::TimedOut | ExecutionStatus::Aborted) => {
                let ended_by = match status {
                    ExecutionStatus::TimedOut => "States.Timeout",
                    ExecutionStatus::Aborted => "Aborted",
                    _ => "Internal",
                };
                ExecutionState::Failed {
                    error: described.error().unwrap_or(ended_by).to_owned(),
                    cause: described.cause().unwrap_or_default().to_owned(),
                }
            }
            _ => ExecutionState::Running,
        };
        let millis = |moment: &aws_sdk_sfn::primitives::DateTime| {
            u64::try_from(moment.to_millis().unwrap_or_default()).unwrap_or_default()
        };
        Ok(Some(Described {
            state,
            started_ms: millis(described.start_date()),
            ended_ms: described.stop_date().map(millis),
        }))
    }
}

impl SfnExecutions {
    /// The ARN of an execution of that name (Step Functions Developer Guide, "Resource types defined by Step Functions").
    fn execution_arn(&self, name: &str) -> String {
        format!("{}:{name}", self.state_machine_arn.replacen(":stateMachine:", ":execution:", 1))
    }
}

/// An execution that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedExecution {
    /// Its name.
    pub name: String,
    /// What it was started with.
    pub input: String,
    /// When it ended.
    pub ended_at: SystemTime,
    /// The name of its error; what ended it, where it was timed out or aborted.
    pub error: String,
}

impl SfnExecutions {
    /// The executions that ended since a moment without success, the latest of each input, oldest first; without those
    /// whose input another execution has or had since then, begun later and not failed.
    ///
    /// # Errors
    /// `Throttled` or `TargetUnavailable` where a repetition may succeed, else a permanent kind.
    pub async fn failed(&self, since: SystemTime) -> Result<Vec<FailedExecution>, StageError> {
        let mut executions = Vec::new();
        for status in [
            ExecutionStatus::Running,
            ExecutionStatus::Succeeded,
            ExecutionStatus::Failed,
            ExecutionStatus::TimedOut,
            ExecutionStatus::Aborted,
        ] {
            executions.extend(self.list(&status, since).await?);
        }
        // By their start: what comes later speaks for the input.
        executions.sort_by(|one, other| (one.started_at, &one.arn).cmp(&(other.started_at, &other.arn)));
        let mut failed: Vec<FailedExecution> = Vec::new();
        for listed in executions {
            // Replays of an execution bear its name and more, so that most need not be described.
            failed.retain(|earlier| !is_replay(&listed.name, &earlier.name));
            if listed.is_failed {
                failed.push(self.describe(listed).await?);
            }
        }
        let mut latest: Vec<FailedExecution> = Vec::new();
        for execution in failed {
            latest.retain(|earlier| earlier.input != execution.input);
            latest.push(execution);
        }
        Ok(latest)
    }

    /// Starts an execution with the input of an earlier one, under a name that tells of it.
    ///
    /// # Errors
    /// As [`Executions::start`].
    pub async fn replay(&self, failed: &FailedExecution, now: SystemTime) -> Result<String, StageError> {
        let moment = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let name = replay_name(&failed.name, moment);
        let start = self.client.start_execution().state_machine_arn(&self.state_machine_arn).name(&name);
        start.input(&failed.input).send().await.map_err(|error| {
            stage_error(error, ErrorKind::TargetUnavailable, format!("cannot start execution {name}"))
        })?;
        Ok(name)
    }

    async fn list(&self, status: &ExecutionStatus, since: SystemTime) -> Result<Vec<Listed>, StageError> {
        let listing =
            self.client.list_executions().state_machine_arn(&self.state_machine_arn).status_filter(status.clone());
        let mut pages = listing.into_paginator().send();
        let mut executions = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| {
                let message = format!("cannot list the executions of {}", self.state_machine_arn);
                stage_error(error, ErrorKind::TargetUnavailable, message)
            })?;
            for execution in page.executions() {
                let started_at = time(execution.start_date());
                let ended_at = execution.stop_date().map(time);
                // The newest start comes first (Step Functions API Reference, `ListExecutions`).
                if started_at + EXECUTION_MAX < since {
                    return Ok(executions);
                }
                if ended_at.is_none_or(|ended_at| ended_at >= since) {
                    executions.push(Listed {
                        arn: execution.execution_arn().to_owned(),
                        name: execution.name().to_owned(),
                        started_at,
                        ended_at: ended_at.unwrap_or(started_at),
                        is_failed: !matches!(status, ExecutionStatus::Running | ExecutionStatus::Succeeded),
                        status: execution.status().as_str().to_owned(),
                    });
                }
            }
        }
        Ok(executions)
    }

    async fn describe(&self, listed: Listed) -> Result<FailedExecution, StageError> {
        let described = self.client.describe_execution().execution_arn(&listed.arn).send().await.map_err(|error| {
            let message = format!("cannot describe the execution {}", listed.name);
            stage_error(error, ErrorKind::TargetUnavailable, message)
        })?;
        Ok(FailedExecution {
            name: listed.name,
            input: described.input().unwrap_or("{}").to_owned(),
            ended_at: listed.ended_at,
            error: described.error().map_or(listed.status, str::to_owned),
        })
    }
}

struct Listed {
    arn: String,
    name: String,
    started_at: SystemTime,
    ended_at: SystemTime,
    is_failed: bool,
    status: String,
}

fn time(moment: &aws_sdk_sfn::primitives::DateTime) -> SystemTime {
    let millis = moment.to_millis().unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

/// How long after its start an execution may end: it can be redriven for 14 days (Step Functions Developer Guide,
/// "Restarting state machine executions with redrive"), and takes a day at most.
const EXECUTION_MAX: Duration = Duration::from_secs(15 * 24 * 60 * 60);

/// What stands between an execution's name and the moment of its replay.
const REPLAY: &str = "-replay-";
/// The most characters of an execution's name (Step Functions API Reference, `StartExecution`).
const NAME_CHARACTERS_MAX: usize = 80;

/// The name of a replay at a moment, in seconds since 1970: the name that was replayed first, and the moment.
fn replay_name(name: &str, moment: u64) -> String {
    let suffix = format!("{REPLAY}{moment}");
    let first = first_name(name);
    let kept: String = first.chars().take(NAME_CHARACTERS_MAX - suffix.len()).collect();
    format!("{kept}{suffix}")
}

fn first_name(name: &str) -> &str {
    match name.rsplit_once(REPLAY) {
        Some((first, moment)) if !moment.is_empty() && moment.bytes().all(|byte| byte.is_ascii_digit()) => first,
        _ => name,
    }
}

/// Whether an execution replays another, or replays what that replayed.
fn is_replay(name: &str, of: &str) -> bool {
    let (first, of) = (first_name(name), first_name(of));
    name != of && !first.is_empty() && first != name && of.starts_with(first) && (first == of || first.len() >= 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replays_are_known_by_their_names() {
        let again = replay_name("sales-0a", 1_700_000_000);
        assert_eq!(again, "sales-0a-replay-1700000000");
        assert_eq!(replay_name(&again, 1_700_000_001), "sales-0a-replay-1700000001");
        assert!(is_replay(&again, "sales-0a"));
        assert!(!is_replay("sales-0a", "sales-0a") && !is_replay("sales-0b-replay-1", "sales-0a"));
        let long = "p".repeat(80);
        let again = replay_name(&long, 1_700_000_000);
        assert!(again.len() == 80 && is_replay(&again, &long));
    }
}
