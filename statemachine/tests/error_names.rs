//! Every error name of the shipped definition against the error kinds of the stages, both ways.
#![allow(clippy::unwrap_used, clippy::panic)]

mod scripted;

use std::collections::BTreeSet;

use scripted::shipped;
use stepwell_pipeline::ErrorKind;
use stepwell_statemachine::definition::{State, Task};

/// The states whose function returns error kinds.
const CALLERS: [&str; 5] = ["Extract", "Transform", "Load", "NotifySuccess", "NotifyFailure"];

/// The faults of Lambda itself that AWS says to retry: "Handle transient Lambda service exceptions",
/// <https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html>.
const SERVICE_FAULTS: [&str; 5] = [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.TooManyRequestsException",
];

/// A function that broke or hung, where the same call may go well once more.
const BREAKDOWNS: [&str; 4] = ["Lambda.Unknown", "Sandbox.Timedout", "Runtime.ExitError", "States.Timeout"];

/// Further faults that say that the function did not run: "Invoke", errors,
/// <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>.
const UNREACHABLE: [&str; 8] = [
    "Lambda.ResourceNotFoundException",
    "Lambda.ResourceNotReadyException",
    "Lambda.ResourceConflictException",
    "Lambda.InvalidRuntimeException",
    "Lambda.KMSAccessDeniedException",
    "Lambda.KMSDisabledException",
    "Lambda.KMSInvalidStateException",
    "Lambda.KMSNotFoundException",
];

fn task(machine: &stepwell_statemachine::StateMachine, name: &str) -> Task {
    match &machine.states[name] {
        State::Task(task) => task.clone(),
        other => panic!("{name} is no task: {other:?}"),
    }
}

fn set<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

fn kinds(transient: bool) -> impl Iterator<Item = &'static str> {
    ErrorKind::ALL.iter().filter(move |kind| kind.is_transient() == transient).map(|kind| kind.name())
}

#[test]
fn every_kind_is_retried_as_its_class_demands() {
    let machine = shipped();
    for name in CALLERS {
        let retry = task(&machine, name).retry;
        let groups: Vec<BTreeSet<String>> =
            retry.iter().map(|retrier| retrier.error_equals.iter().cloned().collect()).collect();
        assert_eq!(groups, [set(kinds(false)), set(kinds(true).chain(SERVICE_FAULTS)), set(BREAKDOWNS)], "{name}");
        assert_eq!(retry[0].max_attempts, 0, "{name}: permanent kinds");
        assert!(retry[1..].iter().all(|retrier| retrier.max_attempts > 0), "{name}");
    }
}

#[test]
fn every_name_is_a_kind_or_one_of_amazons() {
    let amazons: BTreeSet<&str> = SERVICE_FAULTS
        .into_iter()
        .chain(BREAKDOWNS)
        .chain(UNREACHABLE)
        .chain(["Runtime.InvalidEntrypoint", "States.ALL"])
        .collect();
    let mut unseen = amazons.clone();
    for (state, value) in &shipped().states {
        let State::Task(task) = value else { continue };
        let retried = task.retry.iter().flat_map(|retrier| &retrier.error_equals);
        for name in retried.chain(task.catch.iter().flat_map(|catcher| &catcher.error_equals)) {
            let is_kind = name.parse::<ErrorKind>().is_ok();
            assert!(is_kind || amazons.contains(name.as_str()), "{state}: {name}");
            unseen.remove(name.as_str());
        }
    }
    assert_eq!(unseen, BTreeSet::new(), "names of the list that the definition does not use");
}

#[test]
fn stage_errors_are_all_caught() {
    let machine = shipped();
    for name in CALLERS {
        let names: Vec<String> =
            task(&machine, name).catch.into_iter().flat_map(|catcher| catcher.error_equals).collect();
        assert_eq!(names.last().map(String::as_str), Some("States.ALL"), "{name}");
    }
}

/// A catcher there could not tell the stage's error, raised again, from a fault of the function that raises it.
#[test]
fn the_state_that_raises_the_stage_s_error_catches_nothing() {
    let task = task(&shipped(), "ProcessingFailed");
    assert_eq!(task.catch, []);
    let retried: Vec<BTreeSet<String>> =
        task.retry.into_iter().map(|retrier| retrier.error_equals.into_iter().collect()).collect();
    assert_eq!(retried, [set(SERVICE_FAULTS)]);
}
