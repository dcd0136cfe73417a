//! Every way in, on ministack: the shipped template as it is, the real binaries, and the services that deliver.
//!
//! `STEPWELL_BURST` is the number of uploads of the burst; 40 by default, 1000 for the real thing.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "what a check cannot ask for fails the test, and the message says why"
)]

use std::{
    env,
    sync::{Arc, LazyLock},
};

use aws_sdk_s3::types::{
    Event, FilterRule, FilterRuleName, LambdaFunctionConfiguration, NotificationConfiguration,
    NotificationConfigurationFilter, QueueConfiguration, S3KeyFilter, TopicConfiguration,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use futures::{StreamExt, stream};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use stepwell_tests::{
    api::{ACCOUNT, REGION},
    block_on, deploy, http,
    ministack::Ministack,
    until,
    ways::{PATIENCE, Stack, csv},
    workspace,
};

const STREAM: &str = "clicks";
const RUNNING_MAX: usize = 3;

/// One ministack with two stacks of the one template.
struct Ways {
    /// With a stream, and any number of executions at the same time.
    wide: Stack,
    /// With few executions at the same time; here nobody tells the time but the schedule.
    narrow: Stack,
}

static WAYS: LazyLock<Ways> = LazyLock::new(|| block_on(set_up()));

async fn set_up() -> Ways {
    let folder = workspace::scratch("ways-in");
    let ministack = Arc::new(Ministack::start(&folder, &[("MINISTACK_ACCOUNT_ID", ACCOUNT)]).await);
    let stream = json!({"StreamName": STREAM, "ShardCount": 2});
    ministack.endpoint.json("kinesis", "Kinesis_20131202.CreateStream", &stream).await;
    let stream = format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{STREAM}");
    let template = deploy::packaged(&ministack, &folder).await;
    let wide = deploy::stack(&ministack, "wide", &template, &[("StreamArn", &stream)]).await;
    let most = RUNNING_MAX.to_string();
    let narrow = deploy::stack(&ministack, "narrow", &template, &[("RunningMax", &most)]).await;
    Ways { wide: Stack::new(wide), narrow: Stack::new(narrow) }
}

fn moment(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// An event of EventBridge about an object, as it is in the body of a message.
fn created(bucket: &str, key: &str) -> Value {
    json!({
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": ACCOUNT,
        "detail": {
            "version": "0",
            "bucket": { "name": bucket },
            "object": { "key": key, "size": 5, "sequencer": "00617F08299329D189" },
            "reason": "PutObject",
        },
    })
}

fn prefix_filter(prefix: &str) -> NotificationConfigurationFilter {
    let rule = FilterRule::builder().name(FilterRuleName::Prefix).value(prefix).build();
    NotificationConfigurationFilter::builder().key(S3KeyFilter::builder().filter_rules(rule).build()).build()
}

/// Each service that S3 tells of uploads, and what those pass it on to, leads to one run.
#[test]
fn an_upload_is_loaded_whichever_way_s3_tells_of_it() {
    let stack = &WAYS.wide;
    let (deployment, endpoint) = (&stack.deployment, &stack.deployment.endpoint);
    block_on(async {
        let sns = endpoint.sns();
        let mut topics = Vec::new();
        let queue = stack.events_queue_arn().await;
        for (name, protocol, subscriber) in
            [("told", "lambda", stack.output("TriggerFunctionArn")), ("queued", "sqs", &queue)]
        {
            let topic = sns.create_topic().name(name).send().await.expect("a topic");
            let topic = topic.topic_arn().expect("a topic has an ARN").to_owned();
            let subscribing = sns.subscribe().topic_arn(&topic).protocol(protocol).endpoint(subscriber);
            subscribing.send().await.expect("a topic can be subscribed to");
            topics.push(topic);
        }
        let uploaded = Event::from("s3:ObjectCreated:*");
        let by_topic = |prefix, topic: &str| {
            let told = TopicConfiguration::builder().filter(prefix_filter(prefix)).topic_arn(topic);
            told.events(uploaded.clone()).build().expect("a configuration")
        };
        let by_queue = QueueConfiguration::builder().filter(prefix_filter("way-queue/")).queue_arn(&queue);
        let by_function = LambdaFunctionConfiguration::builder()
            .filter(prefix_filter("way-lambda/"))
            .lambda_function_arn(stack.output("TriggerFunctionArn"));
        let configuration = NotificationConfiguration::builder()
            .topic_configurations(by_topic("way-sns/", &topics[0]))
            .topic_configurations(by_topic("way-snsqueue/", &topics[1]))
            .queue_configurations(by_queue.events(uploaded.clone()).build().expect("a configuration"))
            .lambda_function_configurations(by_function.events(uploaded.clone()).build().expect("a configuration"))
            .build();
        let put = endpoint.s3().put_bucket_notification_configuration().bucket(&deployment.uploads);
        put.notification_configuration(configuration).send().await.expect("a bucket can be told whom to tell");

        let ways = ["way-lambda", "way-sns", "way-snsqueue", "way-queue", "way-bridge"];
        for way in ways {
            stack.push(way, &format!("match: \"{way}/*.csv\"")).await;
        }
        for way in ways {
            let bucket = if way == "way-bridge" { &deployment.landing } else { &deployment.uploads };
            deployment.put(bucket, &format!("{way}/a b+\u{fc}.csv"), csv(0..100)).await;
        }
        for way in ways {
            let ended = stack.succeeded(&format!("{way}-"), 1).await;
            assert_eq!(ended[0].output["run"]["source"]["key"], format!("{way}/a b+\u{fc}.csv"), "{way}");
            stack.assert_holds(way, 100).await;
        }
        stack.receive_dead_letters().await;
        assert_eq!(stack.dead_letters_so_far("s3:TestEvent"), [], "test events are ignored");
    });
}

/// Of one batch of messages only those end among the dead letters that can never be handled.
#[test]
fn poison_stops_none_of_its_neighbours() {
    let stack = &WAYS.wide;
    block_on(async {
        stack.push("poisoned", "match: \"poisoned/*.csv\"").await;
        let uploads = &stack.deployment.uploads;
        let mut messages = Vec::new();
        for number in 0..8 {
            let key = format!("poisoned/{number}.csv");
            stack.deployment.put(uploads, &key, csv(number * 10..number * 10 + 10)).await;
            messages.push(created(uploads, &key).to_string());
        }
        messages.insert(0, json!({"poison": "of another shape"}).to_string());
        messages.insert(5, "poison that is {no JSON".to_owned());
        stack.send_to(stack.output("EventsQueueUrl"), messages).await;

        stack.succeeded("poisoned-", 8).await;
        stack.assert_holds("poisoned", 80).await;
        for poison in ["of another shape", "that is {no JSON"] {
            let letter = stack.dead_letter(poison).await;
            assert_eq!(letter.attributes["error"], "InvalidInput", "{letter:?}");
            assert!(!letter.attributes["message"].is_empty(), "{letter:?}");
        }
    });
}

/// Who invokes the function without waiting finds what failed in the same place.
#[test]
fn what_nobody_waits_for_fails_into_the_dead_letters() {
    let stack = &WAYS.wide;
    block_on(async {
        stack.invoke_asynchronously(&json!({"nonsense": "sent and forgotten"})).await;
        let letter = stack.dead_letter("sent and forgotten").await;
        assert!(letter.body.contains("InvalidInput"), "{letter:?}");
    });
}

#[test]
fn an_object_that_no_pipeline_wants_is_reported() {
    let stack = &WAYS.wide;
    block_on(async {
        stack.push("wanted", "match: \"wanted/*.csv\"").await;
        stack.upload("wnated/lost.csv", csv(0..1)).await;
        let letter = stack.dead_letter("wnated/lost.csv").await;
        assert_eq!(letter.attributes["error"], "NoPipeline", "{letter:?}");
        assert!(letter.attributes["message"].contains("wanted/*.csv"), "the nearest pattern is named: {letter:?}");
    });
}

/// An object goes to all pipelines that want it, whatever becomes of the others; and content decides where it is asked.
#[test]
fn an_object_goes_to_all_pipelines_that_want_it() {
    let stack = &WAYS.wide;
    block_on(async {
        for name in ["fan-one", "fan-two"] {
            stack.push(name, "match: \"fan/*.csv\"").await;
        }
        stack.upload("fan/out.csv", csv(0..100)).await;
        for name in ["fan-one", "fan-two"] {
            stack.succeeded(&format!("{name}-"), 1).await;
            stack.assert_holds(name, 100).await;
        }

        for kind in ["orders", "returns"] {
            let source = format!("match: {{ key: \"mixed/*.ndjson\", where: {{ type: {kind} }} }}");
            stack.push(&format!("{kind}-only"), &source).await;
        }
        for (kind, ids) in [("orders", 0..20), ("returns", 20..50)] {
            let lines: String = ids.map(|id| format!("{}\n", json!({"id": id, "type": kind}))).collect();
            stack.upload(&format!("mixed/{kind}.ndjson"), lines.into_bytes()).await;
        }
        for (name, records) in [("orders-only", 20), ("returns-only", 30)] {
            stack.succeeded(&format!("{name}-"), 1).await;
            stack.assert_holds(name, records).await;
        }
    });
}

/// Thirty small objects are three runs, and what is left over waits no longer than it is to.
#[test]
fn small_objects_are_gathered() {
    let stack = &WAYS.wide;
    block_on(async {
        stack.push("full", "match: \"full/*.csv\"\nbatch: { max_files: 10, max_wait: 1h }").await;
        stack.push("rest", "match: \"rest/*.csv\"\nbatch: { max_files: 10, max_wait: 1m }").await;
        let uploads = stream::iter(0..30_u32);
        let each = |number| stack.upload_owned(format!("full/{number}.csv"), csv(number * 10..number * 10 + 10));
        uploads.for_each_concurrent(8, each).await;
        stack.ticked_until_loaded("full-", 300, || moment(Utc::now())).await;
        stack.succeeded("full-", 3).await;
        stack.assert_holds("full", 300).await;

        for number in 0..4 {
            stack.upload(&format!("rest/{number}.csv"), csv(number * 10..number * 10 + 10)).await;
        }
        stack.ticked_until_loaded("rest-", 40, || moment(Utc::now() + TimeDelta::minutes(2))).await;
        stack.assert_holds("rest", 40).await;
    });
}

/// More objects than a page of a listing holds are one run, however often the time is told.
#[test]
fn a_scheduled_batch_is_one_run() {
    const OBJECTS: u32 = 1_100;
    let stack = &WAYS.wide;
    block_on(async {
        let due = Utc::now() + TimeDelta::minutes(3);
        let source = format!(
            "match: \"nightly/**/*.csv\"\nformat: csv\nschedule: {{ cron: \"{}\", time_zone: UTC, prefix: \"nightly/{{today:%Y/%m/%d}}/\", complete_when: {{ object: _SUCCESS }} }}",
            due.format("%-M %-H %-d %-m *"),
        );
        stack.push("nightly", &source).await;
        let folder = due.format("nightly/%Y/%m/%d").to_string();
        // The same base names in many folders.
        let each = |number| {
            stack.upload_owned(format!("{folder}/{}/{}.csv", number / 10, number % 10), csv(number..number + 1))
        };
        stream::iter(0..OBJECTS).for_each_concurrent(16, each).await;
        stack.tick(&moment(Utc::now())).await;
        // Half of a batch is none.
        stack.tick(&moment(due + TimeDelta::seconds(5))).await;
        assert_eq!(stack.deployment.executions("nightly-").await.len(), 0, "it is not complete");

        stack.upload(&format!("{folder}/_SUCCESS"), Vec::new()).await;
        for minutes in [1, 1, 2] {
            stack.tick(&moment(due + TimeDelta::minutes(minutes))).await;
        }
        stack.succeeded("nightly-", 1).await;
        stack.assert_holds("nightly", OBJECTS.into()).await;
    });
}

/// A client without access to any bucket has its file loaded and gets the result.
#[test]
fn a_job_is_uploaded_run_and_its_result_downloaded() {
    let stack = &WAYS.wide;
    block_on(async {
        stack.push("jobs-done", "match: \"jobs-done/*.csv\"").await;
        let (status, _) = stack.ask_as_anybody(Method::GET, "/jobs", &[], &Value::Null).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "nobody asks without a signature");

        let (finished, job) = job(stack, "jobs-done", "some file.csv", csv(0..100)).await;
        assert_eq!(finished["state"], "DONE", "{finished}");
        assert_eq!(finished["records"]["loaded"], 100, "{finished}");
        stack.assert_holds("jobs-done", 100).await;

        let (status, result) = stack.ask(Method::GET, &format!("/jobs/{job}/result"), &[], &Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{result}");
        let link = result["files"][0]["url"].as_str().expect("a link");
        let (status, _, file) = http::send(Method::GET, link, &[], "").await.expect("a file");
        assert_eq!((status, &file[..4]), (StatusCode::OK, &b"PAR1"[..]), "the link leads to a Parquet file");

        let (status, listed) = stack.ask(Method::GET, "/jobs?limit=100", &[], &Value::Null).await;
        let ids = listed["jobs"].as_array().into_iter().flatten().map(|job| &job["id"]);
        assert!(status == StatusCode::OK && ids.into_iter().any(|id| *id == job), "{listed}");
        let (status, document) = stack.ask(Method::GET, "/openapi.json", &[], &Value::Null).await;
        assert!(status == StatusCode::OK && document["openapi"].is_string(), "{document}");
    });
}

#[test]
fn a_job_that_fails_tells_why() {
    let stack = &WAYS.wide;
    block_on(async {
        stack.push("jobs-failed", "match: \"jobs-failed/*.csv\"").await;
        let (finished, job) = job(stack, "jobs-failed", "wrong.csv", b"identity\n1\n".to_vec()).await;
        assert_eq!(finished["state"], "FAILED", "{finished}");
        assert_eq!(finished["error"]["error"], "SchemaMismatch", "{finished}");
        let (status, _) = stack.ask(Method::GET, &format!("/jobs/{job}/result"), &[], &Value::Null).await;
        assert_eq!(status, StatusCode::CONFLICT, "there is no result");
    });
}

/// Asks for a job twice with the same key, uploads its file and waits for its end. Gives the job and its id.
async fn job(stack: &Stack, pipeline: &str, filename: &str, file: Vec<u8>) -> (Value, String) {
    let wanted = json!({"filename": filename, "pipeline": pipeline});
    let (_, made) = stack.ask(Method::POST, "/jobs", &[("idempotency-key", pipeline)], &wanted).await;
    let (_, again) = stack.ask(Method::POST, "/jobs", &[("idempotency-key", pipeline)], &wanted).await;
    let job = made["id"].as_str().unwrap_or_else(|| panic!("no job: {made}")).to_owned();
    assert_eq!(again["id"], *job, "one key, one job: {again}");
    let link = made["upload"]["url"].as_str().unwrap_or_else(|| panic!("no link: {made}"));
    let (status, _, answer) = http::send(Method::PUT, link, &[], file).await.expect("an answer");
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer));
    let finished = until(&format!("the end of job {job}"), PATIENCE, async || {
        let (status, job) = stack.ask(Method::GET, &format!("/jobs/{job}"), &[], &Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{job}");
        ["DONE", "FAILED"].iter().any(|state| job["state"] == *state).then_some(job)
    })
    .await;
    (finished, job)
}

#[test]
fn records_of_a_stream_are_loaded() {
    const RECORDS: u32 = 60;
    let stack = &WAYS.wide;
    block_on(async {
        stack.push("streamed", &format!("match: \"streams/{STREAM}/**\"\nformat: ndjson")).await;
        let mut data: Vec<_> = (0..RECORDS).map(|id| json!({"id": id, "region": "north"}).to_string()).collect();
        data.insert(7, "{a record that is no JSON".to_owned());
        let records = data.iter().enumerate();
        let records: Vec<_> = records
            .map(|(id, data)| json!({"PartitionKey": id.to_string(), "Data": BASE64_STANDARD.encode(data)}))
            .collect();
        let put = json!({"StreamName": STREAM, "Records": records});
        let answer = stack.deployment.endpoint.json("kinesis", "Kinesis_20131202.PutRecords", &put).await;
        assert_eq!(answer["FailedRecordCount"], 0, "{answer}");
        stack.loaded_in_the_end("streamed-", RECORDS.into()).await;
        stack.assert_holds("streamed", RECORDS.into()).await;
        let letter = stack.dead_letter("shardId-").await;
        assert_eq!(letter.attributes["error"], "UnreadableSource", "{letter:?}");
    });
}

#[test]
fn messages_that_are_data_are_loaded() {
    let stack = &WAYS.wide;
    block_on(async {
        stack.push("messages", "match: \"queues/**\"\nformat: ndjson").await;
        let mut bodies: Vec<_> = (0..9).map(|id| json!({"id": id, "region": "south"}).to_string()).collect();
        bodies.insert(4, "{a message that is no JSON".to_owned());
        stack.send_to(stack.output("DataQueueUrl"), bodies).await;
        stack.loaded_in_the_end("messages-", 9).await;
        stack.assert_holds("messages", 9).await;
        let letter = stack.dead_letter("message_id").await;
        assert_eq!(letter.attributes["error"], "UnreadableSource", "{letter:?}");
    });
}

/// Of fifty objects those are loaded that are not, however often the backfill is asked for.
#[test]
fn a_backfill_loads_what_is_not_loaded() {
    const OBJECTS: u32 = 50;
    let stack = &WAYS.wide;
    let deployment = &stack.deployment;
    block_on(async {
        stack.push("old", "match: \"old/*.csv\"").await;
        for number in 0..OBJECTS {
            let key = format!("old/{number:02}.csv");
            deployment.put(&deployment.uploads, &key, csv(number * 10..number * 10 + 10)).await;
        }
        let mut before = Vec::new();
        for number in (0..OBJECTS).step_by(2) {
            before.push(deployment.start(&format!("before-{number}"), &format!("old/{number:02}.csv")).await);
        }
        for arn in before {
            let finished = deployment.finished(&arn, PATIENCE).await;
            assert_eq!(finished.status, "SUCCEEDED", "{finished:?}");
        }
        let backfill = json!({"backfill": {"bucket": deployment.uploads, "prefix": "old/", "pipeline": "old"}});
        for _ in 0..2 {
            stack.send(&backfill).await;
        }
        stack.succeeded("old-", (OBJECTS / 2).try_into().expect("few")).await;
        stack.assert_holds("old", u64::from(OBJECTS) * 10).await;
        assert_eq!(stack.commits("old").await.len(), usize::try_from(OBJECTS).expect("few"));
    });
}

/// However many objects land at once, no more executions run at the same time than may, and all of them run.
#[test]
fn a_burst_keeps_to_the_limit_and_drains() {
    let stack = &WAYS.narrow;
    let burst: u32 = env::var("STEPWELL_BURST").map_or(40, |burst| burst.parse().expect("a number"));
    block_on(async {
        stack.push("burst", "match: \"burst/*.csv\"").await;
        let each = |number| stack.upload_owned(format!("burst/{number}.csv"), csv(number * 10..number * 10 + 10));
        stream::iter(0..burst).for_each_concurrent(16, each).await;
        let limit = PATIENCE * (1 + burst / 40);
        let records = u64::from(burst) * 10;
        until("the burst to drain", limit, async || (stack.loaded("burst-").await == records).then_some(())).await;
        stack.succeeded("burst-", burst.try_into().expect("few")).await;
        stack.assert_holds("burst", records).await;
        let most = stack.most_at_once("").await;
        assert!(most <= RUNNING_MAX, "{most} executions ran at the same time");
    });
}

/// The schedule of the template tells the time by itself, so that a batch that nobody completes is cut.
#[test]
fn time_passes_by_itself() {
    let stack = &WAYS.narrow;
    block_on(async {
        stack.push("waiting", "match: \"waiting/*.csv\"\nbatch: { max_files: 10, max_wait: 1m }").await;
        stack.upload("waiting/alone.csv", csv(0..10)).await;
        stack.loaded_in_the_end("waiting-", 10).await;
        stack.receive_dead_letters().await;
        assert_eq!(stack.dead_letters_so_far("tick"), [], "every tick was understood");
    });
}
