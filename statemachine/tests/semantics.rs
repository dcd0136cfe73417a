//! The language, rule by rule: "Amazon States Language", <https://states-language.net>, and "Handling errors in
//! Step Functions workflows", <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>.
#![allow(clippy::unwrap_used)]

mod scripted;

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use scripted::{Answer, World, after, cause, delays, entered, info, outline, raises};
use serde_json::{Value, json};
use stepwell_statemachine::{
    Clock, Execution, Observer, Ports, StateMachine, Status, SystemClock, TraceEvent, interpreter::PAYLOAD_LIMIT,
};

fn machine(states: Value) -> StateMachine {
    let definition = json!({ "StartAt": "A", "TimeoutSeconds": 100, "States": states });
    StateMachine::parse(&definition.to_string(), &BTreeMap::new()).unwrap()
}

/// A task with the fields, which invokes the function `f` with its whole input.
fn task(fields: Value) -> Value {
    let mut task = json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": { "FunctionName": "f", "Payload": { "given.$": "$" } },
    });
    task.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    if task.get("Next").is_none() {
        task["End"] = json!(true);
    }
    task
}

async fn run(world: &World, states: Value, input: Value) -> Execution {
    machine(states).start(info(), input, world.ports()).await
}

/// "Input and Output Processing with JSONPath", <https://states-language.net>.
#[tokio::test]
async fn input_and_output_processing() {
    let result = json!({ "ExecutedVersion": "$LATEST", "Payload": "R", "StatusCode": 200 });
    let pass = |mut fields: Value| {
        fields["Type"] = json!("Pass");
        fields["End"] = json!(true);
        fields
    };
    let x = json!({ "x": { "y": 1 }, "z": "s" });
    let cases = [
        (task(json!({})), x.clone(), Ok(result.clone())),
        (task(json!({ "OutputPath": "$.Payload" })), x.clone(), Ok(json!("R"))),
        (task(json!({ "OutputPath": null })), x.clone(), Ok(json!({}))),
        (task(json!({ "OutputPath": "$.none" })), x.clone(), Err("States.Runtime")),
        (task(json!({ "OutputPath": "$$.State.Name" })), x.clone(), Ok(json!("A"))),
        (task(json!({ "ResultPath": null })), x.clone(), Ok(x.clone())),
        (task(json!({ "ResultPath": "$.z" })), x.clone(), Ok(json!({ "x": { "y": 1 }, "z": result }))),
        (
            task(json!({ "ResultPath": "$.x.a.b" })),
            x.clone(),
            Ok(json!({ "x": { "y": 1, "a": { "b": result } }, "z": "s" })),
        ),
        (task(json!({ "ResultPath": "$.z.a" })), x.clone(), Err("States.ResultPathMatchFailure")),
        (task(json!({ "ResultPath": "$.x" })), json!("foo"), Err("States.ResultPathMatchFailure")),
        (task(json!({ "ResultPath": "$.r", "OutputPath": "$.r.StatusCode" })), json!({}), Ok(json!(200))),
        (task(json!({ "InputPath": "$.none" })), x.clone(), Err("States.Runtime")),
        // ResultPath refers to the raw input, whatever InputPath took of it.
        (
            task(json!({ "InputPath": "$.x", "ResultPath": "$.r", "OutputPath": "$.x" })),
            x.clone(),
            Ok(json!({ "y": 1 })),
        ),
        (pass(json!({})), x.clone(), Ok(x.clone())),
        (pass(json!({ "InputPath": null })), x.clone(), Ok(json!({}))),
        (pass(json!({ "InputPath": "$.x" })), x.clone(), Ok(json!({ "y": 1 }))),
        (pass(json!({ "Result": null })), x.clone(), Ok(Value::Null)),
        (
            pass(json!({ "Result": [1], "ResultPath": "$.r" })),
            x.clone(),
            Ok(json!({ "x": { "y": 1 }, "z": "s", "r": [1] })),
        ),
        (
            pass(
                json!({ "Parameters": { "a": { "b.$": "$.x.y" }, "c": [{ "d.$": "$.z" }, 7], "e.$": "$$.State.Name" } }),
            ),
            x.clone(),
            Ok(json!({ "a": { "b": 1 }, "c": [{ "d": "s" }, 7], "e": "A" })),
        ),
        (pass(json!({ "Parameters": { "a.$": "$.none" } })), x.clone(), Err("States.Runtime")),
        (pass(json!({ "Parameters": { "a.$": "$.z.deeper" } })), x.clone(), Err("States.Runtime")),
        (json!({ "Type": "Succeed", "InputPath": "$.x", "OutputPath": "$.y" }), x.clone(), Ok(json!(1))),
        (json!({ "Type": "Fail", "Error": "E", "Cause": "c" }), x.clone(), Err("E")),
        (json!({ "Type": "Fail", "ErrorPath": "$.z" }), x.clone(), Err("s")),
        (json!({ "Type": "Fail", "ErrorPath": "$.none" }), x.clone(), Err("States.Runtime")),
        (json!({ "Type": "Fail", "Error": "E", "CausePath": "$.x" }), x.clone(), Err("States.Runtime")),
    ];
    for (state, input, expected) in cases {
        let world = World::new().answers("f", [Answer::Gives(json!("R"))]);
        let execution = run(&world, json!({ "A": state }), input).await;
        let ended = execution.output.ok_or(execution.error.as_deref().unwrap_or_default());
        assert_eq!(ended, expected, "{state}");
    }
}

