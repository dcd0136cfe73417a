//! Definitions that the interpreter refuses, each with what it says.
#![allow(clippy::unwrap_used)]

mod scripted;

use std::collections::BTreeMap;

use scripted::functions;
use serde_json::{Value, json};
use stepwell_statemachine::{ETL, StateMachine, substitute};

fn refusal(definition: &str) -> String {
    StateMachine::parse(definition, &BTreeMap::new()).unwrap_err().to_string()
}

/// A machine of one task, into which the fields are put; `null` takes a field away.
fn with_task(fields: Value) -> String {
    let mut task = json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": { "FunctionName": "f", "Payload": {} },
        "End": true,
    });
    for (name, value) in fields.as_object().unwrap() {
        task[name] = value.clone();
    }
    task.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    json!({ "StartAt": "A", "States": { "A": task, "B": { "Type": "Succeed" } } }).to_string()
}

fn with_states(states: Value) -> String {
    json!({ "StartAt": "A", "States": states }).to_string()
}

#[test]
fn tasks() {
    let parameters = |payload: Value| json!({ "Parameters": { "FunctionName": "f", "Payload": payload } });
    let retry = |retrier: Value| json!({ "Retry": [retrier] });
    let cases = [
        (json!({ "HeartbeatSeconds": 5 }), "unknown field `HeartbeatSeconds`"),
        (json!({ "ResultSelector": {} }), "unknown field `ResultSelector`"),
        (json!({ "Assign": {} }), "unknown field `Assign`"),
        (json!({ "QueryLanguage": "JSONata" }), "unknown field `QueryLanguage`"),
        (json!({ "TimeoutSecondsPath": "$.t" }), "unknown field `TimeoutSecondsPath`"),
        (json!({ "Resource": "arn:aws:states:::sns:publish" }), "unknown variant `arn:aws:states:::sns:publish`"),
        (json!({ "Parameters": null }), "missing field `Parameters`"),
        (json!({ "Parameters": { "FunctionName": "f" } }), "missing field `Payload`"),
        (
            json!({ "Parameters": { "FunctionName": "f", "Payload": {}, "Qualifier": "1" } }),
            "unknown field `Qualifier`",
        ),
        (parameters(json!({ "a.$": "$.b[0]" })), "`$.b[0]` is not a path"),
        (parameters(json!({ "a.$": "$['b']" })), "`$['b']` is not a path"),
        (parameters(json!({ "a.$": "$..b" })), "`$..b` is not a path"),
        (parameters(json!({ "a.$": "$.*" })), "`$.*` is not a path"),
        (parameters(json!({ "a.$": "$b" })), "`$b` is not a path"),
        (parameters(json!({ "a.$": "States.UUID()" })), "the intrinsic function `States.UUID()` is not implemented"),
        (parameters(json!({ "deep": [{ "a.$": 1 }] })), "`a.$` must be a path, not `1`"),
        (parameters(json!({ "a": 1, "a.$": "$.b" })), "`a` and `a.$` name the same field"),
        (json!({ "InputPath": "a" }), "`a` is not a path"),
        (json!({ "ResultPath": "$$.State" }), "`$$.State` would write into the context object"),
        (json!({ "TimeoutSeconds": 0 }), "invalid value: integer `0`"),
        (json!({ "TimeoutSeconds": 100_000_000 }), "`TimeoutSeconds` is over 99999999"),
        (json!({ "End": null }), "needs either `Next` or `\"End\": true`"),
        (json!({ "Next": "B" }), "needs either `Next` or `\"End\": true`"),
        (json!({ "End": null, "Next": "C" }), "goes on to the state `C`, which does not exist"),
        (json!({ "Catch": [{ "ErrorEquals": ["E"], "Next": "C" }] }), "goes on to the state `C`"),
        (json!({ "Catch": [{ "ErrorEquals": ["E"], "Next": "B", "Output": 1 }] }), "unknown field `Output`"),
        (retry(json!({ "ErrorEquals": [] })), "`Retry`: an `ErrorEquals` is empty"),
        (retry(json!({ "ErrorEquals": ["E"], "Comment": "x" })), "unknown field `Comment`"),
        (retry(json!({ "ErrorEquals": ["E"], "IntervalSeconds": 0 })), "invalid value: integer `0`"),
        (retry(json!({ "ErrorEquals": ["E"], "MaxAttempts": -1 })), "invalid value: integer `-1`"),
        (retry(json!({ "ErrorEquals": ["E"], "MaxAttempts": 100_000_000 })), "`MaxAttempts` is over 99999999"),
        (retry(json!({ "ErrorEquals": ["E"], "BackoffRate": 0.5 })), "`BackoffRate` is under 1.0"),
        (retry(json!({ "ErrorEquals": ["E"], "JitterStrategy": "SOME" })), "unknown variant `SOME`"),
        (
            retry(json!({ "ErrorEquals": ["E"], "IntervalSeconds": 9, "MaxDelaySeconds": 9 })),
            "`MaxDelaySeconds` is not above `IntervalSeconds`",
        ),
        (retry(json!({ "ErrorEquals": ["States.ALL", "E"] })), "`States.ALL` must stand alone and last"),
        (retry(json!({ "ErrorEquals": ["States.Runtime"] })), "`States.Runtime` cannot be matched here"),
        (
            json!({ "Retry": [{ "ErrorEquals": ["States.ALL"] }, { "ErrorEquals": ["E"] }] }),
            "`Retry`: `States.ALL` must stand alone and last",
        ),
        (json!({ "Retry": [{ "ErrorEquals": ["E"] }, { "ErrorEquals": ["F", "E"] }] }), "`Retry`: `E` is named twice"),
    ];
    for (fields, message) in cases {
        let refusal = refusal(&with_task(fields.clone()));
        assert!(refusal.starts_with("state `A`: "), "{fields}: {refusal}");
        assert!(refusal.contains(message), "{fields}: {refusal}");
    }
}

