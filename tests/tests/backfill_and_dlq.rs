//! `stepwell backfill` and `stepwell dlq`, the real binary against moto.
#![allow(clippy::expect_used, reason = "what a check cannot ask for fails the test, and the message says why")]

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Child, Command, Stdio},
    sync::LazyLock,
    time::Duration,
};

use aws_sdk_s3::primitives::ByteStream;
use hyper::Method;
use serde_json::{Value, json};
use stepwell_tests::{api::Endpoint, block_on, deploy, flights, moto::Moto, until, workspace};

static MOTO: LazyLock<Moto> = LazyLock::new(|| {
    let folder = workspace::scratch("backfill-and-dlq");
    // Nothing here calls a function.
    block_on(Moto::start(Moto::choose_address(), 9, &folder))
});

/// A machine that ends at once, under a name of its own.
async fn state_machine(endpoint: &Endpoint, name: &str) -> String {
    const MACHINE: &str = r#"{"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}"#;
    let created = endpoint.sfn().create_state_machine().name(name).definition(MACHINE);
    let created = created.role_arn("arn:aws:iam::123456789012:role/r").send().await.expect("a state machine");
    created.state_machine_arn().to_owned()
}

async fn bucket(endpoint: &Endpoint, name: &str) {
    endpoint.s3().create_bucket().bucket(name).send().await.expect("a bucket can be made");
}

async fn put(endpoint: &Endpoint, bucket: &str, key: &str, text: &str) {
    let body = ByteStream::from(text.as_bytes().to_vec());
    endpoint.s3().put_object().bucket(bucket).key(key).body(body).send().await.expect("an object can be written");
}

/// The inputs of a machine's executions, by their names.
async fn executions(endpoint: &Endpoint, machine: &str) -> BTreeMap<String, Value> {
    let sfn = endpoint.sfn();
    let mut pages = sfn.list_executions().state_machine_arn(machine).into_paginator().send();
    let mut found = BTreeMap::new();
    while let Some(page) = pages.next().await {
        for execution in page.expect("executions can be listed").executions() {
            let arn = execution.execution_arn();
            let described = sfn.describe_execution().execution_arn(arn).send().await.expect("a description");
            let input = serde_json::from_str(described.input().unwrap_or("null")).expect("JSON");
            found.insert(execution.name().to_owned(), input);
        }
    }
    found
}

fn command(endpoint: &Endpoint, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(workspace::binary("stepwell"));
    command
        .args(arguments)
        .env_clear()
        .envs([("AWS_ENDPOINT_URL", endpoint.0.as_str()), ("AWS_REGION", "us-east-1"), ("NO_PROXY", "*")])
        .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
        .envs(variables.iter().copied());
    command
}