#[tokio::test]
async fn a_task_is_given_its_parameters_made_from_the_part_that_input_path_takes() {
    let world = World::new();
    run(&world, json!({ "A": task(json!({ "InputPath": "$.x" })) }), json!({ "x": { "y": 1 } })).await;
    run(&world, json!({ "A": task(json!({ "InputPath": null })) }), json!({ "x": { "y": 1 } })).await;
    assert_eq!(world.payloads("f"), [json!({ "given": { "y": 1 } }), json!({ "given": {} })]);
}

/// "Choice state": `And` and its comparisons in order, so that `IsPresent` guards what follows it.
#[tokio::test]
async fn choices_of_several_comparisons() {
    let present = |wanted: bool| json!({ "Variable": "$.more", "IsPresent": wanted });
    let more = json!({ "Variable": "$.more", "BooleanEquals": true });
    let cases = [
        (json!([present(true), more]), json!({ "more": true }), "B"),
        (json!([present(true), more]), json!({ "more": false }), "C"),
        (json!([present(true), more]), json!({ "more": "true" }), "C"),
        (json!([present(true), more]), json!({}), "C"),
        (json!([present(false)]), json!({}), "B"),
        (json!([present(false)]), json!({ "more": null }), "C"),
    ];
    for (and, input, next) in cases {
        let choice = json!({ "Type": "Choice", "Choices": [{ "And": and, "Next": "B" }], "Default": "C" });
        let states = json!({ "A": choice, "B": { "Type": "Succeed" }, "C": { "Type": "Succeed" } });
        let execution = run(&World::new(), states, input.clone()).await;
        assert_eq!(entered(&execution).last(), Some(&next), "{and} on {input}");
    }
}

#[tokio::test]
async fn choices() {
    let rule = |text: &str, next: &str| json!({ "Variable": "$.a", "StringEquals": text, "Next": next });
    let states = |default: Value| {
        let mut choice = json!({ "Type": "Choice", "Choices": [rule("b", "B"), rule("c", "C"), rule("c", "B")] });
        if !default.is_null() {
            choice["Default"] = default;
        }
        choice["OutputPath"] = json!("$.o");
        json!({ "A": choice, "B": { "Type": "Succeed" }, "C": { "Type": "Succeed" } })
    };
    let cases = [
        (json!({ "a": "b", "o": 1 }), Value::Null, Ok("B")),
        (json!({ "a": "c", "o": 1 }), Value::Null, Ok("C")),
        (json!({ "a": "d", "o": 1 }), json!("B"), Ok("B")),
        (json!({ "a": 7, "o": 1 }), json!("C"), Ok("C")),
        // The service reports `States.NoChoiceMatched` under the name `States.Runtime`.
        (json!({ "a": "d", "o": 1 }), Value::Null, Err("States.Runtime")),
        (json!({ "o": 1 }), json!("B"), Err("States.Runtime")),
        (json!({ "a": "b" }), json!("B"), Err("States.Runtime")),
    ];
    for (input, default, expected) in cases {
        let execution = run(&World::new(), states(default), input.clone()).await;
        match expected {
            Ok(next) => {
                assert_eq!(entered(&execution).last(), Some(&next), "{input}");
                assert_eq!(execution.output, Some(json!(1)));
            }
            Err(error) => assert_eq!(execution.error.as_deref(), Some(error), "{input}"),
        }
    }
}

