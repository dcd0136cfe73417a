//! The real binary against a Runtime API.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

#[path = "../../aws/tests/runtime_api/mod.rs"]
mod runtime_api;

use std::process::Command;

use runtime_api::{BUCKETS, Event, Function};
use serde_json::json;

#[test]
fn bad_input_and_missing_settings_are_told() {
    runtime_api::assert_refuses_bad_input_and_missing_settings(
        env!("CARGO_BIN_EXE_notify"),
        &[("TOPIC_ARN", "arn:aws:sns:eu-west-1:123456789012:notices")],
        &json!({"execution_id": "arn:execution", "input": {"action": "dance"}}),
        "unknown variant `dance`",
    );
}

#[test]
fn the_error_of_a_stage_is_raised_under_its_own_name() {
    let failure = json!({
        "stage": "Load",
        "error": {"Error": "States.Timeout", "Cause": ""},
        "input": {},
        "execution": {"Id": "arn:execution", "Name": "n", "RedriveCount": 0},
    });
    let input = json!({"action": "fail", "failure": failure, "execution": failure["execution"]});
    let event = Event::new(&json!({"execution_id": "arn:execution", "input": input}));
    let variables = [&BUCKETS[..], &[("TOPIC_ARN", "arn:aws:sns:eu-west-1:123456789012:notices")]].concat();
    let function = Function::start(&mut Command::new(env!("CARGO_BIN_EXE_notify")), &variables, [event]);
    let report = function.report();
    assert_eq!(report.path, "invocation/0/error");
    assert_eq!(report.body, json!({"errorType": "States.Timeout", "errorMessage": ""}));
}
