//! What happened in an execution, in a form in which engines can be compared.

use std::fmt;

use aws_sdk_sfn::types::{HistoryEvent, HistoryEventType};
use serde_json::Value;

/// One attempt at a task, or the passage of a state that has none.
#[derive(Clone, PartialEq, Eq)]
pub struct Step {
    /// The state.
    pub state: String,
    /// Which attempt, counted from 1; 0 for a state without a task.
    pub attempt: u32,
    /// The error's name, if the attempt failed.
    pub error: Option<String>,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.attempt, &self.error) {
            (0, _) => write!(f, "{}", self.state),
            (attempt, None) => write!(f, "{}#{attempt} ok", self.state),
            (attempt, Some(error)) => write!(f, "{}#{attempt} {error}", self.state),
        }
    }
}

/// An attempt's times, in seconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct Times {
    /// The state.
    pub state: String,
    /// When the attempt was scheduled.
    pub scheduled: f64,
    /// When it ended.
    pub ended: f64,
}

/// A finished execution.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// The execution's ARN.
    pub arn: String,
    /// `SUCCEEDED`, `FAILED`, `TIMED_OUT` or `ABORTED`.
    pub status: String,
    /// The error's name, if it failed.
    pub error: Option<String>,
    /// The error's cause, if it failed.
    pub cause: Option<String>,
    /// What it gave; null if it failed.
    pub output: Value,
    /// The steps.
    pub trace: Vec<Step>,
    /// The times of the attempts, in their order.
    pub times: Vec<Times>,
}

impl Finished {
    /// How many attempts at a state there were.
    pub fn attempts(&self, state: &str) -> usize {
        self.trace.iter().filter(|step| step.state == state && step.attempt > 0).count()
    }

    /// The waits between the attempts at a state, in seconds.
    pub fn waits(&self, state: &str) -> Vec<f64> {
        let times: Vec<_> = self.times.iter().filter(|times| times.state == state).collect();
        times.windows(2).map(|pair| pair[1].scheduled - pair[0].ended).collect()
    }
}

/// How many spans of time have a moment in common, at most. One that begins when another ends has none with it.
pub(crate) fn most_at_once(spans: impl Iterator<Item = (f64, f64)>) -> usize {
    let mut changes: Vec<_> = spans.flat_map(|(begin, end)| [(begin, 1), (end, -1)]).collect();
    changes.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    let mut now = 0_isize;
    let most = changes.into_iter().map(|(_, change)| {
        now += change;
        now
    });
    most.max().unwrap_or_default().unsigned_abs()
}

/// The steps and times in the events of a history.
pub(crate) fn read(events: &[HistoryEvent]) -> (Vec<Step>, Vec<Times>) {
    let (mut trace, mut times) = (Vec::<Step>::new(), Vec::<Times>::new());
    let (mut state, mut attempt) = (String::new(), 0);
    for event in events {
        let at = event.timestamp().as_secs_f64();
        if let Some(entered) = event.state_entered_event_details() {
            (state, attempt) = (entered.name().to_owned(), 0);
            if *event.r#type() != HistoryEventType::TaskStateEntered {
                trace.push(Step { state: state.clone(), attempt: 0, error: None });
            }
            continue;
        }
        let error = match event.r#type() {
            HistoryEventType::TaskScheduled => {
                attempt += 1;
                times.push(Times { state: state.clone(), scheduled: at, ended: at });
                continue;
            }
            HistoryEventType::TaskSucceeded => None,
            HistoryEventType::TaskFailed => event.task_failed_event_details().and_then(|details| details.error()),
            HistoryEventType::TaskTimedOut => Some("States.Timeout"),
            _ => continue,
        };
        if let Some(times) = times.last_mut() {
            times.ended = at;
        }
        trace.push(Step { state: state.clone(), attempt, error: error.map(str::to_owned) });
    }
    (trace, times)
}
