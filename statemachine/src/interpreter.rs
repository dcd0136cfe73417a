//! The interpreter: takes an execution through the states of a machine.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    clock::Clock,
    definition::{Catcher, Choice, Comparison, Fail, Jitter, Pass, Retrier, State, StateMachine, Task, Test},
    execution::{Execution, ExecutionInfo, Status, StoppedAt, TraceEvent, Transition},
    path::{Filter, Path, Placement},
};

/// The most that a state may be given, make or give on, in bytes of UTF-8.
///
/// "Step Functions service quotas", <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>.
pub const PAYLOAD_LIMIT: usize = 262_144;

const RUNTIME: &str = "States.Runtime";
const TIMEOUT: &str = "States.Timeout";
const DATA_LIMIT_EXCEEDED: &str = "States.DataLimitExceeded";
const RESULT_PATH_MATCH_FAILURE: &str = "States.ResultPathMatchFailure";

/// The longest that an execution can be open: no wait need be longer, however far it has backed off.
const LONGEST_WAIT: f64 = 31_622_400.0;

/// An error as a state machine sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{error}: {cause}")]
pub struct TaskError {
    /// The name, which `ErrorEquals` matches: for an error of the function's own, its `errorType`.
    pub error: String,
    /// What is known of it: for an error of the function's own, the JSON text of `errorType` and `errorMessage`.
    pub cause: String,
}

impl TaskError {
    /// An error that the interpreter finds itself.
    fn states(error: &str, cause: impl Into<String>) -> Self {
        Self { error: error.to_owned(), cause: cause.into() }
    }

    fn missing(path: &Path, field: &str) -> Self {
        Self::states(RUNTIME, format!("the path `{path}` of `{field}` names nothing"))
    }
}

/// Invokes functions.
#[async_trait]
pub trait Invoke: Send + Sync {
    /// Invokes the function of that name with the payload and returns what it gives.
    ///
    /// # Errors
    /// The function's own error, or one that says why it could not be run, as `Lambda.ServiceException`.
    async fn invoke(&self, function: &str, payload: Value) -> Result<Value, TaskError>;
}

/// Is told what happens in an execution, as it happens.
pub trait Observer: Send + Sync {
    /// Is told of one event, right after it happened.
    fn observe(&self, event: &TraceEvent);
}

/// Nobody looks.
impl Observer for () {
    fn observe(&self, _event: &TraceEvent) {}
}

/// What an execution needs from outside.
#[derive(Clone, Copy)]
pub struct Ports<'a> {
    /// Invokes the functions.
    pub invoke: &'a dyn Invoke,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Is told what happens.
    pub observer: &'a dyn Observer,
    /// Where random waits begin; the same seed gives the same waits.
    pub seed: u64,
}

/// Why an execution cannot be redriven.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedriveError {
    /// It succeeded, and so stopped nowhere short of an end.
    #[error("the execution `{0}` has nothing to redrive")]
    NotRedrivable(String),
    /// It stopped at a state that this machine does not have.
    #[error("the state machine has no state `{0}`")]
    UnknownState(String),
}

impl StateMachine {
    /// Runs a new execution to its end, however it ends.
    pub async fn start(&self, info: ExecutionInfo, input: Value, ports: Ports<'_>) -> Execution {
        let execution = Execution {
            info,
            input: input.clone(),
            started_at: ports.clock.now(),
            status: Status::Failed,
            output: None,
            error: None,
            cause: None,
            stopped_at: None,
            redrive_count: 0,
            trace: Vec::new(),
        };
        Run::new(self, execution, ports).run(self.start_at.clone(), input).await
    }

    /// Goes on with an execution that did not succeed: enters the state that it stopped at, with the same input,
    /// and runs it to its end.
    ///
    /// Retries of that state and the time of the whole execution are counted anew. The service also asks that the
    /// execution ended within 14 days and has room in its history; neither limit exists here.
    /// "Restarting state machine executions with redrive in Step Functions",
    /// <https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html>.
    ///
    /// # Errors
    /// `NotRedrivable` for an execution that succeeded, `UnknownState` for one of another machine.
    pub async fn redrive(&self, mut execution: Execution, ports: Ports<'_>) -> Result<Execution, RedriveError> {
        let Some(stopped_at) = execution.stopped_at.take() else {
            return Err(RedriveError::NotRedrivable(execution.info.name));
        };
        if !self.states.contains_key(&stopped_at.state) {
            return Err(RedriveError::UnknownState(stopped_at.state));
        }
        execution.redrive_count += 1;
        let mut run = Run::new(self, execution, ports);
        run.record(&stopped_at.state, Transition::Redriven { redrive_count: run.execution.redrive_count });
        Ok(run.run(stopped_at.state, stopped_at.input).await)
    }
}

