//! What tasks call: integrations, what they need, and how long they may take.

use super::{
    Report,
    document::Node,
    machine::{Language, Machine, Place, State, StateType},
    meant,
};

/// How a service integration waits.
const PATTERNS: [&str; 3] = ["sync", "sync:2", "waitForTaskToken"];

/// An optimised integration: its parameters that must be there (any one of a group) and its patterns.
struct Integration {
    call: &'static str,
    needed: &'static [&'static [&'static str]],
    patterns: &'static [&'static str],
}

const fn integration(
    call: &'static str,
    needed: &'static [&'static [&'static str]],
    patterns: &'static [&'static str],
) -> Integration {
    Integration { call, needed, patterns }
}

const SYNC: &[&str] = &["sync"];
const TOKEN: &[&str] = &["waitForTaskToken"];
const BOTH: &[&str] = &["sync", "waitForTaskToken"];

/// "Integrating services with Step Functions", Step Functions Developer Guide, and the API references it links to.
const INTEGRATIONS: &[Integration] = &[
    integration("athena:startQueryExecution", &[&["QueryString"]], SYNC),
    integration("batch:submitJob", &[&["JobName"], &["JobQueue"], &["JobDefinition"]], BOTH),
    integration("codebuild:startBuild", &[&["ProjectName"]], SYNC),
    integration("dynamodb:deleteItem", &[&["TableName"], &["Key"]], &[]),
    integration("dynamodb:getItem", &[&["TableName"], &["Key"]], &[]),
    integration("dynamodb:putItem", &[&["TableName"], &["Item"]], &[]),
    integration("dynamodb:updateItem", &[&["TableName"], &["Key"]], &[]),
    integration("ecs:runTask", &[&["TaskDefinition"]], BOTH),
    integration("events:putEvents", &[&["Entries"]], TOKEN),
    integration("glue:startJobRun", &[&["JobName"]], SYNC),
    integration("http:invoke", &[&["ApiEndpoint"], &["Method"], &["Authentication", "InvocationConfig"]], &[]),
    integration("lambda:invoke", &[&["FunctionName"]], TOKEN),
    integration("sns:publish", &[&["TopicArn", "TargetArn", "PhoneNumber"], &["Message"]], TOKEN),
    integration("sqs:sendMessage", &[&["QueueUrl"], &["MessageBody"]], TOKEN),
    integration("states:startExecution", &[&["StateMachineArn"]], &["sync", "sync:2", "waitForTaskToken"]),
];

/// The integration that a task calls, as `service:action`, and its pattern.
pub(super) fn call<'a>(state: &State<'a>) -> Option<(&'a str, Option<&'a str>)> {
    let resource = state.node.fixed("Resource").filter(|_| state.is(StateType::Task))?;
    let (arn, call) = resource.split_once(":::")?;
    if !arn.starts_with("arn:") || !arn.ends_with(":states") {
        return None;
    }
    Some(call.split_once('.').map_or((call, None), |(call, pattern)| (call, Some(pattern))))
}

/// Whether the task invokes a Lambda function, in either way.
pub(super) fn is_lambda(state: &State<'_>) -> bool {
    let resource = state.node.get("Resource").and_then(Node::text);
    let direct = resource.is_some_and(|resource| resource.split(':').nth(2) == Some("lambda"));
    state.is(StateType::Task) && (direct || call(state).is_some_and(|(call, _)| call == "lambda:invoke"))
}

/// Whether two tasks call the same function, or the same integration that is no function.
pub(super) fn calls_the_same(one: &State<'_>, other: &State<'_>) -> bool {
    let called = |state: &State<'_>| {
        let function = parameters(state).and_then(|given| given.get("FunctionName")).and_then(Node::text);
        let resource = state.node.get("Resource").and_then(Node::text);
        resource.map(|resource| (resource.to_owned(), function.map(str::to_owned)))
    };
    called(one).is_some() && called(one) == called(other)
}

/// What the integration is given.
fn parameters<'a>(state: &State<'a>) -> Option<&'a Node> {
    state.node.get(match state.language {
        Language::JsonPath => "Parameters",
        Language::Jsonata => "Arguments",
    })
}

