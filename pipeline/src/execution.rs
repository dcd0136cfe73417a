//! The port through which executions of the state machine are started.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use serde_json::Value;

use crate::{StageError, request::RunRequest};

/// What became of a request to start an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It runs, started now or by an earlier delivery of the same event.
    Running,
    /// An execution of that name has ended already: the event was handled before.
    AlreadyDone,
}

/// How an execution stands.
#[derive(Clone, Debug, PartialEq)]
pub enum ExecutionState {
    /// It has not ended.
    Running,
    /// It ended as it should, with an output.
    Succeeded(Value),
    /// It failed, was timed out or was aborted.
    Failed {
        /// The name of its error, or of what ended it: `States.Timeout`, `Aborted`.
        error: String,
        /// What the error said.
        cause: String,
    },
}

/// An execution that was looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// How it stands.
    pub state: ExecutionState,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// When it ended, in milliseconds since 1970.
    pub ended_ms: Option<u64>,
}

/// Starts executions and looks at them.
#[async_trait]
pub trait Executions: Debug + Send + Sync {
    /// Starts the execution of that name, unless it was started before.
    ///
    /// # Errors
    /// `Throttled` or `TargetUnavailable` where a repetition may succeed, else a permanent kind.
    async fn start(&self, name: &str, request: &RunRequest) -> Result<Started, StageError>;

    /// The id of the execution of that name, as its stages are told it: on AWS its ARN.
    fn id(&self, name: &str) -> String {
        name.to_owned()
    }

    /// Looks at the execution of that name; nothing stands for one that was never started, or that ended more than
    /// 90 days ago. What it tells may be seconds old (Step Functions API Reference, `DescribeExecution`).
    ///
    /// # Errors
    /// `Throttled` or `TargetUnavailable` where a repetition may succeed, else a permanent kind.
    async fn describe(&self, name: &str) -> Result<Option<Described>, StageError>;
}

/// Executions in memory, which run until they are told how they end; for tests.
#[derive(Debug, Default)]
pub struct MemoryExecutions {
    executions: Mutex<BTreeMap<String, (RunRequest, ExecutionState)>>,
}

impl MemoryExecutions {
    /// What was started, by name.
    pub fn started(&self) -> BTreeMap<String, RunRequest> {
        let executions = self.executions.lock().unwrap_or_else(PoisonError::into_inner);
        executions.iter().map(|(name, (request, _))| (name.clone(), request.clone())).collect()
    }

    /// The names of those that have not ended.
    pub fn running(&self) -> Vec<String> {
        let executions = self.executions.lock().unwrap_or_else(PoisonError::into_inner);
        let running = executions.iter().filter(|(_, (_, state))| *state == ExecutionState::Running);
        running.map(|(name, _)| name.clone()).collect()
    }

    /// Ends an execution.
    pub fn end(&self, name: &str, state: ExecutionState) {
        let mut executions = self.executions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(execution) = executions.get_mut(name) {
            execution.1 = state;
        }
    }
}

#[async_trait]
impl Executions for MemoryExecutions {
    async fn start(&self, name: &str, request: &RunRequest) -> Result<Started, StageError> {
        let mut executions = self.executions.lock().unwrap_or_else(PoisonError::into_inner);
        let execution = executions.entry(name.to_owned()).or_insert_with(|| (request.clone(), ExecutionState::Running));
        Ok(if execution.1 == ExecutionState::Running { Started::Running } else { Started::AlreadyDone })
    }

    async fn describe(&self, name: &str) -> Result<Option<Described>, StageError> {
        let executions = self.executions.lock().unwrap_or_else(PoisonError::into_inner);
        let execution = executions.get(name);
        Ok(execution.map(|(_, state)| Described {
            state: state.clone(),
            started_ms: 0,
            ended_ms: (*state != ExecutionState::Running).then_some(1),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_execution_runs_until_it_is_told_how_it_ends() {
        let executions = MemoryExecutions::default();
        let (first, second) = (RunRequest { key: "first".into(), ..RunRequest::default() }, RunRequest::default());
        assert_eq!(executions.describe("a").await.expect("described"), None);
        assert_eq!(executions.start("a", &first).await.expect("started"), Started::Running);
        assert_eq!(executions.start("a", &second).await.expect("started"), Started::Running);
        assert_eq!(executions.start("b", &second).await.expect("started"), Started::Running);
        assert_eq!(executions.started()["a"], first, "the first delivery counts");
        assert_eq!(executions.running(), ["a", "b"]);
        let described = executions.describe("a").await.expect("described").expect("known");
        assert_eq!((described.state, described.ended_ms), (ExecutionState::Running, None));

        let ended = ExecutionState::Succeeded(Value::Null);
        executions.end("a", ended.clone());
        assert_eq!(executions.start("a", &first).await.expect("started"), Started::AlreadyDone);
        assert_eq!(executions.running(), ["b"]);
        let described = executions.describe("a").await.expect("described").expect("known");
        assert_eq!((described.state, described.ended_ms), (ended, Some(1)));
        assert_eq!(executions.id("a"), "a");
    }
}
