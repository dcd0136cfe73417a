//! Our own interpreter, run with the same scripts as the engines of other origin.

use std::{collections::BTreeMap, slice};

use async_trait::async_trait;
use serde_json::{Value, json};
use stepwell_statemachine::{
    ETL, Execution, ExecutionInfo, Invoke, Ports, StateMachine, Status, TaskError, Transition, VirtualClock,
};

use crate::{
    cases::Case,
    director::{Act, Director},
    history::Step,
};

/// The state machine with the functions' names for ARNs.
pub fn machine() -> StateMachine {
    let functions = ["Extract", "Transform", "Load", "Notify"];
    let values = functions.map(|name| (format!("{name}FunctionArn"), name.to_lowercase()));
    StateMachine::parse(ETL, &BTreeMap::from(values)).expect("the shipped definition is one that we understand")
}

struct Scripted<'a>(&'a Director);

#[async_trait]
impl Invoke for Scripted<'_> {
    async fn invoke(&self, function: &str, payload: Value) -> Result<Value, TaskError> {
        let failed = |error: &str, message: &str| TaskError {
            error: error.to_owned(),
            cause: json!({"errorType": error, "errorMessage": message}).to_string(),
        };
        match self.0.decide(function, &payload) {
            Act::Give { payload } => Ok(payload),
            Act::Fail { error, message } => Err(failed(&error, &message)),
            Act::Exit => Err(failed("Runtime.ExitError", "Runtime exited with error: exit status 1")),
            Act::Hang => Err(failed("Sandbox.Timedout", "Task timed out")),
        }
    }
}

/// Runs a case from its start to its end, in virtual time.
pub async fn start(case: &Case, input: &Value) -> Execution {
    let director = Director::default();
    director.script(&case.name, case.script.clone());
    execute(&case.name, input.clone(), &Scripted(&director)).await
}

/// Runs an execution with other functions from its start to its end, in virtual time.
pub async fn execute(name: &str, input: Value, functions: &dyn Invoke) -> Execution {
    let info = ExecutionInfo {
        id: format!("arn:aws:states:us-east-1:123456789012:execution:etl:{name}"),
        name: name.to_owned(),
        role_arn: "arn:aws:iam::123456789012:role/stepwell".to_owned(),
        machine_id: "arn:aws:states:us-east-1:123456789012:stateMachine:etl".to_owned(),
        machine_name: "etl".to_owned(),
    };
    let clock = clock();
    let ports = Ports { invoke: functions, clock: &clock, observer: &(), seed: 1 };
    machine().start(info, input, ports).await
}

/// Redrives an execution; its functions follow the script from the beginning.
pub async fn redrive(execution: Execution, case: &Case) -> Execution {
    let director = Director::default();
    director.script(&execution.info.name, case.script.clone());
    let (functions, clock) = (Scripted(&director), clock());
    let ports = Ports { invoke: &functions, clock: &clock, observer: &(), seed: 2 };
    machine().redrive(execution, ports).await.expect("an execution that failed can be redriven")
}

fn clock() -> VirtualClock {
    VirtualClock::new("2013-01-01T00:00:00Z".parse().expect("a moment"))
}

/// The steps of an execution, as the engines' histories are read.
pub fn trace(execution: &Execution) -> Vec<Step> {
    let mut trace = Vec::<Step>::new();
    let step = |state: &str, attempt: u32, error: Option<&str>| Step {
        state: state.to_owned(),
        attempt,
        error: error.map(str::to_owned),
    };
    for event in &execution.trace {
        match &event.transition {
            Transition::Entered { .. } => trace.push(step(&event.state, 0, None)),
            Transition::AttemptSucceeded { attempt } => trace.push(step(&event.state, *attempt, None)),
            Transition::AttemptFailed { attempt, error, .. } => trace.push(step(&event.state, *attempt, Some(error))),
            _ => {}
        }
    }
    // A state that was attempted is known by its attempts.
    let mut kept: Vec<Step> = Vec::new();
    for (index, step) in trace.iter().enumerate() {
        let attempted =
            step.attempt == 0 && trace.get(index + 1).is_some_and(|next| next.attempt > 0 && next.state == step.state);
        if !attempted {
            kept.extend_from_slice(slice::from_ref(step));
        }
    }
    kept
}

/// The word for how an execution ended.
pub fn status(execution: &Execution) -> &'static str {
    match execution.status {
        Status::Succeeded => "SUCCEEDED",
        Status::Failed => "FAILED",
        Status::TimedOut => "TIMED_OUT",
    }
}
