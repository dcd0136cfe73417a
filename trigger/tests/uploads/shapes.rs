//! Every shape in which S3 tells of an object.

use serde_json::{Value, json};
use stepwell_pipeline::{ErrorKind, request::RunRequest};

use super::world::{World, bridge, by_sns, by_sns_directly, fixture, notification, spec};

async fn world() -> World {
    World::of(&[("one", spec("one", "match: '**'"))]).await
}

fn kept(event: &Value) -> Value {
    let mut record = fixture(include_str!("../fixtures/invocation-record.json"));
    record["requestPayload"] = event.clone();
    record
}

type Wrapping = fn(&Value) -> Value;

/// What may be around an event, in a queue.
const WRAPPINGS: [(&str, Wrapping); 6] = [
    ("itself, or SNS with raw message delivery", Value::clone),
    ("SNS", by_sns),
    ("SNS, twice", |event| by_sns(&by_sns(event))),
    ("SNS, which called a function", |event| by_sns_directly(std::slice::from_ref(event))),
    ("the record of an asynchronous call that failed", kept),
    ("the record of a call by SNS that failed", |event| kept(&by_sns_directly(std::slice::from_ref(event)))),
];

#[tokio::test]
async fn every_shape_is_understood_in_every_wrapping() {
    let versioned = fixture(include_str!("../fixtures/notification-versioned.json"));
    let request = RunRequest {
        bucket: "sourcebucket".into(),
        key: "Happy Face.jpg".into(),
        version: Some("version".into()),
        etag: Some("d41d8cd98f00b204e9800998ecf8427e".into()),
        size: Some(1024),
        sequencer: Some("Happy Sequencer".into()),
        pipeline: Some("one".into()),
        reason: Some("ObjectCreated:Put".into()),
        more: false,
    };
    let by_bridge = RunRequest {
        bucket: "amzn-s3-demo-bucket1".into(),
        key: "example-key".into(),
        version: Some("IYV3p45BT0ac8hjHg1houSdS1a.Mro8e".into()),
        etag: Some("b1946ac92492d2347c6235b4d2611184".into()),
        size: Some(5),
        sequencer: Some("617f08299329d189".into()),
        pipeline: Some("one".into()),
        reason: Some("PutObject".into()),
        more: false,
    };
    for (event, expected) in [(versioned, request), (fixture(include_str!("../fixtures/eventbridge.json")), by_bridge)]
    {
        for (wrapping, wrapped) in WRAPPINGS {
            let world = world().await;
            assert!(!world.deliver_one(&wrapped(&event)).await, "{wrapping}");
            assert_eq!(world.take_buried(), [], "{wrapping}");
            let queued = world.machine.executions.started();
            assert_eq!(queued.values().collect::<Vec<_>>(), [&expected], "{wrapping}");
            // As the function's own event, without a queue.
            let world = self::world().await;
            world.handle(wrapped(&event)).await.expect(wrapping);
            assert_eq!(world.machine.executions.started(), queued, "{wrapping}");
        }
    }
}

#[tokio::test]
async fn every_way_of_creating_an_object_counts() {
    for name in ["Put", "Post", "Copy", "CompleteMultipartUpload"] {
        for prefix in ["", "s3:"] {
            for version in ["2.1", "2.5", "2.99"] {
                let world = world().await;
                let mut event = notification(&["in/a.csv"]);
                event["Records"][0]["eventName"] = json!(format!("{prefix}ObjectCreated:{name}"));
                event["Records"][0]["eventVersion"] = json!(version);
                world.handle(event).await.expect(name);
                assert_eq!(world.pipelines(), ["one"], "{prefix}{name} {version}");
            }
        }
    }
    for reason in ["PutObject", "POST Object", "CopyObject", "CompleteMultipartUpload"] {
        let world = world().await;
        let mut event = bridge("in/a.csv");
        event["detail"]["reason"] = json!(reason);
        world.handle(event).await.expect(reason);
        assert_eq!(world.pipelines(), ["one"], "{reason}");
    }
}