/// How a state is left.
enum Left {
    Next(String, Value),
    End(Value),
}

impl Left {
    fn through(next: Option<&String>, output: Value) -> Self {
        match next {
            Some(next) => Self::Next(next.clone(), output),
            None => Self::End(output),
        }
    }
}

/// Why an execution stops short of an end.
enum Stop {
    Failed { error: Option<String>, cause: Option<String> },
    TimedOut,
}

impl From<TaskError> for Stop {
    fn from(error: TaskError) -> Self {
        Self::Failed { error: Some(error.error), cause: Some(error.cause) }
    }
}

/// The state that is being executed, and what it sees.
struct Scene<'a> {
    state: &'a str,
    input: &'a Value,
    entered_at: DateTime<Utc>,
}

struct Run<'a> {
    machine: &'a StateMachine,
    ports: Ports<'a>,
    rng: StdRng,
    deadline: Option<DateTime<Utc>>,
    execution: Execution,
}

impl<'a> Run<'a> {
    fn new(machine: &'a StateMachine, execution: Execution, ports: Ports<'a>) -> Self {
        let timeout = machine.timeout_seconds.map(|seconds| Duration::from_secs(seconds.get()));
        Self {
            machine,
            ports,
            rng: StdRng::seed_from_u64(ports.seed),
            deadline: timeout.map(|timeout| ports.clock.now() + timeout),
            execution,
        }
    }

    async fn run(mut self, mut state: String, mut input: Value) -> Execution {
        loop {
            self.record(&state, Transition::Entered { input: input.clone() });
            match self.step(&state, &input).await {
                Ok(Left::Next(next, output)) => (state, input) = (next, output),
                Ok(Left::End(output)) => return self.end(&state, Status::Succeeded, Some(output), None, None),
                Err(stop) => {
                    self.execution.stopped_at = Some(StoppedAt { state: state.clone(), input });
                    return match stop {
                        Stop::Failed { error, cause } => self.end(&state, Status::Failed, None, error, cause),
                        Stop::TimedOut => self.end(&state, Status::TimedOut, None, Some(TIMEOUT.to_owned()), None),
                    };
                }
            }
        }
    }

    fn end(
        mut self,
        state: &str,
        status: Status,
        output: Option<Value>,
        error: Option<String>,
        cause: Option<String>,
    ) -> Execution {
        self.record(state, Transition::Ended { status, error: error.clone() });
        Execution { status, output, error, cause, ..self.execution }
    }

    fn record(&mut self, state: &str, transition: Transition) {
        let event = TraceEvent { at: self.ports.clock.now(), state: state.to_owned(), transition };
        self.ports.observer.observe(&event);
        self.execution.trace.push(event);
    }

    async fn step(&mut self, state: &str, input: &Value) -> Result<Left, Stop> {
        let machine = self.machine;
        let entered_at = self.ports.clock.now();
        if self.deadline.is_some_and(|deadline| entered_at >= deadline) {
            return Err(Stop::TimedOut);
        }
        let scene = Scene { state, input, entered_at };
        let context = self.execution.context(state, entered_at, 0);
        match machine.states.get(state) {
            Some(State::Task(task)) => self.task(task, &scene).await,
            Some(State::Pass(pass)) => Ok(do_pass(pass, input, &context)?),
            Some(State::Choice(choice)) => Ok(choose(choice, input, &context)?),
            Some(State::Succeed(succeed)) => {
                let taken = select(&succeed.input_path, "InputPath", input, &context)?;
                Ok(Left::End(limited(select(&succeed.output_path, "OutputPath", &taken, &context)?, "output")?))
            }
            Some(State::Fail(fail)) => Err(failure(fail, input, &context)?),
            None => Err(TaskError::states(RUNTIME, format!("there is no state `{state}`")).into()),
        }
    }

    async fn task(&mut self, task: &Task, scene: &Scene<'_>) -> Result<Left, Stop> {
        let mut retries = vec![0; task.retry.len()];
        let mut attempt = 1;
        loop {
            let context = self.execution.context(scene.state, scene.entered_at, attempt - 1);
            let error = match self.attempt(task, scene, &context, attempt).await? {
                Ok(left) => return Ok(left),
                Err(error) => error,
            };
            if let Some(delay) = self.next_delay(&task.retry, &mut retries, &error.error) {
                attempt += 1;
                let delay_seconds = delay.as_secs_f64();
                self.record(scene.state, Transition::RetryScheduled { attempt, delay_seconds });
                self.sleep(delay).await?;
                continue;
            }
            let Some(catcher) = task.catch.iter().find(|catcher| matches(&catcher.error_equals, &error.error)) else {
                return Err(error.into());
            };
            let caught = Transition::Caught { error: error.error.clone(), next: catcher.next.clone() };
            let output = catch(catcher, scene.input, error)?;
            self.record(scene.state, caught);
            return Ok(Left::Next(catcher.next.clone(), output));
        }
    }

