//! `Retry` and `Catch`: which errors they match, in which order, and how long they wait.

use super::{
    Report,
    document::Node,
    machine::{Machine, State, StateType},
    nearest, task,
};
use crate::language::STATES_ERRORS;

/// Errors that come again whenever the work is repeated.
///
/// "Handling errors in Step Functions workflows", Step Functions Developer Guide; "Invoke", Lambda API Reference.
const PERMANENT: &[&str] = &[
    "Lambda.InvalidParameterValueException",
    "Lambda.InvalidRequestContentException",
    "Lambda.InvalidRuntimeException",
    "Lambda.InvalidSecurityGroupIDException",
    "Lambda.InvalidSubnetIDException",
    "Lambda.InvalidZipFileException",
    "Lambda.RequestTooLargeException",
    "Lambda.ResourceNotFoundException",
    "Lambda.UnsupportedMediaTypeException",
    "States.DataLimitExceeded",
    "States.IntrinsicFailure",
    "States.NoChoiceMatched",
    "States.ParameterPathFailure",
    "States.Permissions",
    "States.QueryEvaluationError",
    "States.ResultPathMatchFailure",
    "States.Runtime",
];

/// Errors that Lambda raises beside those, and that are misspelt now and then.
const LAMBDA_ERRORS: &[&str] = &[
    "Lambda.AWSLambdaException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.CodeArtifactUserPendingException",
    "Lambda.EC2AccessDeniedException",
    "Lambda.EC2ThrottledException",
    "Lambda.EC2UnexpectedException",
    "Lambda.EFSIOException",
    "Lambda.EFSMountConnectivityException",
    "Lambda.EFSMountFailureException",
    "Lambda.EFSMountTimeoutException",
    "Lambda.ENILimitReachedException",
    "Lambda.KMSAccessDeniedException",
    "Lambda.KMSDisabledException",
    "Lambda.KMSInvalidStateException",
    "Lambda.KMSNotFoundException",
    "Lambda.ResourceConflictException",
    "Lambda.ResourceNotReadyException",
    "Lambda.SdkClientException",
    "Lambda.ServiceException",
    "Lambda.SnapStartException",
    "Lambda.SnapStartNotReadyException",
    "Lambda.SnapStartTimeoutException",
    "Lambda.SubnetIPAddressLimitReachedException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
];

/// Errors of Lambda that a second attempt mostly mends; "Best practices for Step Functions".
const LAMBDA_TRANSIENT: [&str; 4] = [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
];

/// The longest wait without a cap that is thought to be meant, in seconds.
const LONG_WAIT_SECONDS: f64 = 900.0;

/// From how many attempts on jitter matters.
const MANY_ATTEMPTS: f64 = 5.0;

pub(super) fn check(machine: &Machine<'_>, report: &mut Report) {
    let mut all = None;
    for (_, state) in machine.states() {
        if !matches!(state.kind, Some(StateType::Task | StateType::Parallel | StateType::Map)) {
            continue;
        }
        let knows = |error: &str| state.handlers("Catch").iter().any(|catcher| names(catcher).contains(&error));
        if knows("States.ALL") && !knows("States.DataLimitExceeded") {
            all = all.or(state.handlers("Catch").iter().find(|catcher| names(catcher).contains(&"States.ALL")));
        }
        for field in ["Retry", "Catch"] {
            check_order(state, field, report);
            check_spelling(state, field, report);
        }
        check_permanent(machine, state, report);
        for retrier in state.handlers("Retry") {
            check_waits(state, retrier, report);
        }
        check_lambda(state, report);
    }
    if let Some(catcher) = all {
        report.machine("all-is-not-all", catcher.at, "no Catch on `States.ALL` sees every error");
    }
}

/// The errors that a handler names.
fn names(handler: &Node) -> Vec<&str> {
    let listed = handler.get("ErrorEquals").map(Node::items).unwrap_or_default();
    listed.iter().filter(|name| !name.is_open()).filter_map(Node::text).collect()
}

/// Whether a handler that names `name` sees the error.
fn matches(name: &str, error: &str) -> bool {
    match name {
        "States.ALL" => !["States.DataLimitExceeded", "States.Runtime"].contains(&error),
        "States.TaskFailed" => error == name || !error.starts_with("States."),
        "States.Timeout" => [name, "States.HeartbeatTimeout"].contains(&error),
        _ => error == name,
    }
}

fn check_order(state: &State<'_>, field: &str, report: &mut Report) {
    let handlers = state.handlers(field);
    for (at, handler) in handlers.iter().enumerate() {
        let listed = handler.get("ErrorEquals").map(Node::items).unwrap_or_default();
        for (place, node) in listed.iter().enumerate() {
            let Some(name) = node.text().filter(|_| !node.is_open()) else { continue };
            if name == "States.ALL" && (listed.len() > 1 || at + 1 < handlers.len()) {
                let how = if listed.len() > 1 { "does not stand alone" } else { "is not in the last handler" };
                report.state("states-all-not-last", state, node.at, format!("`{field}`: `States.ALL` {how}"));
            }
            let earlier = handlers[..at].iter().flat_map(|handler| names(handler));
            let mut earlier = earlier.filter(|earlier| *earlier != "States.ALL");
            let seen = earlier.find(|earlier| matches(earlier, name));
            if let Some(seen) = seen {
                let message = match seen == name {
                    true => format!("`{field}`: `{name}` is named in an earlier handler"),
                    false => format!("`{field}`: the earlier `{seen}` already matches `{name}`"),
                };
                report.state("shadowed-error", state, node.at, message);
            } else if listed[..place].iter().any(|other| other.text() == Some(name)) {
                report.state("shadowed-error", state, node.at, format!("`{field}`: `{name}` is named twice"));
            }
        }
    }
}

