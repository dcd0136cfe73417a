//! Redrives, each rule from "Restarting state machine executions with redrive in Step Functions",
//! <https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html>. No engine that can be tested
//! against has them.
#![allow(clippy::unwrap_used)]

mod scripted;

use std::{collections::BTreeMap, num::NonZeroU64};

use scripted::{Answer, World, after, cause, entered, info, outline, raises, shipped};
use serde_json::{Value, json};
use stepwell_statemachine::{Execution, RedriveError, StateMachine, Status};

#[tokio::test]
async fn each_stage_is_resumed_with_the_input_it_had() {
    let cases = [
        ("extract", "Extract", json!({ "bucket": "landing", "key": "a.csv" })),
        ("transform", "Transform", json!({ "from": "extract" })),
        ("load", "Load", json!({ "from": "transform" })),
    ];
    // Names that the state machine itself treats in a way of their own are resumed no differently.
    let errors = ["SchemaMismatch", "Lambda.TooManyRequestsException", "Throttled", "States.Timeout"];
    for (function, stage, input) in cases {
        for error in errors {
            let world = World::new().answers(function, vec![raises(error); 7]);
            let machine = shipped();
            let failed = world.run(&machine).await;
            assert_eq!((failed.status, failed.error.as_deref()), (Status::Failed, Some(error)), "{stage}");
            let again = World::new();
            let redriven = machine.redrive(failed, again.ports()).await.unwrap();
            assert_eq!(redriven.status, Status::Succeeded, "{stage} after {error}");
            assert_eq!(redriven.output, Some(json!({ "from": "load" })));
            assert_eq!(redriven.redrive_count, 1);
            let mut resumed = again.payloads(function)[0]["input"].clone();
            let left_over = resumed.as_object_mut().unwrap().remove("error");
            // Extract is resumed with the execution's own input, which may be no object.
            let expected = (stage != "Extract").then(|| json!({ "Error": error, "Cause": cause(error) }));
            assert_eq!(left_over, expected);
            assert_eq!(resumed, input, "{stage} after {error}");
            let all = ["extract", "transform", "load"];
            let at = all.iter().position(|name| *name == function).unwrap();
            let expected: Vec<&str> = ["fail"].into_iter().chain(all[at..].iter().copied()).collect();
            assert_eq!(again.called()[..expected.len()], expected, "no finished stage runs again");
        }
    }
}

#[tokio::test]
async fn a_second_failure_is_told_of_and_redriven_again() {
    let machine = shipped();
    let first = World::new().answers("transform", [raises("TransformFailed")]);
    let failed = first.run(&machine).await;

    let second = World::new().answers("load", [raises("Conflict")]);
    let failed_again = machine.redrive(failed, second.ports()).await.unwrap();
    assert_eq!(failed_again.error.as_deref(), Some("Conflict"));
    assert_eq!(failed_again.redrive_count, 1);
    let failure = &second.payloads("notify_failure")[0]["input"]["failure"];
    assert_eq!(failure["stage"], "Load");
    assert_eq!(failure["execution"]["RedriveCount"], 1);

    let third = World::new();
    let redriven = machine.redrive(failed_again, third.ports()).await.unwrap();
    assert_eq!((redriven.status, redriven.redrive_count), (Status::Succeeded, 2));
    assert_eq!(third.called(), ["fail", "load", "notify_success"]);
    assert_eq!(
        outline(&redriven),
        [
            "Extract:1:ok",
            "Transform:1:TransformFailed",
            "NotifyFailure:1:ok",
            "ProcessingFailed:1:TransformFailed",
            "end:FAILED",
            "redrive:1",
            "ProcessingFailed:1:ok",
            "Transform:1:ok",
            "Load:1:Conflict",
            "NotifyFailure:1:ok",
            "ProcessingFailed:1:Conflict",
            "end:FAILED",
            "redrive:2",
            "ProcessingFailed:1:ok",
            "Load:1:ok",
            "NotifySuccess:1:ok",
            "end:SUCCEEDED",
        ]
    );
}

/// "the retry attempt count for these states is reset to 0 to allow for the maximum number of attempts on redrive"
#[tokio::test]
async fn the_redriven_state_has_all_its_retries_again() {
    let machine = shipped();
    let world = World::new().answers("extract", vec![raises("Throttled"); 14]);
    let failed = world.run(&machine).await;
    assert_eq!(world.payloads("extract").len(), 7);
    machine.redrive(failed, world.ports()).await.unwrap();
    assert_eq!(world.payloads("extract").len(), 14);

    let busy = "Lambda.ServiceException";
    let world = World::new().answers("extract", [raises("Conflict")]).answers("fail", vec![raises(busy); 5]);
    let failed = world.run(&machine).await;
    assert_eq!((failed.error.as_deref(), world.payloads("fail").len()), (Some(busy), 3));
    let redriven = machine.redrive(failed, world.ports()).await.unwrap();
    assert_eq!((redriven.status, world.payloads("fail").len()), (Status::Succeeded, 6));
}

