//! The port through which executions of the state machine are started.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::{StageError, request::RunRequest};

/// What became of a request to start an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It runs, started now or by an earlier delivery of the same event.
    Running,
    /// An execution of that name has ended already: the event was handled before.
    AlreadyDone,
}

/// Starts executions.
#[async_trait]
pub trait Executions: Debug + Send + Sync {
    /// Starts the execution of that name, unless it was started before.
    ///
    /// # Errors
    /// `Throttled` or `TargetUnavailable` where a repetition may succeed, else a permanent kind.
    async fn start(&self, name: &str, request: &RunRequest) -> Result<Started, StageError>;
}
