//! The shell over a Runtime API: what a handler's end becomes for Lambda.
//!
//! Each test starts itself once more as the function's process: with a Runtime API in its environment it serves.
#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod runtime_api;

use std::{env, process::Command, time::Duration};

use runtime_api::{BUCKETS, Event, Function};
use serde::Serialize;
use serde_json::{Value, json};
use stepwell_aws::{Raised, serve};
use stepwell_pipeline::{ErrorKind, StageError, stage::StageContext};

fn is_function() -> bool {
    env::var_os("AWS_LAMBDA_RUNTIME_API").is_some()
}

/// Serves until killed, and never lets the test go on to start a process in its turn.
fn serve_only<F, T, E>(handler: impl Fn(StageContext, Value) -> F + Send + Sync + 'static) -> !
where
    F: Future<Output = Result<T, E>> + Send,
    T: Serialize + Send + 'static,
    E: Into<Raised> + Send,
{
    serve("f", handler);
    std::process::exit(1)
}

async fn endless_computation() -> Result<(), StageError> {
    loop {
        std::hint::spin_loop();
    }
}

/// This very test as a function's process.
fn function(test: &str, variables: &[(&str, &str)], events: impl IntoIterator<Item = Event>) -> Function {
    let mut command = Command::new(env::current_exe().expect("a test binary"));
    Function::start(command.args([test, "--exact", "--nocapture"]), variables, events)
}

fn event(input: Value) -> Event {
    Event::new(&json!({"execution_id": "arn:execution", "input": input}))
}

#[test]
fn a_result_is_the_response() {
    if is_function() {
        serve_only(|context: StageContext, input: Value| async move {
            Ok::<_, StageError>(json!({"lake": context.buckets.lake, "input": input}))
        });
    }
    let report = function("a_result_is_the_response", &BUCKETS, [event(json!(1))]).report();
    assert_eq!(report.path, "invocation/0/response");
    assert_eq!(report.body, json!({"lake": "lake", "input": 1}));
}

#[test]
fn a_stage_hands_on_what_the_run_used() {
    if is_function() {
        serve("extract", |context: StageContext, input: Value| async move {
            let calls = context.meter.map(|meter| meter.so_far().calls());
            Ok::<_, StageError>(json!({"calls": calls, "input": input}))
        });
        std::process::exit(1)
    }
    let stage = |name: &str| {
        json!({"stage": name, "calls": 2, "billed_ms": 100_000, "memory_mib": 64, "gb_seconds": 6.25, "requests_get": 7,
               "requests_put": 1, "requests_delete": 0, "bytes_read": 70, "bytes_written": 10})
    };
    let later = json!({"key": "k", "usage": {"stages": [stage("Extract"), stage("Transform")]}});
    let events = [event(json!({"key": "k"})), event(later), event(json!({"key": "k", "usage": "no usage"}))];
    let function = function("a_stage_hands_on_what_the_run_used", &BUCKETS, events);
    let stages = |body: &Value| body["usage"]["stages"].as_array().cloned().unwrap_or_default();

    let first = function.report().body;
    assert_eq!((&first["calls"], &first["input"]), (&json!(1), &json!({"key": "k"})));
    let [own] = &stages(&first)[..] else { panic!("one stage: {first}") };
    assert_eq!((&own["stage"], &own["calls"], &own["memory_mib"]), (&json!("Extract"), &json!(1), &json!(128)));
    assert!(own["billed_ms"].as_u64() > Some(0) && first["usage"]["cost_usd"].as_f64() > Some(0.0), "{first}");

    let second = function.report().body;
    assert_eq!((&second["calls"], &second["input"]), (&json!(5), &json!({"key": "k"})), "the stage does not see it");
    let [own, other] = &stages(&second)[..] else { panic!("two stages: {second}") };
    assert_eq!((&own["calls"], &own["requests_get"]), (&json!(3), &json!(7)));
    assert!(own["billed_ms"].as_u64() > Some(100_000) && own["gb_seconds"].as_f64() > Some(6.25), "{second}");
    assert_eq!(other, &stage("Transform"));

    let third = function.report().body;
    assert_eq!((&third["calls"], &third["input"]), (&json!(1), &json!({"key": "k"})));
}

#[test]
fn the_kind_is_the_error_type_and_the_whole_chain_the_message() {
    if is_function() {
        serve_only(|_: StageContext, _: Value| async {
            let cause = StageError::new(ErrorKind::Internal, "slow down");
            Err::<(), _>(StageError::with_source(ErrorKind::Throttled, "cannot read", cause))
        });
    }
    let test = "the_kind_is_the_error_type_and_the_whole_chain_the_message";
    let report = function(test, &BUCKETS, [event(json!({}))]).report();
    assert_eq!(report.path, "invocation/0/error");
    assert_eq!(report.body, json!({"errorType": "Throttled", "errorMessage": "cannot read: slow down"}));
}

#[test]
fn a_name_that_is_not_ours_is_raised_as_it_is() {
    if is_function() {
        serve_only(|_: StageContext, _: Value| async { Err::<(), _>(Raised::new("States.Timeout", "")) });
    }
    let report = function("a_name_that_is_not_ours_is_raised_as_it_is", &BUCKETS, [event(json!({}))]).report();
    assert_eq!(report.body, json!({"errorType": "States.Timeout", "errorMessage": ""}));
}

#[test]
fn a_panic_is_internal_and_the_next_call_is_served() {
    if is_function() {
        serve_only(|_: StageContext, input: Value| async move {
            assert!(input != json!("bad"), "cannot bear {input}");
            Ok::<_, StageError>(input)
        });
    }
    let events = [event(json!("bad")), event(json!("good"))];
    let function = function("a_panic_is_internal_and_the_next_call_is_served", &BUCKETS, events);
    let report = function.report();
    assert_eq!(report.path, "invocation/0/error");
    assert_eq!(report.body, json!({"errorType": "Internal", "errorMessage": "panicked: cannot bear \"bad\""}));
    let report = function.report();
    assert_eq!((report.path.as_str(), report.body), ("invocation/1/response", json!("good")));
}

#[test]
fn a_computation_that_outlasts_its_time_is_out_of_time() {
    if is_function() {
        serve_only(|_: StageContext, _: Value| endless_computation());
    }
    let event = event(json!({})).with_timeout(Duration::from_secs(1));
    let report = function("a_computation_that_outlasts_its_time_is_out_of_time", &BUCKETS, [event]).report();
    assert_eq!(report.path, "invocation/0/error");
    assert_eq!(report.body["errorType"], "OutOfTime");
}

#[test]
fn a_payload_of_another_shape_is_invalid_input() {
    if is_function() {
        serve_only(|_: StageContext, input: Value| async move { Ok::<_, StageError>(input) });
    }
    let event = Event::new(&json!({"bucket": "b", "key": "k"}));
    let report = function("a_payload_of_another_shape_is_invalid_input", &BUCKETS, [event]).report();
    assert_eq!(report.path, "invocation/0/error");
    assert_eq!(report.body["errorType"], "InvalidInput");
    assert!(report.body["errorMessage"].as_str().is_some_and(|text| text.contains("no `input`")), "{report:?}");
}

#[test]
fn missing_settings_are_an_initialisation_error() {
    if is_function() {
        serve_only(|_: StageContext, input: Value| async move { Ok::<_, StageError>(input) });
    }
    let function = function("missing_settings_are_an_initialisation_error", &BUCKETS[..1], [event(json!({}))]);
    let report = function.report();
    assert_eq!(report.path, "init/error");
    let message = "environment variables missing, empty or no number: WORK_BUCKET, LAKE_BUCKET";
    assert_eq!((&report.body["errorType"], &report.body["errorMessage"]), (&json!("Internal"), &json!(message)));
    assert!(!function.exit().success());
}
