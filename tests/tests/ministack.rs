//! Whole runs on ministack: the shipped template is deployed as it is, with the real binaries, and events flow.
#![allow(clippy::expect_used, reason = "what a check cannot ask for fails the test, and the message says why")]

use std::{collections::BTreeSet, sync::LazyLock, time::Duration};

use serde_json::{Value, json};
use stepwell_tests::{block_on, deploy, deployment::Deployment, flights, log, python, suite, until, workspace};

static MINISTACK: LazyLock<Deployment> = LazyLock::new(|| block_on(deploy::on_ministack("ministack")));

#[test]
fn exhausted_retries_fail_and_are_told() {
    let ministack = &*MINISTACK;
    block_on(suite::retries_are_exhausted(ministack));
}

#[test]
fn the_full_table_is_loaded() {
    let ministack = &*MINISTACK;
    block_on(suite::the_full_table_is_loaded(ministack));
}

#[test]
fn a_transient_fault_is_retried_until_it_works() {
    let ministack = &*MINISTACK;
    block_on(suite::a_transient_fault_is_retried_until_it_works(ministack));
}

#[test]
fn broken_connections_are_retried() {
    let ministack = &*MINISTACK;
    block_on(suite::broken_connections_are_retried(ministack));
}

#[test]
fn a_permanent_error_is_told_and_not_retried() {
    let ministack = &*MINISTACK;
    block_on(suite::a_permanent_error_is_told_and_not_retried(ministack));
}

#[test]
fn a_misspelt_input_is_told() {
    let ministack = &*MINISTACK;
    block_on(suite::a_misspelt_input_is_told(ministack));
}

#[test]
fn a_failed_success_notice_fails_nothing() {
    let ministack = &*MINISTACK;
    block_on(suite::a_failed_success_notice_fails_nothing(ministack));
}

#[test]
fn a_replay_redoes_no_finished_stage() {
    let ministack = &*MINISTACK;
    block_on(suite::a_replay_redoes_no_finished_stage(ministack));
}

/// A file that lands starts a run by itself, whatever its key looks like.
#[test]
fn an_upload_is_loaded_by_itself() {
    let ministack = &*MINISTACK;
    block_on(async {
        ministack.push_pipeline("auto").await;
        let key = "auto/January 2013 \u{fc}+b.csv";
        ministack.put(&ministack.landing, key, flights::slice(2_000)).await;
        let arn =
            until("the execution", Duration::from_secs(60), async || ministack.executions("auto-").await.pop()).await;
        let finished = ministack.finished(&arn, Duration::from_secs(60)).await;
        assert_eq!(finished.status, "SUCCEEDED", "{finished:?}");
        assert_eq!(finished.output["run"]["source"]["key"], key);
        suite::assert_loaded(ministack, "auto", &finished.output, 2_000).await;
    });
}

/// Whatever a run wrote to the log is found by its execution's id and by its own, from the trigger to the notice; and what
/// it measured is written as CloudWatch wants it, once.
#[test]
fn one_run_id_and_one_execution_id_find_every_line() {
    let ministack = &*MINISTACK;
    block_on(async {
        // The second fails in its first stage, which hands no run to anybody.
        for (pipeline, file, status, stages) in [
            ("traced", flights::slice(2_000), "SUCCEEDED", &["extract", "load", "notify", "transform", "trigger"][..]),
            ("broken", b"no\nflights\n".to_vec(), "FAILED", &["extract", "notify", "trigger"]),
        ] {
            ministack.push_pipeline(pipeline).await;
            ministack.put(&ministack.landing, &format!("{pipeline}/some.csv"), file).await;
            let started = async || ministack.executions(&format!("{pipeline}-")).await.pop();
            let arn = until("the execution", Duration::from_secs(60), started).await;
            let finished = ministack.finished(&arn, Duration::from_secs(60)).await;
            assert_eq!(finished.status, status, "{finished:?}");
            assert_lines(ministack, &arn, stages).await;
        }
    });
}