/// How a command ends: its exit code, what it says and what it complains of.
fn run(endpoint: &Endpoint, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let output = command(endpoint, arguments, variables).stdin(Stdio::null()).output().expect("the command runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn kill(mut child: Child) {
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
}

/// Over more keys than a page of a listing holds; killed, it goes on, and each object is started once.
#[test]
fn a_backfill_that_is_killed_goes_on() {
    const FILES: usize = 60;
    const OTHERS: usize = 1_050;
    let endpoint = &Endpoint::from(MOTO.address);
    block_on(async {
        for name in ["past", "work-1", "lake-1"] {
            bucket(endpoint, name).await;
        }
        let spec = "pipeline: sales\nsource: { match: \"in/**/*.csv\" }\nschema:\n  - { name: a, type: int8 }\n\
                    load: { target: parquet, path: lake/sales/ }\n";
        put(endpoint, "work-1", "pipelines/sales.yaml", spec).await;
        let mut wanted = BTreeSet::new();
        for number in 0..FILES {
            let key = format!("in/20{:02}/a b+\u{fc} {number}.csv", number % 10);
            put(endpoint, "past", &key, "a\n1\n").await;
            wanted.insert(key);
        }
        for number in 0..OTHERS {
            put(endpoint, "past", &format!("in/2003/{number:04}.txt"), "no").await;
        }
        put(endpoint, "past", "in/2004/", "").await;
        put(endpoint, "past", "in/2004/empty.csv", "").await;
        let machine = state_machine(endpoint, "past").await;
        let variables = [("STATE_MACHINE_ARN", machine.as_str()), ("WORK_BUCKET", "work-1"), ("LAKE_BUCKET", "lake-1")];
        let arguments = ["backfill", "s3://past/in/20", "--pipeline", "sales"];

        let (code, shown, errors) = run(endpoint, &[&arguments[..], &["--dry-run"]].concat(), &variables);
        assert_eq!(code, Some(0), "{errors}");
        assert!(
            shown.starts_with(&format!("{FILES} of 1,111 objects would be started, in 3s at 25 per second")),
            "{shown}"
        );
        assert!(
            shown.contains("  s3://past/in/2000/a b+\u{fc} 0.csv\n") && shown.ends_with("and 50 more\n"),
            "{shown}"
        );
        assert!(executions(endpoint, &machine).await.is_empty(), "a dry run starts nothing");

        let slow = [&arguments[..], &["--rate", "10"]].concat();
        let child = command(endpoint, &slow, &variables).stdout(Stdio::null()).spawn().expect("it starts");
        until("some executions", Duration::from_secs(60), async || {
            (executions(endpoint, &machine).await.len() >= 5).then_some(())
        })
        .await;
        kill(child);
        let begun = executions(endpoint, &machine).await.len();
        assert!(begun < FILES, "it was killed in the middle: {begun}");

        let (code, shown, errors) =
            run(endpoint, &[&arguments[..], &["--rate", "1000", "--json"]].concat(), &variables);
        assert_eq!(code, Some(0), "{errors}");
        let state: Value = serde_json::from_str(&shown).expect("JSON");
        let counts = &state["counts"];
        assert_eq!(
            (&counts["listed"], &counts["started"], &counts["empty"]),
            (&json!(1_111), &json!(FILES), &json!(1))
        );
        assert_eq!((&counts["unfit"], &state["done"]), (&json!(OTHERS), &json!(true)));
        let started = executions(endpoint, &machine).await;
        let keys: BTreeSet<String> =
            started.values().map(|input| input["key"].as_str().expect("a key").to_owned()).collect();
        assert_eq!((started.len(), keys), (FILES, wanted), "each once");
        let input = started.values().next().expect("there are some");
        assert!(input["etag"].is_string() && input["pipeline"] == "sales" && input["size"] == 4, "{input}");

        let (code, shown, _) = run(endpoint, &arguments, &variables);
        assert!(code == Some(0) && shown.contains("is done already"), "{shown}");
        let (code, _, errors) = run(endpoint, &arguments, &[]);
        assert_eq!(code, Some(2), "{errors}");
        assert!(errors.contains("--state-machine or STATE_MACHINE_ARN, --work-bucket or WORK_BUCKET"), "{errors}");
        let (code, _, errors) = run(endpoint, &["backfill", "s3://past/out/", "--pipeline", "sales"], &variables);
        assert!(code == Some(2) && errors.contains("no key that begins with `out/` fits"), "{errors}");
    });
}

async fn queue(endpoint: &Endpoint, name: &str, attributes: Value) -> String {
    let request = json!({"QueueName": name, "Attributes": attributes});
    let created = endpoint.json("sqs", "AmazonSQS.CreateQueue", &request).await;
    created["QueueUrl"].as_str().expect("a queue has a URL").to_owned()
}

async fn send(endpoint: &Endpoint, queue: &str, body: &str, attributes: &[(&str, &str)]) {
    let attributes: serde_json::Map<String, Value> = attributes
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!({"DataType": "String", "StringValue": value})))
        .collect();
    let message = json!({"QueueUrl": queue, "MessageBody": body, "MessageAttributes": attributes});
    endpoint.json("sqs", "AmazonSQS.SendMessage", &message).await;
}

async fn visible(endpoint: &Endpoint, queue: &str) -> usize {
    let request = json!({"QueueUrl": queue, "AttributeNames": ["All"]});
    let answer = endpoint.json("sqs", "AmazonSQS.GetQueueAttributes", &request).await;
    let count = answer["Attributes"]["ApproximateNumberOfMessages"].as_str().expect("a queue counts its messages");
    count.parse().expect("a number")
}