    /// One attempt; the outer error ends the execution, the inner one can be retried or caught.
    async fn attempt(
        &mut self,
        task: &Task,
        scene: &Scene<'_>,
        context: &Value,
        attempt: u32,
    ) -> Result<Result<Left, TaskError>, Stop> {
        let payload = match payload(task, scene.input, context) {
            Ok(payload) => payload,
            Err(error) => return Ok(Err(error)),
        };
        let returned = self.invoke(task, payload).await?.and_then(|payload| {
            limited(json!({ "ExecutedVersion": "$LATEST", "Payload": payload, "StatusCode": 200 }), "result")
        });
        match returned {
            Ok(result) => {
                self.record(scene.state, Transition::AttemptSucceeded { attempt });
                let left = finish(&task.result_path, &task.output_path, scene.input, result, context)
                    .map(|output| Left::through(task.next.as_ref(), output));
                Ok(left)
            }
            Err(error) => {
                let TaskError { error: name, cause } = error.clone();
                self.record(scene.state, Transition::AttemptFailed { attempt, error: name, cause });
                Ok(Err(error))
            }
        }
    }

    async fn invoke(&self, task: &Task, payload: Value) -> Result<Result<Value, TaskError>, Stop> {
        let clock = self.ports.clock;
        let left = self.deadline.map(|deadline| (deadline - clock.now()).to_std().unwrap_or_default());
        let own = task.timeout_seconds.map(|seconds| Duration::from_secs(seconds.get()));
        let invocation = self.ports.invoke.invoke(&task.parameters.function_name, payload);
        let Some(limit) = own.into_iter().chain(left).min() else {
            return Ok(invocation.await);
        };
        match clock.timeout(limit, invocation).await {
            Some(returned) => Ok(returned),
            None if own == Some(limit) => Ok(Err(TaskError::states(TIMEOUT, ""))),
            None => Err(Stop::TimedOut),
        }
    }

    /// The wait before the next attempt, if there is to be one.
    ///
    /// The first retrier that names the error decides, even when it has no attempts left: "Complex retry
    /// scenarios", <https://states-language.net/#errors>. Full jitter draws between nothing and the computed wait:
    /// "Retrying after an error",
    /// <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>.
    fn next_delay(&mut self, retriers: &[Retrier], retries: &mut [u32], error: &str) -> Option<Duration> {
        let (retrier, done) =
            retriers.iter().zip(retries).find(|(retrier, _)| matches(&retrier.error_equals, error))?;
        if *done >= retrier.max_attempts {
            return None;
        }
        let seconds = f64::from(retrier.interval_seconds.get()) * retrier.backoff_rate.powf(f64::from(*done));
        let most = retrier.max_delay_seconds.map_or(LONGEST_WAIT, |most| f64::from(most.get()));
        let seconds = seconds.min(most).min(LONGEST_WAIT);
        *done += 1;
        Some(Duration::from_secs_f64(match retrier.jitter_strategy {
            Jitter::None => seconds,
            Jitter::Full => self.rng.random_range(0.0..=seconds),
        }))
    }

    async fn sleep(&self, time: Duration) -> Result<(), Stop> {
        let clock = self.ports.clock;
        match self.deadline.map(|deadline| (deadline - clock.now()).to_std().unwrap_or_default()) {
            Some(left) if left < time => {
                clock.sleep(left).await;
                Err(Stop::TimedOut)
            }
            _ => {
                clock.sleep(time).await;
                Ok(())
            }
        }
    }
}

fn do_pass(pass: &Pass, input: &Value, context: &Value) -> Result<Left, TaskError> {
    let taken = select(&pass.input_path, "InputPath", input, context)?;
    let made = match &pass.parameters {
        Some(template) => {
            limited(template.fill(&taken, context).map_err(|path| TaskError::missing(path, "Parameters"))?, "input")?
        }
        None => taken,
    };
    let result = pass.result.clone().unwrap_or(made);
    let output = finish(&pass.result_path, &pass.output_path, input, result, context)?;
    Ok(Left::through(pass.next.as_ref(), output))
}