async fn assert_lines(ministack: &Deployment, arn: &str, stages: &[&str]) {
    let functions = deploy::stack_functions(&ministack.endpoint, "stepwell").await;
    let group = functions["extract"]["LoggingConfig"]["LogGroup"].as_str().expect("the functions' group").to_owned();
    // A line is there once its call has ended.
    let (functions_seen, lines) = until("the last stage's lines", Duration::from_secs(30), async || {
        let lines = log::lines(&ministack.endpoint, &group).await;
        let of_execution = lines.iter().filter(|line| line["execution_id"] == arn);
        let functions: BTreeSet<String> =
            of_execution.filter_map(|line| line["function"].as_str()).map(str::to_owned).collect();
        (functions.len() >= stages.len()).then_some((functions, lines))
    })
    .await;
    assert_eq!(functions_seen.iter().map(String::as_str).collect::<Vec<_>>(), stages);

    let of_execution: Vec<&Value> = lines.iter().filter(|line| line["execution_id"] == arn).collect();
    let run_id = of_execution[0]["run_id"].as_str().expect("the run's id").to_owned();
    let calls: BTreeSet<&str> = of_execution
        .iter()
        .filter(|line| line["function"] != "trigger")
        .map(|line| line["request_id"].as_str().expect("each line has a call"))
        .collect();
    // Every line of every call that belongs to the execution, whatever it says of itself.
    let of_calls = lines.iter().filter(|line| line["request_id"].as_str().is_some_and(|id| calls.contains(id)));
    for line in of_calls.chain(of_execution.iter().copied()) {
        assert_eq!((&line["execution_id"], &line["run_id"]), (&json!(arn), &json!(run_id)), "{line}");
        let trace = line["trace_id"].as_str().unwrap_or_default();
        assert!(trace.starts_with("1-") && trace.len() == 35, "{line}");
    }
    let triggered = of_execution.iter().find(|line| line["function"] == "trigger").expect("the trigger's line");
    assert_eq!(triggered["message"], "execution started");
    assert!(triggered["pipeline"].is_string() && triggered["key"].is_string(), "{triggered}");

    let metrics: Vec<&Value> = of_execution.iter().copied().filter(|line| line.get("_aws").is_some()).collect();
    let values = |name: &str| metrics.iter().filter_map(|line| line[name].as_f64()).collect::<Vec<_>>();
    if stages.contains(&"load") {
        assert_eq!((values("RecordsRead"), values("RunsSucceeded")), (vec![2_000.0], vec![1.0]));
        assert_eq!((values("StageSeconds").len(), values("LagSeconds").len(), values("RejectRatio").len()), (3, 1, 1));
        assert!(values("LagSeconds")[0] < 300.0 && values("RecordsLoaded")[0] > 0.0);
    } else {
        assert_eq!(
            (values("RunsFailed"), values("RunsSucceeded"), values("StageSeconds")),
            (vec![1.0], vec![], vec![])
        );
    }
    let documents: String = metrics.iter().map(|document| format!("{document}\n")).collect();
    let (root, file) = (workspace::root(), workspace::target().join("stepwell-tests/emf.ndjson"));
    std::fs::write(&file, documents).expect("the target folder can be written");
    let (script, schema) = (root.join("tests/python/emf.py"), root.join("tests/fixtures/emf-schema.json"));
    let checked = python::run("python", &[&script, &schema, &file].map(|path| python::argument(path)));
    assert_eq!(checked.trim(), metrics.len().to_string());
}