fn event(number: usize) -> String {
    let object = json!({"key": format!("in/{number}.csv"), "size": 4, "etag": "e", "sequencer": "01"});
    json!({"detail-type": "Object Created", "detail": {"bucket": {"name": "landing"}, "object": object}}).to_string()
}

#[test]
fn dead_letters_are_listed_explained_and_redriven() {
    let endpoint = &Endpoint::from(MOTO.address);
    block_on(async {
        let dead = queue(endpoint, "dead-events", json!({})).await;
        let arn = "arn:aws:sqs:us-east-1:123456789012:dead-events";
        let policy = json!({"deadLetterTargetArn": arn, "maxReceiveCount": 1}).to_string();
        let events = queue(endpoint, "events", json!({"RedrivePolicy": policy, "VisibilityTimeout": "0"})).await;
        for number in 0..23 {
            let attributes =
                [("error", "NoPipeline"), ("message", "no pipeline's `match` fits"), ("pipeline", "sales")];
            send(endpoint, &dead, &event(number), &attributes).await;
        }
        for _ in 0..3 {
            send(endpoint, &dead, "{}", &[("error", "InvalidInput"), ("message", "of another shape")]).await;
        }
        let kinesis = include_str!("../../trigger/tests/fixtures/dead-letter-kinesis.json");
        send(endpoint, &dead, kinesis, &[]).await;
        // One that SQS moves by itself.
        send(endpoint, &events, &event(99), &[]).await;
        until("a message that SQS moves", Duration::from_secs(30), async || {
            endpoint.json("sqs", "AmazonSQS.ReceiveMessage", &json!({"QueueUrl": events})).await;
            (visible(endpoint, &dead).await == 28).then_some(())
        })
        .await;
        let variables = [("DEAD_EVENTS_QUEUE_URL", dead.as_str()), ("EVENTS_QUEUE_URL", events.as_str())];

        let (code, shown, errors) = run(endpoint, &["dlq", "list", "--json"], &variables);
        assert_eq!(code, Some(0), "{errors}");
        let groups: Value = serde_json::from_str(&shown).expect("JSON");
        let count = |error: &str| {
            let group = groups.as_array().expect("groups").iter().find(|group| group["error"] == error);
            group.map_or_else(|| (json!(0), json!(0)), |group| (group["count"].clone(), group["redrivable"].clone()))
        };
        assert_eq!(count("NoPipeline"), (json!(23), json!(23)), "{shown}");
        assert_eq!(count("InvalidInput"), (json!(3), json!(3)), "{shown}");
        assert_eq!(count("FunctionError"), (json!(1), json!(0)), "{shown}");
        // moto does not tell which queue SQS moved it from, as AWS does; without that nobody knows why it is there.
        assert_eq!(count("Unknown"), (json!(1), json!(1)), "{shown}");
        assert_eq!(visible(endpoint, &dead).await, 28, "all can be seen again");
        let (_, shown, _) = run(endpoint, &["dlq", "list"], &variables);
        assert!(shown.starts_with("     23  NoPipeline  pipeline sales  the oldest "), "{shown}");

        let (code, shown, errors) = run(endpoint, &["dlq", "explain", "--error", "NoPipeline"], &variables);
        assert_eq!(code, Some(0), "{errors}");
        for words in ["s3://landing/in/", "push a spec whose `match` fits", "sends it to the events queue"] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        let (_, shown, _) = run(endpoint, &["dlq", "explain", "--error", "FunctionError"], &variables);
        assert!(shown.contains("500 records of shardId-000000000001") && shown.contains("leaves it here"), "{shown}");

        let (code, _, errors) = run(endpoint, &["dlq", "redrive", "--error", "NoPipelin"], &variables);
        assert!(code == Some(2) && errors.contains("did you mean NoPipeline?"), "{errors}");
        let redrive = ["dlq", "redrive", "--pipeline", "sales", "--rate", "1000"];
        let (code, _, errors) = run(endpoint, &redrive, &variables);
        assert!(code == Some(0) && errors.contains("23 would be redriven; do it with --yes"), "{errors}");
        assert_eq!((visible(endpoint, &dead).await, visible(endpoint, &events).await), (28, 0));
        let (code, shown, errors) = run(endpoint, &[&redrive[..], &["--yes"]].concat(), &variables);
        assert_eq!(code, Some(0), "{errors}");
        assert_eq!(shown, "23 sent to events\n5 others stay\n");
        assert_eq!((visible(endpoint, &dead).await, visible(endpoint, &events).await), (5, 23));
        let (_, shown, _) = run(endpoint, &["dlq", "redrive", "--yes", "--json"], &variables);
        let redriven: Value = serde_json::from_str(&shown).expect("JSON");
        // Of the three alike one was sent; the others look like it come back.
        assert_eq!(redriven, json!({"sent": 2, "left": 3, "others": 0}));
    });
}

