//! Records of Kinesis streams.

use base64::{Engine, prelude::BASE64_STANDARD};
use object_store::{Attribute, Attributes, PutOptions, PutPayload, path::Path};
use serde_json::{Value, json};
use stepwell_pipeline::{
    ErrorKind,
    store::{self, ObjectRef, Stores},
};

use super::world::{World, failed};

async fn world() -> World {
    World::of("{ match: \"streams/**\" }").await
}

/// A record of a stream and a shard.
fn record(stream: &str, shard: &str, sequence: usize) -> Value {
    json!({
        "eventSource": "aws:kinesis",
        "eventID": format!("{shard}:{sequence}"),
        "eventSourceARN": format!("arn:aws:kinesis:us-east-2:123456789012:stream/{stream}"),
        "kinesis": {
            "sequenceNumber": sequence.to_string(), "partitionKey": "1",
            "data": BASE64_STANDARD.encode(format!("{{\"n\":{sequence}}}")),
        },
    })
}

fn delivery(records: &[Value]) -> Value {
    json!({ "Records": records })
}

/// The name of the first object of a shard.
fn first(stream: &str, shard: &str) -> String {
    format!("streams/{stream}/{shard}/{}.ndjson", "0".repeat(64))
}

async fn landed(world: &World, key: &str) -> String {
    let (bytes, _) = store::get(&world.stores, &ObjectRef::new("landing", key)).await.unwrap().unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn records_of_several_shards_in_one_delivery_are_kept_by_shard() {
    let world = world().await;
    let records = [record("s", "a", 1), record("s", "a", 2), record("s", "b", 3), record("t", "b", 4)];
    world.line.fails("PUT", "streams/s/b/", ErrorKind::Throttled);
    // From the first that is not kept on they come again, of that shard alone.
    assert_eq!(failed(&world.handle(delivery(&records)).await.unwrap()), ["3"]);
    assert_eq!(world.keys("landing", "streams").await, [first("s", "a"), first("t", "b")]);
    world.line.mend();
    assert_eq!(failed(&world.handle(delivery(&records[2..])).await.unwrap()), [""; 0]);
    for (stream, shard, text) in
        [("s", "a", "{\"n\":1}\n{\"n\":2}\n"), ("s", "b", "{\"n\":3}\n"), ("t", "b", "{\"n\":4}\n")]
    {
        assert_eq!(landed(&world, &first(stream, shard)).await, text, "{stream} {shard}");
    }
}

#[tokio::test]
async fn a_link_that_is_there_is_looked_at_and_not_read() {
    let world = world().await;
    world.line.fails_once("PUT", "streams/s/a.json", ErrorKind::StoreUnavailable);
    let event = delivery(&[record("s", "a", 1)]);
    assert_eq!(failed(&world.handle(event.clone()).await.unwrap()), ["1"]);
    world.line.take_calls();
    assert_eq!(failed(&world.handle(event).await.unwrap()), [""; 0]);
    let calls = world.line.take_calls();
    assert_eq!((calls.count("HEAD", ".ndjson"), calls.count("GET", ".ndjson")), (1, 0));
    assert_eq!(world.keys("landing", "streams").await, [first("s", "a")]);
}

#[tokio::test]
async fn records_wait_behind_an_object_that_is_no_link() {
    let zero = "0".repeat(64);
    for last in [None, Some(zero.as_str()), Some("-1")] {
        let world = world().await;
        let attributes = last.map(|last| (Attribute::Metadata("last-sequence".into()), last.to_owned()));
        let options = PutOptions { attributes: Attributes::from_iter(attributes), ..PutOptions::default() };
        let path = Path::from(first("s", "a"));
        let bucket = world.stores.bucket("landing").unwrap();
        bucket.put_opts(&path, PutPayload::from_static(b"theirs"), options).await.unwrap();
        assert_eq!(failed(&world.handle(delivery(&[record("s", "a", 1)])).await.unwrap()), ["1"], "{last:?}");
        assert_eq!(world.keys("landing", "streams").await, [first("s", "a")], "{last:?}");
        assert_eq!(landed(&world, &first("s", "a")).await, "theirs", "{last:?}");
    }
}