/// A choice without a match fails with `States.Runtime`, the name that the service uses for `NoChoiceMatched`:
/// "Error names", <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>.
fn choose(choice: &Choice, input: &Value, context: &Value) -> Result<Left, TaskError> {
    let taken = select(&choice.input_path, "InputPath", input, context)?;
    let mut next = None;
    for rule in &choice.choices {
        if holds(&rule.comparisons, &taken, context)? {
            next = Some(&rule.next);
            break;
        }
    }
    let next = next
        .or(choice.default.as_ref())
        .ok_or_else(|| TaskError::states(RUNTIME, "no rule of the choice fits, and there is no default"))?;
    let output = limited(select(&choice.output_path, "OutputPath", &taken, context)?, "output")?;
    Ok(Left::Next(next.clone(), output))
}

fn holds(comparisons: &[Comparison], input: &Value, context: &Value) -> Result<bool, TaskError> {
    for Comparison { variable, test } in comparisons {
        let value = variable.find(input, context);
        let present = || value.ok_or_else(|| TaskError::missing(variable, "Variable"));
        let holds = match test {
            Test::IsPresent(wanted) => value.is_some() == *wanted,
            Test::StringEquals(text) => present()?.as_str() == Some(text),
            Test::BooleanEquals(wanted) => present()?.as_bool() == Some(*wanted),
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

fn failure(fail: &Fail, input: &Value, context: &Value) -> Result<Stop, TaskError> {
    let text = |fixed: &Option<String>, path: &Option<Path>, field: &str| match path {
        None => Ok(fixed.clone()),
        Some(path) => match path.find(input, context) {
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(TaskError::states(RUNTIME, format!("the path `{path}` of `{field}` names no string"))),
            None => Err(TaskError::missing(path, field)),
        },
    };
    Ok(Stop::Failed {
        error: text(&fail.error, &fail.error_path, "ErrorPath")?,
        cause: text(&fail.cause, &fail.cause_path, "CausePath")?,
    })
}

fn payload(task: &Task, input: &Value, context: &Value) -> Result<Value, TaskError> {
    let taken = select(&task.input_path, "InputPath", input, context)?;
    let payload =
        task.parameters.payload.fill(&taken, context).map_err(|path| TaskError::missing(path, "Parameters"))?;
    limited(payload, "input")
}

/// "Error output", <https://states-language.net/#errors>: the catcher's output is the state's input with the error
/// at `ResultPath`; the state's `OutputPath` does not apply.
fn catch(catcher: &Catcher, input: &Value, error: TaskError) -> Result<Value, TaskError> {
    let output = json!({ "Error": error.error, "Cause": error.cause });
    limited(place(&catcher.result_path, input, output)?, "output")
}

fn finish(
    result_path: &Placement,
    output_path: &Filter,
    input: &Value,
    result: Value,
    context: &Value,
) -> Result<Value, TaskError> {
    let placed = place(result_path, input, result)?;
    limited(select(output_path, "OutputPath", &placed, context)?, "output")
}

fn place(result_path: &Placement, input: &Value, result: Value) -> Result<Value, TaskError> {
    match result_path {
        Placement::Dropped => Ok(input.clone()),
        Placement::At(path) => path.place(input.clone(), result).ok_or_else(|| {
            let cause = format!("`ResultPath` `{path}` cannot be applied to the state's input");
            TaskError::states(RESULT_PATH_MATCH_FAILURE, cause)
        }),
    }
}

fn select(filter: &Filter, field: &str, data: &Value, context: &Value) -> Result<Value, TaskError> {
    match filter {
        Filter::Nothing => Ok(Value::Object(Map::new())),
        Filter::At(path) => path.find(data, context).cloned().ok_or_else(|| TaskError::missing(path, field)),
    }
}

fn limited(value: Value, what: &str) -> Result<Value, TaskError> {
    let size = value.to_string().len();
    if size <= PAYLOAD_LIMIT {
        return Ok(value);
    }
    let cause = format!("the state's {what} has {size} bytes, over the {PAYLOAD_LIMIT} allowed");
    Err(TaskError::states(DATA_LIMIT_EXCEEDED, cause))
}

/// Whether a retrier or catcher with these names takes the error.
///
/// `States.ALL` takes any error but `States.DataLimitExceeded` and `States.Runtime`; `States.TaskFailed` those but
/// for `States.Timeout`: "Error names",
/// <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>. A `ResultPath` that cannot
/// be applied "fails the machine": "JSONPath Runtime Errors", <https://states-language.net>.
fn matches(names: &[String], error: &str) -> bool {
    let is_terminal = [RUNTIME, DATA_LIMIT_EXCEEDED, RESULT_PATH_MATCH_FAILURE].contains(&error);
    names.iter().any(|name| match name.as_str() {
        "States.ALL" => !is_terminal,
        "States.TaskFailed" => !is_terminal && error != TIMEOUT,
        name => name == error,
    })
}
