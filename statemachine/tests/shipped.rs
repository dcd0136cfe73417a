//! The shipped definition, run with functions that do as each test says.
#![allow(clippy::unwrap_used)]

mod scripted;

use scripted::{Answer, World, after, cause, delays, entered, outline, raises, shipped};
use serde_json::{Value, json};
use stepwell_statemachine::Status;

#[tokio::test]
async fn each_stage_is_given_what_the_one_before_gave() {
    let world = World::new();
    let execution = world.run(&shipped()).await;
    assert_eq!(execution.status, Status::Succeeded);
    assert_eq!(execution.output, Some(json!({ "from": "load" })));
    let id = "arn:execution:etl:run-1";
    let given = |who: &str| world.payloads(who);
    assert_eq!(given("extract"), [json!({ "execution_id": id, "input": { "bucket": "landing", "key": "a.csv" } })]);
    assert_eq!(given("transform"), [json!({ "execution_id": id, "input": { "from": "extract" } })]);
    assert_eq!(given("load"), [json!({ "execution_id": id, "input": { "from": "transform" } })]);
    let notice = json!({ "action": "notify_success", "loaded": { "from": "load" } });
    assert_eq!(given("notify_success"), [json!({ "execution_id": id, "input": notice })]);
    assert_eq!(
        outline(&execution),
        ["Extract:1:ok", "Transform:1:ok", "Load:1:ok", "NotifySuccess:1:ok", "end:SUCCEEDED"]
    );
}

#[tokio::test]
async fn a_transient_fault_is_retried_until_it_is_over() {
    for error in ["Throttled", "StoreUnavailable", "Lambda.TooManyRequestsException"] {
        let world = World::new().answers("transform", [raises(error), raises(error)]);
        let execution = world.run(&shipped()).await;
        assert_eq!(
            outline(&execution)[1..4],
            [format!("Transform:1:{error}"), format!("Transform:2:{error}"), "Transform:3:ok".to_owned()]
        );
        assert_eq!(execution.status, Status::Succeeded, "{error}");
    }
}

/// "Retrying after an error", `JitterStrategy`,
/// <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>.
#[tokio::test]
async fn retries_end_after_waits_that_grow_up_to_a_cap_and_are_drawn_in_full() {
    let bounds = [2.0, 4.0, 8.0, 16.0, 32.0, 60.0];
    let mut longest = [0.0_f64; 6];
    let mut shortest = [f64::MAX; 6];
    for seed in 0..200 {
        let mut world = World::new().answers("extract", vec![raises("Throttled"); 7]);
        world.seed = seed;
        let execution = world.run(&shipped()).await;
        let delays = delays(&execution);
        assert_eq!(delays.len(), bounds.len());
        assert!((world.elapsed() - delays.iter().sum::<f64>()).abs() < 0.001, "the clock has moved by the waits");
        for (at, delay) in delays.into_iter().enumerate() {
            assert!((0.0..=bounds[at]).contains(&delay), "seed {seed}, wait {at}: {delay}");
            longest[at] = longest[at].max(delay);
            shortest[at] = shortest[at].min(delay);
        }
        assert_eq!(world.payloads("extract").len(), 7);
        assert_eq!((execution.status, execution.error.as_deref()), (Status::Failed, Some("Throttled")));
    }
    for (at, bound) in bounds.into_iter().enumerate() {
        assert!(longest[at] > 0.9 * bound && shortest[at] < 0.1 * bound, "wait {at}");
    }
}

#[tokio::test]
async fn what_is_not_retried_or_less_so() {
    let cases = [
        ("InvalidInput", 1),
        ("Internal", 1),
        ("SomethingElse", 1),
        ("Lambda.ResourceNotFoundException", 1),
        ("Runtime.ExitError", 3),
        ("Lambda.Unknown", 3),
        ("OutOfTime", 7),
    ];
    for (error, attempts) in cases {
        let world = World::new().answers("load", vec![raises(error); 10]);
        let execution = world.run(&shipped()).await;
        assert_eq!(world.payloads("load").len(), attempts, "{error}");
        assert_eq!(execution.error.as_deref(), Some(error));
    }
}

#[tokio::test]
async fn a_failed_stage_is_told_of_and_its_error_is_the_execution_s() {
    let cases = [
        ("extract", "Extract", json!({ "bucket": "landing", "key": "a.csv" })),
        ("transform", "Transform", json!({ "from": "extract" })),
        ("load", "Load", json!({ "from": "transform" })),
    ];
    for (function, stage, mut input) in cases {
        let world = World::new().answers(function, [raises("SchemaMismatch")]);
        let execution = world.run(&shipped()).await;
        let error = json!({ "Error": "SchemaMismatch", "Cause": cause("SchemaMismatch") });
        if stage != "Extract" {
            input["error"] = error.clone();
        }
        let told = world.payloads("notify_failure").remove(0);
        assert_eq!(told["execution_id"], "arn:execution:etl:run-1");
        let failure = &told["input"]["failure"];
        assert_eq!(failure["stage"], stage);
        assert_eq!(failure["error"], error);
        assert_eq!(failure["input"], input);
        assert_eq!(failure["execution"]["Id"], "arn:execution:etl:run-1");
        assert_eq!(failure["execution"]["RedriveCount"], 0);
        assert_eq!(world.payloads("fail")[0]["input"]["failure"], *failure);
        assert_eq!(execution.status, Status::Failed);
        assert_eq!(execution.error.as_deref(), Some("SchemaMismatch"));
        assert_eq!(execution.cause, Some(cause("SchemaMismatch")));
        assert_eq!(execution.stopped_at.as_ref().unwrap().state, "ProcessingFailed");
        let caught = format!("{stage}Failed");
        let states = entered(&execution);
        assert_eq!(states[states.len() - 3..], [caught.as_str(), "NotifyFailure", "ProcessingFailed"]);
    }
}

