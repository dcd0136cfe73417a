//! What the shell writes to the log: each line says which call, execution, run and trace it belongs to.
#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod runtime_api;

use std::{
    env,
    fs::File,
    io::{Read, Seek},
    process::Command,
};

use runtime_api::{BUCKETS, Event, Function};
use serde_json::{Value, json};
use stepwell_aws::serve;
use stepwell_pipeline::{
    ErrorKind, StageError,
    metrics::{Metric, Subject},
    run::{Run, Source},
    stage::StageContext,
};

const TRACE: &str = "1-5759e988-bd862e3fe1be46a994272793";

fn run() -> Run {
    let source = Source {
        bucket: "landing".into(),
        key: "in/a.csv".into(),
        version: None,
        etag: "e".into(),
        size: 1,
        modified_ms: 0,
        sequencer: None,
    };
    Run::new("flights", "d", source)
}

/// Learns its run in the middle of the call, as `extract` does.
async fn stage(context: StageContext, input: Value) -> Result<Value, StageError> {
    if input["fails"] == true {
        run().log_id();
        return Err(StageError::new(ErrorKind::Throttled, "slow down"));
    }
    tracing::info!("before");
    let run = run();
    run.log_id();
    tracing::warn!(run = run.id, number = 7, "after");
    context.measure(Subject::run(&run), vec![(Metric::RecordsRead, 3.0)]);
    Ok(input)
}

/// The lines that this test's function wrote, by their message; metrics by the name of the first.
fn lines(test: &str, variables: &[(&str, &str)], events: Vec<Event>) -> Vec<(String, Value)> {
    let mut log = tempfile::tempfile().expect("a file");
    let mut command = Command::new(env::current_exe().expect("a test binary"));
    let calls = events.len();
    let arguments = [test, "--exact", "--nocapture"];
    let log_of_child: File = log.try_clone().expect("a handle");
    let function = Function::start_logged(command.args(arguments), variables, events, log_of_child);
    for _ in 0..calls {
        function.report();
    }
    drop(function);
    let mut text = String::new();
    log.rewind().expect("a file");
    log.read_to_string(&mut text).expect("UTF-8");
    // The test harness prints lines of its own.
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line.get(line.find('{')?..)?).ok());
    let named = lines.map(|line| {
        let metric = line.pointer("/_aws/CloudWatchMetrics/0/Metrics/0/Name");
        (metric.unwrap_or(&line["message"]).as_str().unwrap_or_default().to_owned(), line)
    });
    named.collect()
}

fn is_function() -> bool {
    env::var_os("AWS_LAMBDA_RUNTIME_API").is_some()
}

#[test]
fn every_line_has_the_ids_as_soon_as_they_are_known() {
    if is_function() {
        serve("extract", stage);
        std::process::exit(1);
    }
    let event = |input: Value| {
        let header = format!("Root={TRACE};Parent=53995c3f42cd8ad8;Sampled=1");
        Event::new(&json!({"execution_id": "arn:execution", "input": input})).with_trace(&header)
    };
    let variables = [&BUCKETS[..], &[("STACK_NAME", "stepwell")]].concat();
    let events = vec![event(json!({})), event(json!({"fails": true})), event(json!({"run": {"id": "of-the-input"}}))];
    let lines = lines("every_line_has_the_ids_as_soon_as_they_are_known", &variables, events);
    let messages: Vec<&str> = lines.iter().map(|(message, _)| message.as_str()).collect();
    let expected =
        ["before", "after", "RecordsRead", "call failed, and may be repeated", "before", "after", "RecordsRead"];
    assert_eq!(messages, expected);
    for (number, (message, line)) in lines.iter().enumerate() {
        let is_known = number > 0;
        let of_input = number == 4;
        let run_id = match (of_input, is_known) {
            (true, _) => json!("of-the-input"),
            (_, true) => json!(run().id),
            _ => Value::Null,
        };
        assert_eq!(line["run_id"], run_id, "{message} ({number})");
        assert_eq!(line["execution_id"], "arn:execution", "{message}");
        assert_eq!(line["trace_id"], TRACE, "{message}");
        assert_eq!(line["function"], "extract", "{message}");
        assert!(line["request_id"].is_string(), "{message}");
    }
    let after = &lines[1].1;
    assert_eq!((&after["level"], &after["number"], &after["run"]), (&json!("WARN"), &json!(7), &json!(run().id)));
    assert!(after["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{after}");
    let metric = &lines[2].1;
    assert_eq!(
        (&metric["RecordsRead"], &metric["stack"], &metric["pipeline"]),
        (&json!(3.0), &json!("stepwell"), &json!("flights"))
    );
}

#[test]
fn without_a_stack_there_are_no_metrics() {
    if is_function() {
        serve("extract", stage);
        std::process::exit(1);
    }
    let event = Event::new(&json!({"execution_id": "arn:execution", "input": {}}));
    let lines = lines("without_a_stack_there_are_no_metrics", &BUCKETS, vec![event]);
    let messages: Vec<&str> = lines.iter().map(|(message, _)| message.as_str()).collect();
    assert_eq!(messages, ["before", "after"]);
    assert_eq!(lines[0].1.get("trace_id"), None);
}

fn fail() {
    panic!("in a thread")
}

#[test]
fn a_panic_in_another_thread_is_a_line_of_its_call() {
    if is_function() {
        serve("extract", |_: StageContext, input: Value| async move {
            let panicking = std::thread::spawn(fail);
            Ok::<_, StageError>(json!({"input": input, "is_panic": panicking.join().is_err()}))
        });
        std::process::exit(1);
    }
    let event = Event::new(&json!({"execution_id": "arn:execution", "input": {"run": {"id": "r"}}}));
    let lines = lines("a_panic_in_another_thread_is_a_line_of_its_call", &BUCKETS, vec![event]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let (message, line) = &lines[0];
    assert_eq!(message, "panicked");
    assert_eq!((&line["message_of_panic"], &line["run_id"]), (&json!("in a thread"), &json!("r")));
    assert_eq!(line["execution_id"], "arn:execution");
}
