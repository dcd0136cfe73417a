//! An execution: what it is called, how it went, and what is needed to go on with it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::timestamp;

/// The names under which an execution runs; they reach the definition through the context object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionInfo {
    /// `$$.Execution.Id`, on the service the execution's ARN.
    pub id: String,
    /// `$$.Execution.Name`.
    pub name: String,
    /// `$$.Execution.RoleArn`.
    pub role_arn: String,
    /// `$$.StateMachine.Id`, on the service the state machine's ARN.
    pub machine_id: String,
    /// `$$.StateMachine.Name`.
    pub machine_name: String,
}

/// How an execution ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// It reached an end.
    Succeeded,
    /// A state failed and nothing caught it.
    Failed,
    /// It took longer than the state machine allows.
    TimedOut,
}

/// A finished execution. What it holds suffices to redrive it, in this process or a later one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    /// The names under which it ran.
    pub info: ExecutionInfo,
    /// What it was started with.
    pub input: Value,
    /// When it was first started.
    #[serde(with = "timestamp")]
    pub started_at: DateTime<Utc>,
    /// How it ended.
    pub status: Status,
    /// What it gave, if it succeeded.
    pub output: Option<Value>,
    /// The name of the error, if it did not.
    pub error: Option<String>,
    /// The cause of the error, as the function told it.
    pub cause: Option<String>,
    /// The state that a redrive enters, if it did not succeed.
    pub stopped_at: Option<StoppedAt>,
    /// How often it has been redriven.
    pub redrive_count: u32,
    /// What happened, in order, redrives included.
    pub trace: Vec<TraceEvent>,
}

/// The state that an execution stopped at, and the input it had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoppedAt {
    /// The state's name.
    pub state: String,
    /// The state's input.
    pub input: Value,
}

/// Something that happened in an execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceEvent {
    /// When it happened.
    #[serde(with = "timestamp")]
    pub at: DateTime<Utc>,
    /// The state it happened in.
    pub state: String,
    /// What happened.
    #[serde(flatten)]
    pub transition: Transition,
}

/// What can happen in an execution. Attempts count from 1, anew each time a state is entered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Transition {
    /// The execution was redriven.
    Redriven {
        /// How often it has been by now.
        redrive_count: u32,
    },
    /// The state was entered.
    Entered {
        /// Its input.
        input: Value,
    },
    /// An attempt at the state's task failed.
    AttemptFailed {
        /// Which attempt.
        attempt: u32,
        /// The name of the error.
        error: String,
        /// The cause of the error, as the function told it.
        cause: String,
    },
    /// Another attempt was decided on.
    RetryScheduled {
        /// Which attempt is next.
        attempt: u32,
        /// How long it is waited for, in seconds.
        delay_seconds: f64,
    },
    /// An attempt at the state's task succeeded.
    AttemptSucceeded {
        /// Which attempt.
        attempt: u32,
    },
    /// An error was caught.
    Caught {
        /// The name of the error.
        error: String,
        /// The state that the execution goes on to.
        next: String,
    },
    /// The execution ended.
    Ended {
        /// How.
        status: Status,
        /// The name of the error, if it did not succeed.
        error: Option<String>,
    },
}

impl Execution {
    /// The context object, `$$`, as a state sees it.
    ///
    /// "Accessing execution data from the Context object in Step Functions",
    /// <https://docs.aws.amazon.com/step-functions/latest/dg/input-output-contextobject.html>.
    pub(crate) fn context(&self, state: &str, entered_at: DateTime<Utc>, retry_count: u32) -> Value {
        json!({
            "Execution": {
                "Id": self.info.id,
                "Input": self.input,
                "Name": self.info.name,
                "RoleArn": self.info.role_arn,
                "StartTime": timestamp::text(self.started_at),
                "RedriveCount": self.redrive_count,
            },
            "State": {
                "Name": state,
                "EnteredTime": timestamp::text(entered_at),
                "RetryCount": retry_count,
            },
            "StateMachine": { "Id": self.info.machine_id, "Name": self.info.machine_name },
        })
    }
}