#[tokio::test]
async fn the_stage_s_error_remains_whatever_becomes_of_the_notice() {
    // What the notify function does on the notice of the failure; the state that the execution then ends in.
    let cases = [
        ("AccessDenied", 1, "ProcessingFailed"),
        ("TargetUnavailable", 7, "ProcessingFailed"),
        ("Sandbox.Timedout", 3, "ProcessingFailed"),
        ("Lambda.ResourceNotFoundException", 1, "Failed"),
        ("Lambda.TooManyRequestsException", 7, "Failed"),
        ("Runtime.ExitError", 3, "Failed"),
    ];
    for (error, attempts, last) in cases {
        let world = World::new()
            .answers("extract", [raises("SourceMissing")])
            .answers("notify_failure", vec![raises(error); 10]);
        let execution = world.run(&shipped()).await;
        assert_eq!(world.payloads("notify_failure").len(), attempts, "{error}");
        assert_eq!(execution.error.as_deref(), Some("SourceMissing"), "{error}");
        assert_eq!(execution.cause, Some(cause("SourceMissing")), "{error}");
        assert_eq!(execution.stopped_at.unwrap().state, last, "{error}");
    }
}

#[tokio::test]
async fn a_failed_notice_of_success_leaves_the_run_succeeded() {
    for error in ["AccessDenied", "TargetUnavailable", "Lambda.ResourceNotFoundException", "Runtime.ExitError"] {
        let world = World::new().answers("notify_success", vec![raises(error); 10]);
        let execution = world.run(&shipped()).await;
        assert_eq!(execution.status, Status::Succeeded, "{error}");
        assert_eq!(execution.output, Some(json!({ "from": "load" })), "{error}");
        assert_eq!(entered(&execution).last(), Some(&"SuccessNoticeFailed"));
    }
}

#[tokio::test]
async fn a_stage_that_hangs_is_tried_three_times_and_fails_by_its_timeout() {
    let world = World::new().answers("extract", vec![after(5000, Answer::Gives(Value::Null)); 3]);
    let execution = world.run(&shipped()).await;
    assert_eq!(
        outline(&execution)[..3],
        ["Extract:1:States.Timeout", "Extract:2:States.Timeout", "Extract:3:States.Timeout"]
    );
    assert_eq!(execution.error.as_deref(), Some("States.Timeout"));
    let waited: f64 = delays(&execution).iter().sum();
    assert!((world.elapsed() - 3.0 * 910.0 - waited).abs() < 0.001, "each attempt was given up after 910 s");
}

#[tokio::test]
async fn a_stage_that_takes_nearly_its_time_is_waited_for() {
    let world = World::new().answers("extract", [after(900, Answer::Gives(json!({ "from": "extract" })))]);
    assert_eq!(world.run(&shipped()).await.status, Status::Succeeded);
}

#[tokio::test]
async fn an_input_that_is_no_object_fails_as_any_other_and_is_told() {
    let world = World::new().answers("extract", [raises("InvalidInput")]);
    let execution = shipped().start(scripted::info(), json!("landing/a.csv"), world.ports()).await;
    assert_eq!((execution.status, execution.error.as_deref()), (Status::Failed, Some("InvalidInput")));
    let told = &world.payloads("notify_failure")[0]["input"]["failure"];
    assert_eq!((&told["input"], &told["error"]["Error"]), (&json!("landing/a.csv"), &json!("InvalidInput")));
}

#[tokio::test]
async fn a_stage_that_has_more_to_do_is_called_again_with_what_it_gave() {
    let more = |round: u64| Answer::Gives(json!({ "bucket": "landing", "key": "a.csv", "round": round, "more": true }));
    let done = Answer::Gives(json!({ "from": "extract", "more": false }));
    let world = World::new()
        .answers("extract", [more(1), raises("Throttled"), more(2), done])
        .answers("transform", [Answer::Gives(json!({ "from": "extract", "more": true }))]);
    let execution = world.run(&shipped()).await;
    assert_eq!(execution.status, Status::Succeeded);
    let inputs =
        |who: &str| world.payloads(who).into_iter().map(|payload| payload["input"].clone()).collect::<Vec<_>>();
    let extract = inputs("extract");
    assert_eq!(extract.len(), 4);
    assert_eq!(extract[1]["round"], 1);
    assert_eq!(extract[1], extract[2], "a retry is given the same");
    assert_eq!(extract[3]["round"], 2);
    assert_eq!(inputs("transform").len(), 2);
    assert_eq!(inputs("load"), [json!({ "from": "transform" })]);
    assert_eq!(
        outline(&execution),
        [
            "Extract:1:ok",
            "Extract:1:Throttled",
            "Extract:2:ok",
            "Extract:1:ok",
            "Transform:1:ok",
            "Transform:1:ok",
            "Load:1:ok",
            "NotifySuccess:1:ok",
            "end:SUCCEEDED"
        ]
    );
}
