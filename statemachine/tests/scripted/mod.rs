//! Functions that answer as a test has written down, on a clock that the test moves.

// Each test file is a crate of its own and uses its part of this.
#![allow(dead_code, unreachable_pub)]

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Mutex,
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use stepwell_statemachine::{
    ETL, Execution, ExecutionInfo, Invoke, Ports, StateMachine, TaskError, Transition, VirtualClock,
};

/// The shipped definition, its functions called `extract`, `transform`, `load` and `notify`.
pub fn shipped() -> StateMachine {
    StateMachine::parse(ETL, &functions()).unwrap()
}

pub fn functions() -> BTreeMap<String, String> {
    ["Extract", "Transform", "Load", "Notify"].map(|stage| (format!("{stage}FunctionArn"), stage.to_lowercase())).into()
}

pub fn info() -> ExecutionInfo {
    ExecutionInfo {
        id: "arn:execution:etl:run-1".to_owned(),
        name: "run-1".to_owned(),
        role_arn: "arn:role".to_owned(),
        machine_id: "arn:stateMachine:etl".to_owned(),
        machine_name: "etl".to_owned(),
    }
}

/// How a function answers one call.
#[derive(Clone, Debug)]
pub enum Answer {
    Gives(Value),
    Raises(&'static str),
    /// Answers after so many seconds.
    After(u64, Box<Answer>),
}

pub fn raises(error: &'static str) -> Answer {
    Answer::Raises(error)
}

pub fn after(seconds: u64, answer: Answer) -> Answer {
    Answer::After(seconds, Box::new(answer))
}

/// The cause that an answer of this error has.
pub fn cause(error: &str) -> String {
    json!({ "errorType": error, "errorMessage": format!("it was {error}") }).to_string()
}

/// The functions of the shipped definition. A call that nothing is written down for goes well.
pub struct World {
    pub clock: VirtualClock,
    pub seed: u64,
    answers: Mutex<HashMap<String, VecDeque<Answer>>>,
    calls: Mutex<Vec<(String, Value)>>,
}

impl World {
    pub fn new() -> Self {
        Self {
            clock: VirtualClock::new(DateTime::UNIX_EPOCH),
            seed: 1,
            answers: Mutex::default(),
            calls: Mutex::default(),
        }
    }

    /// Writes down the next answers of a function; of `notify`, those to one action.
    pub fn answers(self, who: &str, answers: impl IntoIterator<Item = Answer>) -> Self {
        self.answers.lock().unwrap().entry(who.to_owned()).or_default().extend(answers);
        self
    }

    pub fn ports(&self) -> Ports<'_> {
        Ports { invoke: self, clock: &self.clock, observer: &(), seed: self.seed }
    }

    pub async fn run(&self, machine: &StateMachine) -> Execution {
        machine.start(info(), json!({ "bucket": "landing", "key": "a.csv" }), self.ports()).await
    }

    /// Who was called, in order.
    pub fn called(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|(who, _)| who.clone()).collect()
    }

    /// What the function was given, call by call.
    pub fn payloads(&self, who: &str) -> Vec<Value> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(name, _)| name == who).map(|(_, payload)| payload.clone()).collect()
    }

    pub fn elapsed(&self) -> f64 {
        let now = stepwell_statemachine::Clock::now(&self.clock);
        (now - DateTime::<Utc>::UNIX_EPOCH).as_seconds_f64()
    }

    fn answer(&self, answer: Answer) -> Result<Value, TaskError> {
        match answer {
            Answer::Gives(value) => Ok(value),
            Answer::Raises(error) => Err(TaskError { error: error.to_owned(), cause: cause(error) }),
            Answer::After(seconds, answer) => {
                self.clock.advance(Duration::from_secs(seconds));
                self.answer(*answer)
            }
        }
    }
}

#[async_trait]
impl Invoke for World {
    async fn invoke(&self, function: &str, payload: Value) -> Result<Value, TaskError> {
        let action = payload["input"]["action"].as_str().filter(|_| function == "notify");
        let who = action.unwrap_or(function).to_owned();
        self.calls.lock().unwrap().push((who.clone(), payload.clone()));
        let written = self.answers.lock().unwrap().get_mut(&who).and_then(VecDeque::pop_front);
        match written {
            Some(answer) => self.answer(answer),
            None if who == "fail" => raise_or_resume(&payload["input"]),
            None => Ok(json!({ "from": who })),
        }
    }
}

/// What the notify function does of the action `fail`.
fn raise_or_resume(input: &Value) -> Result<Value, TaskError> {
    let failure = &input["failure"];
    let count = |execution: &Value| execution["RedriveCount"].as_u64().unwrap_or(0);
    if count(&input["execution"]) > count(&failure["execution"]) {
        return Ok(json!({ "stage": failure["stage"], "input": failure["input"] }));
    }
    let text = |field: &str| failure["error"][field].as_str().unwrap_or_default().to_owned();
    Err(TaskError { error: text("Error"), cause: text("Cause") })
}

/// The attempts and the end, one word each: `Extract:1:Throttled`, `Extract:2:ok`, `end:SUCCEEDED`.
pub fn outline(execution: &Execution) -> Vec<String> {
    let line = |event: &stepwell_statemachine::TraceEvent| match &event.transition {
        Transition::AttemptFailed { attempt, error, .. } => Some(format!("{}:{attempt}:{error}", event.state)),
        Transition::AttemptSucceeded { attempt } => Some(format!("{}:{attempt}:ok", event.state)),
        Transition::Redriven { redrive_count } => Some(format!("redrive:{redrive_count}")),
        Transition::Ended { status, .. } => Some(format!("end:{}", json!(status).as_str().unwrap())),
        _ => None,
    };
    execution.trace.iter().filter_map(line).collect()
}

/// The waits before retries, in seconds.
pub fn delays(execution: &Execution) -> Vec<f64> {
    let delay = |event: &stepwell_statemachine::TraceEvent| match event.transition {
        Transition::RetryScheduled { delay_seconds, .. } => Some(delay_seconds),
        _ => None,
    };
    execution.trace.iter().filter_map(delay).collect()
}

/// The names of the states entered, in order.
pub fn entered(execution: &Execution) -> Vec<&str> {
    let entered = execution.trace.iter().filter(|event| matches!(event.transition, Transition::Entered { .. }));
    entered.map(|event| event.state.as_str()).collect()
}