fn check_spelling(state: &State<'_>, field: &str, report: &mut Report) {
    let listed = state.handlers(field).iter().filter_map(|handler| handler.get("ErrorEquals")).flat_map(Node::items);
    for node in listed {
        let Some(name) = node.text().filter(|_| !node.is_open()) else { continue };
        let known = if name.starts_with("States.") {
            &STATES_ERRORS[..]
        } else if name.starts_with("Lambda.") {
            LAMBDA_ERRORS
        } else {
            continue;
        };
        if known.contains(&name) || PERMANENT.contains(&name) {
            continue;
        }
        match nearest(name, known.iter().copied().chain(PERMANENT.iter().copied())) {
            Some(meant) => {
                let message = format!("`{field}`: nothing raises `{name}`; did you mean `{meant}`?");
                report.state("unknown-error", state, node.at, message);
            }
            None if name.starts_with("States.") => {
                report.state("unknown-error", state, node.at, format!("`{field}`: nothing raises `{name}`"));
            }
            // The names of Lambda's exceptions are many, and grow.
            None => {}
        }
    }
}

fn retries(retrier: &Node) -> bool {
    retrier.get("MaxAttempts").is_none_or(|attempts| attempts.is_open())
        || retrier.number("MaxAttempts").is_some_and(|attempts| attempts > 0.0)
}

fn check_permanent(machine: &Machine<'_>, state: &State<'_>, report: &mut Report) {
    let retriers = state.handlers("Retry");
    for (at, retrier) in retriers.iter().enumerate().filter(|(_, retrier)| retries(retrier)) {
        let listed = names(retrier);
        let Some(place) = retrier.get("ErrorEquals").map(|names| names.at) else { continue };
        let given_up = retriers[..at].iter().any(|earlier| !retries(earlier));
        if let Some(broad) = listed.iter().find(|name| ["States.ALL", "States.TaskFailed"].contains(name))
            && !given_up
        {
            let message = format!("`{broad}` retries every error, those that come again included");
            report.state("retries-permanent-errors", state, place, message);
        }
        for name in listed {
            let elsewhere = || {
                let resigned = |other: &State<'_>| {
                    other.handlers("Retry").iter().any(|other| !retries(other) && names(other).contains(&name))
                };
                let mut others = machine.states().map(|(_, other)| other).filter(|other| other.at != state.at);
                others.find(|other| task::calls_the_same(state, other) && resigned(other)).map(|other| other.name)
            };
            if PERMANENT.contains(&name) {
                let message = format!("`{name}` comes again at each attempt");
                report.state("retries-permanent-errors", state, place, message);
            } else if let Some(other) = elsewhere() {
                let message = format!("`{name}` is retried here, and not in the state `{other}`");
                report.state("retries-permanent-errors", state, place, message);
            }
        }
    }
}

fn check_waits(state: &State<'_>, retrier: &Node, report: &mut Report) {
    if !retries(retrier) {
        return;
    }
    // The defaults of "Retrying after error", <https://states-language.net/#errors>.
    let interval = retrier.number("IntervalSeconds").unwrap_or(1.0);
    let attempts = retrier.number("MaxAttempts").unwrap_or(3.0);
    let rate = retrier.number("BackoffRate").unwrap_or(2.0);
    if let Some(most) = retrier.number("MaxDelaySeconds") {
        if most <= interval {
            let message = format!("`MaxDelaySeconds` is {most} and `IntervalSeconds` is {interval}");
            report.state("max-delay-below-interval", state, retrier.at, message);
        }
    } else if !retrier.has("MaxDelaySeconds") && rate > 1.0 {
        let last = interval * rate.powf(attempts - 1.0);
        if last > LONG_WAIT_SECONDS {
            let message = format!("the last of {attempts} waits is {last:.0} s");
            report.state("retry-grows-without-cap", state, retrier.at, message);
        }
    }
    if attempts >= MANY_ATTEMPTS && !retrier.has("JitterStrategy") {
        report.state("retry-without-jitter", state, retrier.at, format!("{attempts} attempts without jitter"));
    }
}

fn check_lambda(state: &State<'_>, report: &mut Report) {
    let open = state.node.get("Retry").is_some_and(Node::is_open);
    if open || !task::is_lambda(state) {
        return;
    }
    let retried = |error: &str| {
        let matching = |retrier: &&Node| names(retrier).iter().any(|name| matches(name, error));
        state.handlers("Retry").iter().find(matching).is_some_and(retries)
    };
    let missing: Vec<_> =
        LAMBDA_TRANSIENT.iter().filter(|error| !retried(error)).map(|name| format!("`{name}`")).collect();
    if !missing.is_empty() {
        let message = format!("does not retry {}", missing.join(", "));
        report.state("lambda-errors-not-retried", state, state.at, message);
    }
}