#[test]
fn states_and_machines() {
    let end = json!({ "Type": "Succeed" });
    let choice = |rule: Value| with_states(json!({ "A": { "Type": "Choice", "Choices": [rule] }, "B": end }));
    let cases = [
        (with_states(json!({ "A": { "Type": "Wait", "Seconds": 1 } })), "state `A`: unknown variant `Wait`"),
        (with_states(json!({ "A": { "Type": "Parallel" } })), "state `A`: unknown variant `Parallel`"),
        (with_states(json!({ "A": {} })), "state `A`: missing field `Type`"),
        (with_states(json!({ "A": { "Type": "Pass", "End": false } })), "state `A`: needs either"),
        (with_states(json!({ "A": { "Type": "Pass", "Retry": [], "End": true } })), "state `A`: unknown field `Retry`"),
        (with_states(json!({ "A": { "Type": "Succeed", "Output": 1 } })), "state `A`: unknown field `Output`"),
        (
            with_states(json!({ "A": { "Type": "Fail", "Error": "E", "ErrorPath": "$.e" } })),
            "state `A`: `Error` and `ErrorPath` exclude each other",
        ),
        (
            with_states(json!({ "A": { "Type": "Fail", "Cause": "c", "CausePath": "$.c" } })),
            "state `A`: `Cause` and `CausePath` exclude each other",
        ),
        (with_states(json!({ "A": { "Type": "Fail", "OutputPath": "$" } })), "state `A`: unknown field `OutputPath`"),
        (with_states(json!({ "A": { "Type": "Choice", "Choices": [] } })), "state `A`: `Choices` is empty"),
        (
            choice(json!({ "Variable": "$.a", "NumericEquals": 1, "Next": "B" })),
            "state `A`: unknown field `NumericEquals`",
        ),
        (choice(json!({ "And": [], "Next": "B" })), "state `A`: a rule needs either `Variable` or a filled `And`"),
        (choice(json!({ "Or": [], "Next": "B" })), "state `A`: unknown field `Or`"),
        (
            choice(json!({ "Variable": "$.a", "StringEquals": "x", "IsPresent": true, "Next": "B" })),
            "state `A`: a comparison needs one of",
        ),
        (choice(json!({ "Variable": "$.a", "StringEquals": "x" })), "state `A`: missing field `Next`"),
        (
            choice(json!({ "Variable": "$.a", "StringEquals": "x", "Next": "C" })),
            "state `A`: goes on to the state `C`, which does not exist",
        ),
        (with_states(json!({ "A": end, "B": end })), "state `B`: cannot be reached"),
        (
            with_states(json!({ "A": { "Type": "Pass", "Next": "B" }, "B": { "Type": "Pass", "Next": "A" } })),
            "state `A`: leads to no end",
        ),
        (
            with_states(json!({ "A": { "Type": "Pass", "Next": "n".repeat(81) }, "n".repeat(81): end })),
            "the name has more than 80 characters",
        ),
        (with_states(json!({ "B": end })), "the state machine: `StartAt` names the state `A`, which does not exist"),
        (
            json!({ "StartAt": "A", "QueryLanguage": "JSONata", "States": { "A": end } }).to_string(),
            "the state machine: unknown field `QueryLanguage`",
        ),
        (
            json!({ "StartAt": "A", "TimeoutSeconds": 100_000_000, "States": { "A": end } }).to_string(),
            "the state machine: `TimeoutSeconds` is over 99999999",
        ),
        (r#"{ "StartAt": "A", "States": { "A": {}, "A": {} } }"#.to_owned(), "the field `A` is there twice at line 1"),
        ("{".to_owned(), "cannot read the definition: EOF"),
    ];
    for (definition, message) in cases {
        let refusal = refusal(&definition);
        assert!(refusal.contains(message), "{definition}: {refusal}");
    }
}

#[test]
fn placeholders_and_values_match_one_to_one() {
    let mut values = functions();
    values.insert("Other".to_owned(), "x".to_owned());
    let error = substitute(ETL, &values).unwrap_err();
    assert_eq!(error.to_string(), "the definition has no placeholder `${Other}`");
    let mut values = functions();
    values.remove("LoadFunctionArn");
    let error = substitute(ETL, &values).unwrap_err();
    assert_eq!(error.to_string(), "no value is given for the placeholder `${LoadFunctionArn}`");
    let error = substitute("\"${Load\nFunctionArn", &BTreeMap::new()).unwrap_err();
    assert_eq!(error.to_string(), "a placeholder is not closed: `${Load`");
}

#[test]
fn values_are_escaped() {
    let values = BTreeMap::from([("Name".to_owned(), "a\"b\\c".to_owned())]);
    let text = substitute(r#"["${Name}", "${Name}!"]"#, &values).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!(["a\"b\\c", "a\"b\\c!"]));
}
