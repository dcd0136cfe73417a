//! The real binary against a Runtime API.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

#[path = "../../aws/tests/runtime_api/mod.rs"]
mod runtime_api;

use serde_json::json;

#[test]
fn bad_input_and_missing_settings_are_told() {
    runtime_api::assert_refuses_bad_input_and_missing_settings(
        env!("CARGO_BIN_EXE_trigger"),
        &[
            ("STATE_MACHINE_ARN", "arn:aws:states:eu-west-1:123456789012:stateMachine:etl"),
            ("EVENTS_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/123456789012/events"),
            ("DEAD_EVENTS_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/123456789012/dead-events"),
        ],
        &json!({"bucket": "b", "key": "k"}),
        "neither an S3 notification",
    );
}