/// "Accessing execution data from the Context object in Step Functions",
/// <https://docs.aws.amazon.com/step-functions/latest/dg/input-output-contextobject.html>.
#[tokio::test]
async fn the_context_object() {
    let parameters = json!({ "FunctionName": "f", "Payload": { "context.$": "$$" } });
    let state = task(json!({ "Parameters": parameters, "Retry": [{ "ErrorEquals": ["E"], "IntervalSeconds": 3 }] }));
    let states = json!({ "A": { "Type": "Pass", "Next": "B" }, "B": state });
    let world = World::new().answers("f", [raises("E")]);
    world.clock.advance(Duration::from_millis(1500));
    run(&world, states, json!({ "in": 1 })).await;
    let context = |retries: u32| {
        json!({ "context": {
            "Execution": {
                "Id": "arn:execution:etl:run-1", "Name": "run-1", "Input": { "in": 1 }, "RoleArn": "arn:role",
                "StartTime": "1970-01-01T00:00:01.500Z", "RedriveCount": 0,
            },
            "State": { "Name": "B", "EnteredTime": "1970-01-01T00:00:01.500Z", "RetryCount": retries },
            "StateMachine": { "Id": "arn:stateMachine:etl", "Name": "etl" },
        } })
    };
    assert_eq!(world.payloads("f"), [context(0), context(1)]);
}

/// "Retrying after error" and "Complex retry scenarios", <https://states-language.net/#errors>.
#[tokio::test]
async fn retries() {
    let retry = |retriers: Value| task(json!({ "Retry": retriers }));
    let two = json!([
        { "ErrorEquals": ["A", "B"], "IntervalSeconds": 1, "BackoffRate": 2, "MaxAttempts": 2 },
        { "ErrorEquals": ["C"], "IntervalSeconds": 5 },
    ]);
    let three = |cap: Value| {
        let mut retrier = json!({ "ErrorEquals": ["E"], "IntervalSeconds": 3, "MaxAttempts": 2, "BackoffRate": 2.0 });
        if !cap.is_null() {
            retrier["MaxDelaySeconds"] = cap;
        }
        json!([retrier])
    };
    let exhausted_then_all = json!([{ "ErrorEquals": ["E"], "MaxAttempts": 1 }, { "ErrorEquals": ["States.ALL"] }]);
    let cases = [
        ("the example of the language", two, vec!["A", "B", "C", "B"], vec![1.0, 2.0, 5.0]),
        ("defaults", json!([{ "ErrorEquals": ["E"] }]), vec!["E"; 4], vec![1.0, 2.0, 4.0]),
        ("the example without a cap", three(Value::Null), vec!["E"; 3], vec![3.0, 6.0]),
        ("the example with a cap", three(json!(4)), vec!["E"; 3], vec![3.0, 4.0]),
        ("the first that fits decides", exhausted_then_all, vec!["E"; 2], vec![1.0]),
        ("none", json!([{ "ErrorEquals": ["E"], "MaxAttempts": 0 }]), vec!["E"], vec![]),
        ("another error", json!([{ "ErrorEquals": ["E"] }]), vec!["F"], vec![]),
    ];
    for (what, retriers, errors, waits) in cases {
        let world = World::new().answers("f", errors.iter().copied().map(raises));
        let execution = run(&world, json!({ "A": retry(retriers) }), json!({})).await;
        assert_eq!(delays(&execution), waits, "{what}");
        assert_eq!(execution.error.as_deref(), errors.last().copied(), "{what}");
    }
}

/// "once the interpreter transitions to another state in any way, all the Retrier parameters reset"
#[tokio::test]
async fn retries_are_counted_anew_when_a_state_is_entered_again() {
    let states = json!({
        "A": task(json!({
            "Retry": [{ "ErrorEquals": ["E"], "MaxAttempts": 1 }],
            "Catch": [{ "ErrorEquals": ["E"], "Next": "B" }],
        })),
        "B": { "Type": "Pass", "Next": "A" },
    });
    let world = World::new().answers("f", vec![raises("E"); 3]);
    let execution = run(&world, states, json!({})).await;
    assert_eq!(outline(&execution), ["A:1:E", "A:2:E", "A:1:E", "A:2:ok", "end:SUCCEEDED"]);
}

#[tokio::test]
async fn what_wildcards_match() {
    let big = "x".repeat(PAYLOAD_LIMIT);
    let cases = [
        ("States.ALL", raises("E"), true),
        ("States.ALL", after(9, raises("E")), true),
        ("States.ALL", Answer::Gives(json!(big)), false),
        ("States.ALL", Answer::Gives(json!({})), false),
        ("States.TaskFailed", raises("Lambda.Unknown"), true),
        ("States.TaskFailed", after(9, raises("E")), false),
        ("States.TaskFailed", Answer::Gives(json!(big)), false),
        ("States.Timeout", after(9, raises("E")), true),
        ("States.DataLimitExceeded", Answer::Gives(json!(big)), true),
        ("e", raises("E"), false),
    ];
    for (name, answer, is_caught) in cases {
        let failing = task(json!({
            // Fails with `States.Runtime` on whatever the function gives.
            "OutputPath": "$.Payload.none",
            "TimeoutSeconds": 5,
            "Catch": [{ "ErrorEquals": [name], "Next": "B" }],
        }));
        let world = World::new().answers("f", [answer]);
        let execution = run(&world, json!({ "A": failing, "B": { "Type": "Succeed" } }), json!({})).await;
        assert_eq!(execution.status == Status::Succeeded, is_caught, "{name}: {:?}", execution.error);
    }
}

