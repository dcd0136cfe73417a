//! The rules: their names, how bad a breach is, why it matters and what to do.

use super::{Rule, Severity};

const fn error(name: &'static str, why: &'static str, remedy: &'static str) -> Rule {
    Rule { name, severity: Severity::Error, why, remedy }
}

const fn warning(name: &'static str, why: &'static str, remedy: &'static str) -> Rule {
    Rule { name, severity: Severity::Warning, why, remedy }
}

const fn hint(name: &'static str, why: &'static str, remedy: &'static str) -> Rule {
    Rule { name, severity: Severity::Hint, why, remedy }
}

/// All rules, by name.
///
/// The facts are from the Amazon States Language (<https://states-language.net>) and from the pages "Handling errors in
/// Step Functions workflows", "Best practices for Step Functions", "Restarting state machine executions with redrive",
/// "Choosing workflow type" and "Discover service integration patterns" of the Step Functions Developer Guide.
pub const RULES: &[Rule] = &[
    hint(
        "all-is-not-all",
        "`States.ALL` matches neither `States.DataLimitExceeded` (an input or output over 256 KiB) nor `States.Runtime` (such as a path that finds nothing): the execution fails past every Catch",
        "watch failed executions from outside too (an EventBridge rule on their status, an alarm), and say so by an allowance",
    ),
    warning(
        "bad-allowance",
        "an allowance without effect or reason hides from the next reader what was decided",
        "write `stepwell-lint: allow <rule>: <reason>` into the Comment of the state, or of the machine for all its states, and remove it once nothing is found",
    ),
    warning(
        "callback-without-timeout",
        "a task that waits for its token waits for up to a year if nobody sends it",
        "give the task TimeoutSeconds or HeartbeatSeconds",
    ),
    warning(
        "catch-loses-cause",
        "the error is dropped before the execution fails, so that nobody can see why it did",
        "put the error beside the input, as by `\"ResultPath\": \"$.error\"`, and name it in the Fail state by ErrorPath and CausePath",
    ),
    warning(
        "catch-loses-input",
        "without a ResultPath the error replaces the state's input, so that what handles the failure cannot tell what failed",
        "put the error beside the input, as by `\"ResultPath\": \"$.error\"`, or give the handler `$$.Execution.Input`",
    ),
    warning(
        "choice-without-default",
        "an input that no rule fits fails the execution with `States.NoChoiceMatched`, which a Choice cannot catch",
        "add Default, to a Fail state that says what was unexpected if there is nothing better",
    ),
    hint(
        "deprecated-field",
        "the field was replaced, and what is new in Step Functions comes to its successor only",
        "use the successor",
    ),
    error("duplicate-field", "of two fields with one name JSON keeps one, and the other has no effect", "remove one"),
    error(
        "duplicate-state",
        "a state's name must be unique in the whole machine, branches and processors included",
        "rename one of them",
    ),
    error("exclusive-fields", "the fields contradict each other, and the definition is refused", "keep one of them"),
    error(
        "express-pattern",
        "an Express workflow supports neither `.sync` nor `.waitForTaskToken`, and the definition is refused",
        "run the processor as STANDARD, or call without waiting",
    ),
    warning(
        "fail-loses-error",
        "the execution fails with the Fail state's own constants, and the error that led here is only in the history",
        "use ErrorPath and CausePath",
    ),
    error(
        "heartbeat-not-below-timeout",
        "the heartbeat must be shorter than the timeout, else the definition is refused",
        "lower HeartbeatSeconds",
    ),
    hint(
        "lambda-errors-not-retried",
        "Lambda itself fails now and then with `Lambda.ServiceException`, `Lambda.AWSLambdaException`, `Lambda.SdkClientException` or `Lambda.TooManyRequestsException`; a second attempt mostly succeeds",
        "retry these errors, with backoff",
    ),
    error(
        "max-delay-below-interval",
        "MaxDelaySeconds must be above IntervalSeconds: the cap would be below the first wait",
        "raise MaxDelaySeconds or lower IntervalSeconds",
    ),
    error("missing-field", "the definition is refused without the field", "add the field"),
    error(
        "missing-parameter",
        "the call is refused without the parameter: when the machine is created, else at every execution",
        "add the parameter",
    ),
    error(
        "missing-path",
        "a path that finds nothing fails the execution with `States.Runtime`, which neither Retry nor Catch can handle",
        "correct the path, or put the value there on every way into the state",
    ),
    error("next-or-end", "a state needs exactly one of Next and End", "add `Next`, or `\"End\": true`"),
    error(
        "no-end",
        "an execution that comes here never ends, until it exceeds its timeout or 25,000 events of history",
        "lead one way on to a state that ends",
    ),
    warning(
        "path-as-text",
        "without `.$` at the end of the field's name the path is passed on as a text",
        "rename the field to end in `.$`",
    ),
    error(
        "path-syntax",
        "what is no path, reference path or intrinsic function where one is needed is refused",
        "write a path such as `$.field`, or an intrinsic function such as `States.Format('{}', $.field)`",
    ),
    warning(
        "redrive-trap",
        "a redrive goes on at the state that failed, and that is the Fail state: it fails again, and the work can only be done by a new execution from the start",
        "end failures in a state that can do something else when redriven: no Catch at all, a Task that raises the error, or a Choice that leads back",
    ),
    warning(
        "retries-permanent-errors",
        "an error that comes again whenever the work is repeated costs all attempts and their waits before anybody hears of it",
        "put a retrier with the permanent errors and `\"MaxAttempts\": 0` first, or name only transient errors",
    ),
    hint(
        "retry-grows-without-cap",
        "each wait is longer than the one before, and the last ones are out of proportion",
        "add MaxDelaySeconds",
    ),
    hint(
        "retry-without-jitter",
        "executions that were throttled together come back together, at each attempt",
        "add `\"JitterStrategy\": \"FULL\"`",
    ),
    error(
        "shadowed-error",
        "handlers are tried in order, so that this one never sees the error",
        "put the narrower handler first, or remove it",
    ),
    error(
        "states-all-not-last",
        "`States.ALL` must stand alone in its ErrorEquals and in the last handler, else the definition is refused",
        "give it a handler of its own, at the end",
    ),
    error("syntax", "the definition is no JSON", "correct the text"),
    warning(
        "task-without-timeout",
        "without a timeout a task that hangs keeps the execution for up to a year",
        "add TimeoutSeconds to the task, or to the machine",
    ),
    error(
        "token-not-passed",
        "nobody can send the token back that nobody was given: the task waits until it times out",
        "pass `$$.Task.Token` (JSONata: `$states.context.Task.Token`) in the parameters",
    ),
    error("unknown-context-field", "the context object has no such field", "correct the path"),
    warning(
        "unknown-error",
        "an error name that nothing raises never matches, and what it was meant for goes unhandled",
        "correct the name",
    ),
    error("unknown-field", "the definition is refused, or the field has no effect", "correct or remove the field"),
    error("unknown-function", "there is no such intrinsic function, and the definition is refused", "correct the name"),
    error(
        "unknown-integration",
        "the service integration knows no such call or pattern, and the definition is refused",
        "correct the resource",
    ),
    error("unknown-state", "the definition is refused", "correct the name, or add the state"),
    error(
        "unknown-variable",
        "a variable that no state assigns fails the execution",
        "assign it before, or correct it",
    ),
    error(
        "unreachable-state",
        "no way leads to the state, and the definition is refused",
        "lead a way to it, or remove it",
    ),
    error("wrong-value", "the definition is refused", "correct the value"),
];

/// The rule of that name.
pub(super) fn rule(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}