/// S3 and EventBridge deliver at least once: however often an event comes, there is one run and one table.
#[test]
fn an_event_that_comes_eleven_times_is_one_run() {
    let ministack = &*MINISTACK;
    block_on(async {
        ministack.push_pipeline("again").await;
        let tap = tap_events(ministack).await;
        ministack.put(&ministack.landing, "again/some.csv", flights::slice(2_000)).await;
        let event = until("the event", Duration::from_secs(30), async || receive(ministack, &tap).await).await;

        let queue = ministack.events_queue.as_deref().expect("ministack has events");
        let copies: Vec<_> = (0..10).map(|id| json!({"Id": id.to_string(), "MessageBody": event})).collect();
        let batch = json!({"QueueUrl": queue, "Entries": copies});
        ministack.endpoint.json("sqs", "AmazonSQS.SendMessageBatch", &batch).await;
        until("an empty queue", Duration::from_secs(60), async || is_empty(ministack, queue).await.then_some(())).await;

        let executions = ministack.executions("again-").await;
        assert_eq!(executions.len(), 1, "one event, one execution: {executions:?}");
        let finished = ministack.finished(&executions[0], Duration::from_secs(60)).await;
        assert_eq!(finished.status, "SUCCEEDED", "{finished:?}");
        suite::assert_loaded(ministack, "again", &finished.output, 2_000).await;
    });
}