/// What starts nothing and is no error.
fn ignored() -> Vec<Value> {
    let mut events = vec![
        fixture(include_str!("../fixtures/test-event.json")),
        fixture(include_str!("../fixtures/lifecycle-expiration.json")),
        fixture(include_str!("../fixtures/object-deleted.json")),
        fixture(include_str!("../fixtures/object-restored.json")),
        notification(&["in/"]),
        bridge("in/folder/"),
    ];
    for name in [
        "ObjectRemoved:Delete",
        "ObjectRemoved:DeleteMarkerCreated",
        "LifecycleExpiration:DeleteMarkerCreated",
        "LifecycleTransition",
        "ObjectRestore:Post",
        "ObjectRestore:Completed",
        "ObjectRestore:Delete",
        "ObjectTagging:Put",
        "ObjectAcl:Put",
        "IntelligentTiering",
        "Replication:OperationFailedReplication",
        "ReducedRedundancyLostObject",
    ] {
        let mut event = notification(&["in/a.csv"]);
        event["Records"][0]["eventName"] = json!(name);
        events.push(event);
    }
    for kind in ["Object Deleted", "Object Restore Expired", "Object Tags Added", "Object Access Tier Changed"] {
        let mut event = bridge("in/a.csv");
        event["detail-type"] = json!(kind);
        events.push(event);
    }
    let mut empty = notification(&["in/_SUCCESS"]);
    empty["Records"][0]["s3"]["object"]["size"] = json!(0);
    let mut empty_by_bridge = bridge("nobodys/_SUCCESS");
    empty_by_bridge["detail"]["object"]["size"] = json!(0);
    events.extend([empty, empty_by_bridge]);
    events
}

#[tokio::test]
async fn what_creates_no_file_is_ignored_in_every_wrapping() {
    let world = World::of(&[("one", spec("one", "match: 'in/**'"))]).await;
    for event in ignored() {
        for (wrapping, wrapped) in WRAPPINGS {
            assert!(!world.deliver_one(&wrapped(&event)).await, "{wrapping}: {event}");
            world.handle(wrapped(&event)).await.expect(wrapping);
        }
    }
    assert_eq!(world.take_buried(), []);
    assert_eq!(world.pipelines(), [""; 0]);
}

#[tokio::test]
async fn an_unknown_shape_is_told_with_those_that_are_known() {
    let mut dynamodb = notification(&["in/a.csv"]);
    dynamodb["Records"][0] = json!({"eventSource": "aws:dynamodb", "eventName": "INSERT", "dynamodb": {}});
    let mut instance = bridge("in/a.csv");
    instance["detail-type"] = json!("EC2 Instance State-change Notification");
    let mut recorded = bridge("in/a.csv");
    recorded["detail-type"] = json!("AWS API Call via CloudTrail");
    let shapes = [dynamodb, instance, recorded, json!({}), json!([]), json!("in/a.csv"), json!(5), json!(null)];
    for event in shapes.into_iter().chain([json!({"Records": {}}), json!({"Records": [{}]}), json!({"detail": {}})]) {
        for (wrapping, wrapped) in WRAPPINGS {
            let world = world().await;
            let error = world.handle(wrapped(&event)).await.expect_err(wrapping);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrapping}: {event}");
            assert!(error.report().contains("an S3 notification (`Records`)"), "{}", error.report());
            let body = wrapped(&event);
            assert!(!world.deliver_one(&body).await, "{wrapping}: {event}");
            let [(buried, cause)] = &world.take_buried()[..] else { panic!("{wrapping}: {event}") };
            assert_eq!((buried, cause.error.as_str()), (&body.to_string(), "InvalidInput"));
        }
    }
}

#[tokio::test]
async fn keys_are_decoded_as_their_source_writes_them() {
    let world = world().await;
    for (wrapping, wrapped) in WRAPPINGS {
        let encoded = notification(&["in/a+b%2Bc+%C3%BC+100%25+%2520.csv"]);
        for event in [encoded, bridge("in/a b+c ü 100% %20.csv")] {
            world.handle(wrapped(&event)).await.expect(wrapping);
        }
    }
    assert_eq!(world.started(), [("one".to_owned(), "in/a b+c ü 100% %20.csv".to_owned())].into());
}

#[tokio::test]
async fn no_record_is_skipped_for_the_sake_of_another() {
    let keys = ["in/1.csv", "in/%FF", "in/2.csv", "in/", "in/3.csv"];
    let mut mixed = notification(&keys);
    mixed["Records"].as_array_mut().unwrap().insert(1, json!({"eventName": "ObjectCreated:Put", "s3": {}}));
    let by_topic = by_sns_directly(&[json!("Hello"), mixed.clone(), bridge("in/4.csv"), json!({})]);
    for (event, started) in [(mixed, 3), (by_topic, 4)] {
        let world = world().await;
        let error = world.handle(event.clone()).await.expect_err("some are bad");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(world.started().len(), started, "{event}");
    }
}