/// "Error output" and "JSONPath Catchers", <https://states-language.net/#errors>.
#[tokio::test]
async fn catchers() {
    let error = json!({ "Error": "E", "Cause": cause("E") });
    let cases = [
        (json!({}), Ok(error.clone())),
        (json!({ "ResultPath": "$.e" }), Ok(json!({ "in": 1, "e": error }))),
        (json!({ "ResultPath": null }), Ok(json!({ "in": 1 }))),
        (json!({ "ResultPath": "$.in.e" }), Err("States.ResultPathMatchFailure")),
    ];
    for (fields, expected) in cases {
        let mut catcher = json!({ "ErrorEquals": ["States.ALL"], "Next": "B" });
        catcher.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        // OutputPath applies to a result, not to an error.
        let failing = task(json!({ "OutputPath": "$.none", "Catch": [catcher] }));
        let states = json!({ "A": failing, "B": { "Type": "Succeed" } });
        let execution = run(&World::new().answers("f", [raises("E")]), states, json!({ "in": 1 })).await;
        let ended = execution.output.ok_or(execution.error.as_deref().unwrap_or_default());
        assert_eq!(ended, expected, "{fields}");
    }
}

/// "Maximum input or result data size for a task, state, or execution: 256 KiB of data as a UTF-8 encoded string",
/// <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>.
#[tokio::test]
async fn the_payload_limit_is_counted_in_bytes() {
    let wrapped = json!({ "given": "" }).to_string().len();
    for (character, count) in [("x", PAYLOAD_LIMIT - wrapped), ("é", (PAYLOAD_LIMIT - wrapped) / 2)] {
        for (extra, error) in [(0, None), (2, Some("States.DataLimitExceeded"))] {
            let input = json!(character.repeat(count) + &"x".repeat(extra));
            let world = World::new();
            let execution = run(&world, json!({ "A": task(json!({ "ResultPath": null })) }), input).await;
            assert_eq!(execution.error.as_deref(), error, "{character}, {extra} over");
            assert_eq!(world.called().len(), 1 - extra / 2, "a payload over the limit is not sent");
        }
    }
}

#[tokio::test]
async fn the_time_of_the_execution_runs_out_in_a_wait_and_in_a_task() {
    let waiting = json!({ "Retry": [{ "ErrorEquals": ["E"], "IntervalSeconds": 60, "MaxAttempts": 9 }],
        "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "B" }] });
    let working = json!({ "TimeoutSeconds": 200, "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "B" }] });
    let cases = [(waiting, vec![raises("E"); 9]), (working, vec![after(150, raises("E"))])];
    for (fields, answers) in cases {
        let world = World::new().answers("f", answers);
        let execution = run(&world, json!({ "A": task(fields), "B": { "Type": "Succeed" } }), json!({})).await;
        assert_eq!((execution.status, execution.error.as_deref()), (Status::TimedOut, Some("States.Timeout")));
        assert_eq!(execution.stopped_at.unwrap().state, "A");
        assert!((world.elapsed() - 100.0).abs() < 0.001, "{}", world.elapsed());
    }
}

#[tokio::test]
async fn the_system_clock_gives_up_what_takes_too_long() {
    let clock = SystemClock;
    let limit = Duration::from_millis(20);
    let started = clock.now();
    assert_eq!(clock.timeout(limit, Box::pin(std::future::pending())).await, None);
    clock.sleep(limit).await;
    assert!(clock.now() - started >= chrono::Duration::milliseconds(40));
    assert_eq!(clock.timeout(limit, Box::pin(async { Ok(json!(1)) })).await, Some(Ok(json!(1))));
}

#[tokio::test]
async fn the_observer_sees_what_the_trace_keeps() {
    struct Seen(Mutex<Vec<TraceEvent>>);
    impl Observer for Seen {
        fn observe(&self, event: &TraceEvent) {
            self.0.lock().unwrap().push(event.clone());
        }
    }
    let world = World::new().answers("f", [raises("E")]);
    let seen = Seen(Mutex::default());
    let ports = Ports { observer: &seen, ..world.ports() };
    let machine = machine(json!({ "A": task(json!({ "Retry": [{ "ErrorEquals": ["E"] }] })) }));
    let execution = machine.start(info(), json!({}), ports).await;
    assert_eq!(*seen.0.lock().unwrap(), execution.trace);
    assert_eq!(
        json!(execution.trace)[2],
        json!({ "at": "1970-01-01T00:00:00.000Z", "state": "A", "event": "retry_scheduled", "attempt": 2, "delay_seconds": 1.0 })
    );
}
