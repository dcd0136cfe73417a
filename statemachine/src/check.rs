//! What must hold across a definition, once each state has been read.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    definition::{Catcher, DefinitionError, Retrier, State, StateMachine, Task},
    language::{LONGEST_NAME, MOST, TASK_ERRORS},
};

pub(crate) fn machine(machine: &StateMachine) -> Result<(), DefinitionError> {
    let refuse = |message: String| Err(DefinitionError::Machine(message));
    if !machine.states.contains_key(&machine.start_at) {
        return refuse(format!("`StartAt` names the state `{}`, which does not exist", machine.start_at));
    }
    if machine.timeout_seconds.is_some_and(|seconds| seconds.get() > MOST) {
        return refuse(format!("`TimeoutSeconds` is over {MOST}"));
    }
    for (name, state) in &machine.states {
        check_state(machine, name, state).map_err(|message| DefinitionError::State { state: name.clone(), message })?;
    }
    check_graph(machine)
}

fn check_state(machine: &StateMachine, name: &str, state: &State) -> Result<(), String> {
    if name.chars().count() > LONGEST_NAME {
        return Err(format!("the name has more than {LONGEST_NAME} characters"));
    }
    match state {
        State::Task(task) => {
            check_end(task.next.as_deref(), task.end)?;
            check_task(task)?;
        }
        State::Pass(pass) => check_end(pass.next.as_deref(), pass.end)?,
        State::Choice(choice) if choice.choices.is_empty() => return Err("`Choices` is empty".to_owned()),
        State::Fail(fail) => {
            if fail.error.is_some() && fail.error_path.is_some() {
                return Err("`Error` and `ErrorPath` exclude each other".to_owned());
            }
            if fail.cause.is_some() && fail.cause_path.is_some() {
                return Err("`Cause` and `CausePath` exclude each other".to_owned());
            }
        }
        State::Choice(_) | State::Succeed(_) => {}
    }
    match targets(state).into_iter().find(|target| !machine.states.contains_key(*target)) {
        Some(target) => Err(format!("goes on to the state `{target}`, which does not exist")),
        None => Ok(()),
    }
}

fn check_end(next: Option<&str>, end: bool) -> Result<(), String> {
    if next.is_some() == end { Err("needs either `Next` or `\"End\": true`".to_owned()) } else { Ok(()) }
}

fn check_task(task: &Task) -> Result<(), String> {
    if task.timeout_seconds.is_some_and(|seconds| seconds.get() > MOST) {
        return Err(format!("`TimeoutSeconds` is over {MOST}"));
    }
    check_names("Retry", task.retry.iter().map(|retrier| retrier.error_equals.as_slice()))?;
    check_names("Catch", task.catch.iter().map(|catcher: &Catcher| catcher.error_equals.as_slice()))?;
    task.retry.iter().try_for_each(check_delays)
}

fn check_names<'a>(field: &str, lists: impl ExactSizeIterator<Item = &'a [String]>) -> Result<(), String> {
    let last = lists.len().saturating_sub(1);
    let mut seen = BTreeSet::new();
    for (at, names) in lists.enumerate() {
        if names.is_empty() {
            return Err(format!("`{field}`: an `ErrorEquals` is empty"));
        }
        for name in names {
            if name == "States.ALL" && (names.len() > 1 || at != last) {
                return Err(format!("`{field}`: `States.ALL` must stand alone and last"));
            }
            if name.starts_with("States.") && !TASK_ERRORS.contains(&name.as_str()) {
                return Err(format!("`{field}`: `{name}` cannot be matched here"));
            }
            if !seen.insert(name) {
                return Err(format!("`{field}`: `{name}` is named twice, and only the first can match"));
            }
        }
    }
    Ok(())
}

fn check_delays(retrier: &Retrier) -> Result<(), String> {
    if retrier.backoff_rate < 1.0 {
        return Err("`Retry`: `BackoffRate` is under 1.0".to_owned());
    }
    if u64::from(retrier.max_attempts) > MOST {
        return Err(format!("`Retry`: `MaxAttempts` is over {MOST}"));
    }
    if retrier.max_delay_seconds.is_some_and(|most| most <= retrier.interval_seconds) {
        return Err("`Retry`: `MaxDelaySeconds` is not above `IntervalSeconds`".to_owned());
    }
    Ok(())
}

fn check_graph(machine: &StateMachine) -> Result<(), DefinitionError> {
    let refuse = |state: &str, message: &str| {
        Err(DefinitionError::State { state: state.to_owned(), message: message.to_owned() })
    };
    let mut onward: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut backward: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut ends = Vec::new();
    for (name, state) in &machine.states {
        if is_end(state) {
            ends.push(name.as_str());
        }
        for target in targets(state) {
            onward.entry(name).or_default().push(target);
            backward.entry(target).or_default().push(name);
        }
    }
    let reached = closure(vec![machine.start_at.as_str()], &onward);
    let ending = closure(ends, &backward);
    for name in machine.states.keys().map(String::as_str) {
        if !reached.contains(name) {
            return refuse(name, "cannot be reached");
        }
        if !ending.contains(name) {
            return refuse(name, "leads to no end");
        }
    }
    Ok(())
}

fn is_end(state: &State) -> bool {
    match state {
        State::Task(task) => task.end,
        State::Pass(pass) => pass.end,
        State::Choice(_) => false,
        State::Succeed(_) | State::Fail(_) => true,
    }
}

fn targets(state: &State) -> Vec<&str> {
    match state {
        State::Task(task) => {
            task.next.iter().chain(task.catch.iter().map(|catcher| &catcher.next)).map(String::as_str).collect()
        }
        State::Pass(pass) => pass.next.iter().map(String::as_str).collect(),
        State::Choice(choice) => {
            choice.choices.iter().map(|rule| &rule.next).chain(&choice.default).map(String::as_str).collect()
        }
        State::Succeed(_) | State::Fail(_) => Vec::new(),
    }
}

fn closure<'a>(mut open: Vec<&'a str>, edges: &BTreeMap<&'a str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    while let Some(name) = open.pop() {
        if found.insert(name) {
            open.extend(edges.get(name).into_iter().flatten());
        }
    }
    found
}