/// "Fail workflow state: Reenters the Fail state and fails again."
#[tokio::test]
async fn a_fail_state_fails_again() {
    let world = World::new()
        .answers("extract", [raises("SourceMissing")])
        .answers("notify_failure", [raises("Lambda.ResourceNotFoundException")]);
    let machine = shipped();
    let failed = world.run(&machine).await;
    let calls = world.called();
    let redriven = machine.redrive(failed, world.ports()).await.unwrap();
    assert_eq!((redriven.status, redriven.error.as_deref()), (Status::Failed, Some("SourceMissing")));
    assert_eq!(entered(&redriven).iter().filter(|state| **state == "Failed").count(), 2);
    assert_eq!(world.called(), calls);
}

/// "The execution status isn't SUCCEEDED", and "Succeed: Doesn't redrive state machine executions that enter the
/// Succeed state".
#[tokio::test]
async fn a_success_cannot_be_redriven() {
    let machine = shipped();
    let world = World::new();
    let done = world.run(&machine).await;
    assert_eq!(machine.redrive(done, world.ports()).await, Err(RedriveError::NotRedrivable("run-1".to_owned())));
}

#[tokio::test]
async fn an_execution_of_another_machine_cannot_be_redriven() {
    let world = World::new().answers("extract", [raises("SourceMissing")]);
    let failed = world.run(&shipped()).await;
    let other = r#"{ "StartAt": "A", "States": { "A": { "Type": "Succeed" } } }"#;
    let other = StateMachine::parse(other, &BTreeMap::new()).unwrap();
    assert_eq!(
        other.redrive(failed, world.ports()).await,
        Err(RedriveError::UnknownState("ProcessingFailed".to_owned()))
    );
}

/// "the state machine level timeout, if defined, is reset to 0", and of a task, "the `TimeoutSeconds` for the
/// state, if defined, is reset to 0".
#[tokio::test]
async fn a_timed_out_execution_goes_on_with_its_time_counted_anew() {
    let mut machine = shipped();
    machine.timeout_seconds = NonZeroU64::new(1000);
    let gives = |from: &str, seconds| after(seconds, Answer::Gives(json!({ "from": from })));
    let world = World::new()
        .answers("extract", [gives("extract", 800)])
        .answers("transform", [gives("transform", 900), gives("transform", 900)]);
    let timed_out = world.run(&machine).await;
    assert_eq!((timed_out.status, timed_out.error.as_deref()), (Status::TimedOut, Some("States.Timeout")));
    assert_eq!(timed_out.stopped_at.as_ref().unwrap().state, "Transform");
    assert!((world.elapsed() - 1000.0).abs() < 0.001);
    assert_eq!(world.called(), ["extract", "transform"], "nothing catches a timeout of the execution");

    let redriven = machine.redrive(timed_out, world.ports()).await.unwrap();
    assert_eq!(redriven.status, Status::Succeeded);
    assert_eq!(world.called(), ["extract", "transform", "transform", "load", "notify_success"]);
}

/// "Choice: Reevaluates the Choice state rules."
#[tokio::test]
async fn a_choice_is_evaluated_again() {
    let choice = r#"{ "StartAt": "A", "States": {
        "A": { "Type": "Choice", "Choices": [{ "Variable": "$.stage", "StringEquals": "b", "Next": "B" }] },
        "B": { "Type": "Succeed" } } }"#;
    let machine = StateMachine::parse(choice, &BTreeMap::new()).unwrap();
    let world = World::new();
    let failed = machine.start(info(), json!({ "stage": "c" }), world.ports()).await;
    let redriven = machine.redrive(failed, world.ports()).await.unwrap();
    assert_eq!(entered(&redriven), ["A", "A"]);
    assert_eq!((redriven.status, redriven.error.as_deref()), (Status::Failed, Some("States.Runtime")));
}

#[tokio::test]
async fn what_the_function_gives_must_name_a_stage() {
    let machine = shipped();
    let world = World::new()
        .answers("extract", [raises("SourceMissing")])
        .answers("fail", [raises("SourceMissing"), Answer::Gives(json!({ "stage": "Extrct", "input": {} }))]);
    let failed = world.run(&machine).await;
    let redriven = machine.redrive(failed, world.ports()).await.unwrap();
    assert_eq!((redriven.status, redriven.error.as_deref()), (Status::Failed, Some("Internal")));
    assert_eq!(redriven.stopped_at.unwrap().state, "NothingToResume");
}

#[tokio::test]
async fn an_execution_kept_in_a_file_is_redriven_from_it() {
    let machine = shipped();
    let world = World::new().answers("load", [raises("Throttled"), raises("Conflict")]);
    let failed = world.run(&machine).await;
    let kept = serde_json::to_string_pretty(&failed).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&kept).unwrap()["status"], "FAILED");
    let read: Execution = serde_json::from_str(&kept).unwrap();
    let redriven = machine.redrive(read, world.ports()).await.unwrap();
    assert_eq!(redriven.status, Status::Succeeded);
    assert_eq!(outline(&redriven)[..outline(&failed).len()], outline(&failed));
}