/// What failed is shown, and started again with the input it had when that is confirmed, once.
#[test]
fn failed_executions_are_replayed() {
    const MACHINE: &str = r#"{"StartAt": "End", "States": {"End": {"Type": "Choice", "Default": "Failed",
        "Choices": [{"Variable": "$.key", "StringEquals": "good.csv", "Next": "Fine"}]},
        "Failed": {"Type": "Fail", "Error": "TooManyRejects"}, "Fine": {"Type": "Succeed"}}}"#;
    let ministack = &*MINISTACK;
    block_on(async {
        let created = ministack.sfn.create_state_machine().name("failing").definition(MACHINE);
        let created = created.role_arn("arn:aws:iam::123456789012:role/r").send().await.expect("a state machine");
        let machine = created.state_machine_arn();
        for key in ["bad.csv", "good.csv"] {
            let arn = ministack.start_with(machine, key, &json!({"bucket": "b", "key": key})).await;
            ministack.finished(&arn, Duration::from_secs(30)).await;
        }
        let replay = |more: &[&str]| {
            let output = std::process::Command::new(stepwell_tests::workspace::binary("stepwell"))
                .args(["replay", "--failed", "--since", "1h", "--state-machine", machine])
                .args(more)
                .envs([("AWS_ENDPOINT_URL", &*ministack.endpoint.0), ("AWS_REGION", "us-east-1")])
                .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
                .output()
                .expect("the command runs");
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
            (output.status.code(), text(output.stdout), text(output.stderr))
        };
        let (code, _, shown) = replay(&[]);
        assert!(code == Some(0) && shown.contains("TooManyRejects") && shown.contains("bad.csv"), "{shown}");
        assert!(shown.contains("1 would be replayed"), "{shown}");
        let (code, started, shown) = replay(&["--yes"]);
        assert!(code == Some(0) && started.starts_with("started bad.csv-replay-"), "{started}{shown}");
        let listed = ministack.sfn.list_executions().state_machine_arn(machine).send().await.expect("executions");
        assert_eq!(listed.executions().len(), 3, "one replay: {listed:?}");
        let replay = listed.executions().iter().find(|execution| execution.name().contains("replay"));
        let arn = replay.expect("it is listed").execution_arn();
        let described = ministack.sfn.describe_execution().execution_arn(arn).send().await.expect("a description");
        assert_eq!(described.input(), Some(r#"{"bucket":"b","key":"bad.csv"}"#));
    });
}

/// What no pipeline wants is a dead letter that says so; once there is a pipeline, a redrive loads it.
#[test]
fn a_dead_letter_is_redriven_once_its_cause_is_mended() {
    let ministack = &*MINISTACK;
    block_on(async {
        let endpoint = &ministack.endpoint;
        let events = ministack.events_queue.as_deref().expect("ministack has events");
        let wanted = json!({"QueueUrl": events, "AttributeNames": ["RedrivePolicy"]});
        let attributes = endpoint.json("sqs", "AmazonSQS.GetQueueAttributes", &wanted).await;
        let policy = attributes["Attributes"]["RedrivePolicy"].as_str().expect("the queue has dead letters");
        let policy: Value = serde_json::from_str(policy).expect("a policy is JSON");
        let name = policy["deadLetterTargetArn"].as_str().and_then(|arn| arn.rsplit(':').next()).expect("an ARN");
        let named = endpoint.json("sqs", "AmazonSQS.GetQueueUrl", &json!({"QueueName": name})).await;
        let dead = named["QueueUrl"].as_str().expect("a queue has a URL");
        let dlq = |arguments: &[&str]| {
            let output = std::process::Command::new(stepwell_tests::workspace::binary("stepwell"))
                .arg("dlq")
                .args(arguments)
                .envs([("DEAD_EVENTS_QUEUE_URL", dead), ("EVENTS_QUEUE_URL", events)])
                .envs([("AWS_ENDPOINT_URL", &*ministack.endpoint.0), ("AWS_REGION", "us-east-1")])
                .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
                .output()
                .expect("the command runs");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{arguments:?}: {errors}");
            String::from_utf8(output.stdout).expect("UTF-8")
        };

        ministack.put(&ministack.landing, "mended/some.csv", flights::slice(2_000)).await;
        let listed = until("the dead letter", Duration::from_secs(60), async || {
            Some(dlq(&["list", "--json"])).filter(|listed| listed.contains("mended/some.csv"))
        })
        .await;
        assert!(listed.contains("NoPipeline"), "{listed}");
        ministack.push_pipeline("mended").await;
        dlq(&["redrive", "--error", "NoPipeline", "--yes"]);
        let arn =
            until("the execution", Duration::from_secs(60), async || ministack.executions("mended-").await.pop()).await;
        let finished = ministack.finished(&arn, Duration::from_secs(60)).await;
        assert_eq!(finished.status, "SUCCEEDED", "{finished:?}");
        suite::assert_loaded(ministack, "mended", &finished.output, 2_000).await;
    });
}

/// A second queue that gets what lands below `again/`, as EventBridge says it.
async fn tap_events(ministack: &Deployment) -> String {
    let endpoint = &ministack.endpoint;
    let created = endpoint.json("sqs", "AmazonSQS.CreateQueue", &json!({"QueueName": "tap"})).await;
    let queue = created["QueueUrl"].as_str().expect("a queue has a URL").to_owned();
    let wanted = json!({"QueueUrl": queue, "AttributeNames": ["QueueArn"]});
    let attributes = endpoint.json("sqs", "AmazonSQS.GetQueueAttributes", &wanted).await;
    let pattern = json!({"source": ["aws.s3"], "detail": {"object": {"key": [{"prefix": "again/"}]}}});
    let rule = json!({"Name": "tap", "EventPattern": pattern.to_string()});
    endpoint.json("events", "AWSEvents.PutRule", &rule).await;
    let target = json!({"Rule": "tap", "Targets": [{"Id": "tap", "Arn": attributes["Attributes"]["QueueArn"]}]});
    endpoint.json("events", "AWSEvents.PutTargets", &target).await;
    queue
}

async fn receive(ministack: &Deployment, queue: &str) -> Option<String> {
    let received = ministack.endpoint.json("sqs", "AmazonSQS.ReceiveMessage", &json!({"QueueUrl": queue})).await;
    received["Messages"][0]["Body"].as_str().map(str::to_owned)
}

async fn is_empty(ministack: &Deployment, queue: &str) -> bool {
    let request = json!({"QueueUrl": queue, "AttributeNames": ["All"]});
    let answer: Value = ministack.endpoint.json("sqs", "AmazonSQS.GetQueueAttributes", &request).await;
    let count = |name: &str| answer["Attributes"][name].as_str().expect("a queue counts its messages") == "0";
    count("ApproximateNumberOfMessages") && count("ApproximateNumberOfMessagesNotVisible")
}