pub(super) fn check(machine: &Machine<'_>, report: &mut Report) {
    let bounded = machine.root.has("TimeoutSeconds");
    for (at, state) in machine.states().filter(|(_, state)| state.is(StateType::Task)) {
        let called = call(state);
        let callback = called.is_some_and(|(_, pattern)| pattern == Some("waitForTaskToken"));
        let waits = ["TimeoutSeconds", "TimeoutSecondsPath", "HeartbeatSeconds", "HeartbeatSecondsPath"];
        let own = waits.iter().any(|name| state.node.has(name));
        // The limit of a machine bounds its execution; children of a Distributed Map are executions of their own.
        let inside = machine.scopes[at].place == Place::Processor && machine.scopes[at].node.has("ProcessorConfig");
        if !own && callback {
            report.state("callback-without-timeout", state, state.at, "waits for its token without a timeout");
        } else if !own && !machine.scopes[at].express && (!bounded || inside) {
            report.state("task-without-timeout", state, state.at, "neither the task nor the machine has a timeout");
        }
        let Some((call, pattern)) = called else { continue };
        check_call(state, call, pattern, report);
        check_parameters(state, call, report);
        if callback && !passes_token(state) {
            report.state("token-not-passed", state, state.at, "waits for a token that it passes to nobody");
        }
        if machine.scopes[at].express
            && let Some(pattern) = pattern.filter(|pattern| PATTERNS.contains(pattern))
        {
            let message = format!("waits by `.{pattern}` in an Express workflow");
            report.state("express-pattern", state, state.at, message);
        }
    }
}

fn check_call(state: &State<'_>, call: &str, pattern: Option<&str>, report: &mut Report) {
    let at = state.node.get("Resource").map_or(state.at, |resource| resource.at);
    if let Some(pattern) = pattern.filter(|pattern| !PATTERNS.contains(pattern)) {
        let message = format!("there is no pattern `.{pattern}`{}", meant(pattern, PATTERNS));
        report.state("unknown-integration", state, at, message);
        return;
    }
    let (service, _) = call.split_once(':').unwrap_or((call, ""));
    let of_service = || {
        INTEGRATIONS.iter().filter(move |known| known.call.split_once(':').is_some_and(|(other, _)| other == service))
    };
    // Services with calls beyond the table, and new ones, are taken as they are.
    if ["lambda", "sns", "sqs", "states", "dynamodb"].contains(&service) && of_service().all(|known| known.call != call)
    {
        let known: Vec<_> = of_service().map(|known| known.call).collect();
        let message = format!("`{call}` is no optimised integration of {service}; those are {}", known.join(", "));
        report.state("unknown-integration", state, at, message);
        report.with_remedy(format!("correct the resource, or call the SDK by `arn:aws:states:::aws-sdk:{call}`"));
    }
    if let (Some(known), Some(pattern)) = (INTEGRATIONS.iter().find(|known| known.call == call), pattern)
        && !known.patterns.contains(&pattern)
    {
        report.state("unknown-integration", state, at, format!("`{call}` does not support `.{pattern}`"));
    }
}

fn check_parameters(state: &State<'_>, call: &str, report: &mut Report) {
    let Some(known) = INTEGRATIONS.iter().find(|known| known.call == call) else { return };
    let given = parameters(state);
    if given.is_some_and(|given| given.is_open() || given.text().is_some()) {
        return;
    }
    let has = |name: &str| {
        given.is_some_and(|given| given.fields().iter().any(|field| field.name.trim_end_matches(".$") == name))
    };
    for group in known.needed.iter().filter(|group| !group.iter().any(|name| has(name))) {
        let names = group.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
        let names_given = given.map(Node::fields).unwrap_or_default().iter().map(|field| field.name.as_str());
        let near = super::nearest(group[0], names_given);
        let hint = near.map_or_else(String::new, |name| format!(" (is it `{name}`?)"));
        let at = given.map_or(state.at, |given| given.at);
        report.state("missing-parameter", state, at, format!("`{call}` needs {names}{hint}"));
    }
}

fn passes_token(state: &State<'_>) -> bool {
    let Some(given) = parameters(state) else { return false };
    let context = ["$$.Task", "$$"];
    let mut passed = given.is_open();
    given.each_text(&mut |text| {
        passed |= context.contains(&text)
            || ["Task.Token", "['Token']", "$states.context"].iter().any(|part| text.contains(part));
    });
    passed
}