/// The whole way without a shell: the message, the function whose time is not enough, its messages to itself, and runs
/// that load what was there.
#[test]
fn a_detached_backfill_goes_on_by_itself() {
    const FILES: usize = 12;
    let ministack = &block_on(deploy::on_ministack("backfill-detached"));
    let endpoint = &ministack.endpoint;
    block_on(async {
        ministack.push_pipeline("past").await;
        for number in 0..FILES {
            ministack.put(&ministack.uploads, &format!("past/{number:02}.csv"), flights::slice(20 + number)).await;
        }
        let listing = endpoint.rest("lambda", Method::GET, "/2015-03-31/functions/", &json!({})).await;
        let functions = listing["Functions"].as_array().expect("functions can be listed");
        let names = functions.iter().map(|function| function["FunctionName"].as_str().unwrap_or_default());
        let trigger = names.into_iter().find(|name| name.to_lowercase().contains("trigger")).expect("there is one");
        let path = format!("/2015-03-31/functions/{trigger}/configuration");
        endpoint.rest("lambda", Method::PUT, &path, &json!({"Timeout": 4})).await;

        let events = ministack.events_queue.as_deref().expect("ministack has events");
        let objects = format!("s3://{}/past/", ministack.uploads);
        let arguments = ["backfill", &objects, "--pipeline", "past", "--rate", "2", "--detach", "--json"];
        let (code, shown, errors) = run(endpoint, &arguments, &[("EVENTS_QUEUE_URL", events)]);
        assert_eq!(code, Some(0), "{errors}");
        let sent: Value = serde_json::from_str(&shown).expect("JSON");
        let key = format!("backfills/{}.json", sent["id"].as_str().expect("an id"));
        let state = until("the end of the backfill", Duration::from_secs(120), async || {
            let object = endpoint.s3().get_object().bucket(&ministack.work).key(&key).send().await.ok()?;
            let bytes = object.body.collect().await.expect("a body").into_bytes();
            let state: Value = serde_json::from_slice(&bytes).expect("JSON");
            (state["done"] == true).then_some(state)
        })
        .await;
        assert_eq!(
            (&state["counts"]["started"], &state["counts"]["listed"]),
            (&json!(FILES), &json!(FILES)),
            "{state}"
        );
        assert!(state["round"].as_u64().is_some_and(|rounds| rounds >= 1), "it took more than one call: {state}");
        let executions = ministack.executions("past-").await;
        assert_eq!(executions.len(), FILES, "each once");
        for arn in executions {
            let finished = ministack.finished(&arn, Duration::from_secs(180)).await;
            assert_eq!(finished.status, "SUCCEEDED", "{finished:?}");
        }

        // What is committed is skipped, by whatever it was brought.
        let arguments = ["backfill", &objects, "--pipeline", "past", "--id", "once-more", "--json"];
        let variables = [
            ("STATE_MACHINE_ARN", ministack.state_machine.as_str()),
            ("WORK_BUCKET", ministack.work.as_str()),
            ("LAKE_BUCKET", ministack.lake.as_str()),
        ];
        let (code, shown, errors) = run(endpoint, &arguments, &variables);
        assert_eq!(code, Some(0), "{errors}");
        let state: Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!((&state["counts"]["committed"], &state["counts"]["started"]), (&json!(FILES), &json!(0)), "{state}");
    });
}
