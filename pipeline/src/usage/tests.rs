use std::{sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStoreExt, PutPayload, path::Path};
use serde_json::{Value, json};

use super::{meter::call, *};
use crate::store::{self, MemoryStores, ObjectRef, PartsUpload, Stores};

fn measured() -> (Meter, Arc<dyn Stores>) {
    let meter = Meter::begin(Stage::Extract, 1024, Duration::ZERO, &mut json!({}));
    let stores = meter.stores(Arc::new(MemoryStores::default()));
    (meter, stores)
}

fn requests(meter: &Meter) -> Requests {
    meter.so_far().requests()
}

#[test]
fn milliseconds_are_rounded_up_and_memory_is_counted_by_1024_mib() {
    let used = call(Stage::Load, 512, Duration::from_micros(1_000_001));
    assert_eq!((used.billed_ms, used.calls), (1001, 1));
    assert!((used.gb_seconds - 0.5 * 1.001).abs() < 1e-12);
    assert_eq!(call(Stage::Load, 512, Duration::from_millis(7)).billed_ms, 7);
}

#[test]
fn rounds_of_a_stage_add_up() {
    let of = |stage, memory_mib, milliseconds, requests_get| StageUsage {
        requests: Requests { requests_get, requests_put: 2, requests_delete: 3, bytes_read: 4, bytes_written: 5 },
        ..call(stage, memory_mib, Duration::from_millis(milliseconds))
    };
    let usage = Usage::default()
        .with_call(of(Stage::Extract, 1024, 1000, 1))
        .with_call(of(Stage::Extract, 2048, 500, 10))
        .with_call(of(Stage::Transform, 1024, 3000, 100));
    let [extract, transform] = &usage.stages[..] else { panic!("two stages: {usage:?}") };
    assert_eq!((extract.calls, extract.billed_ms, extract.memory_mib), (2, 1500, 2048));
    assert!((extract.gb_seconds - 2.0).abs() < 1e-12);
    assert_eq!(transform.calls, 1);
    let both = Requests { requests_get: 11, requests_put: 4, requests_delete: 6, bytes_read: 8, bytes_written: 10 };
    assert_eq!(extract.requests, both);
    assert_eq!(usage.requests().requests_get, 111);
    assert_eq!((usage.calls(), usage.transitions()), (3, 6));
    assert_eq!(usage.with_call(of(Stage::Load, 1024, 1, 0)).transitions(), 9, "and the notice");
}

#[test]
fn usage_travels_in_the_handoff_and_grows() {
    let mut handoff = json!({"bucket": "b", "key": "k"});
    let first = Meter::begin(Stage::Extract, 1024, Duration::from_millis(300), &mut handoff);
    first.end(&mut handoff);
    assert_eq!(handoff["usage"]["stages"][0]["calls"], 1);
    assert!(handoff["usage"]["stages"][0]["billed_ms"].as_u64() >= Some(300), "{handoff}");
    assert_eq!(handoff["usage"]["transitions"], 2);
    assert!(handoff["usage"]["cost_usd"].as_f64() > Some(0.000_05), "{handoff}");

    let second = Meter::begin(Stage::Transform, 1024, Duration::ZERO, &mut handoff);
    assert_eq!(handoff, json!({"bucket": "b", "key": "k"}), "a stage does not see it");
    second.end(&mut handoff);
    let stages: Vec<&Value> = handoff["usage"]["stages"].as_array().expect("stages").iter().collect();
    assert_eq!(stages.iter().map(|stage| &stage["stage"]).collect::<Vec<_>>(), ["Extract", "Transform"]);
    let size = handoff["usage"].to_string().len();
    assert!(size < 1000, "{size} bytes for two stages");
}

#[test]
fn what_is_no_usage_counts_as_none_and_what_is_no_object_takes_none() {
    for input in
        [json!({"usage": 7}), json!({"usage": {"stages": "all"}}), json!({"usage": null}), json!([1]), json!(1)]
    {
        let mut taken = input.clone();
        let meter = Meter::begin(Stage::Extract, 1024, Duration::ZERO, &mut taken);
        assert_eq!(meter.so_far().calls(), 1, "{input}");
        assert_eq!(taken.get("usage"), None, "{input}");
    }
    let mut output = json!("done");
    Meter::begin(Stage::Extract, 1024, Duration::ZERO, &mut json!({})).end(&mut output);
    assert_eq!(output, json!("done"));
}

#[tokio::test]
async fn requests_are_counted_in_their_class_with_their_bytes() {
    let (meter, stores) = measured();
    let object = ObjectRef::new("work", "a/b");
    store::put(&*stores, &object, "12345").await.expect("written");
    assert!(store::put_if(&*stores, &object, "1".into(), None).await.is_ok_and(|written| !written));
    assert_eq!(requests(&meter), Requests { requests_put: 2, bytes_written: 6, ..Requests::default() });

    store::get(&*stores, &object).await.expect("read");
    store::head(&*stores, &object).await.expect("looked at");
    store::get(&*stores, &ObjectRef::new("work", "none")).await.expect("looked for");
    let bucket = stores.bucket("work").expect("a bucket");
    store::get_range(&*bucket, &object, 1..3).await.expect("read");
    let read = requests(&meter);
    assert_eq!((read.requests_get, read.bytes_read, read.requests_put), (4, 7, 2));

    stores.copy(&object, &ObjectRef::new("lake", "c")).await.expect("copied");
    store::delete(&*stores, &object).await.expect("removed");
    store::delete_all(&*stores, "lake", vec![Path::from("c"), Path::from("d")], "cannot").await.expect("removed");
    let all = requests(&meter);
    assert_eq!((all.requests_put, all.requests_delete, all.requests_get), (3, 3, 4));
    assert_eq!((all.bytes_read, all.bytes_written), (7, 6), "a copy moves nothing through the function");
}

#[tokio::test]
async fn an_upload_in_parts_is_a_request_for_each_part_and_two_more() {
    let (meter, stores) = measured();
    let bucket = stores.bucket("work").expect("a bucket");
    let mut upload = PartsUpload::begin(&bucket, &Path::from("large"), 2).await.expect("begun");
    for _ in 0..3 {
        upload.part(PutPayload::from_static(b"123")).await.expect("sent");
    }
    upload.complete().await.expect("completed");
    assert_eq!(requests(&meter), Requests { requests_put: 5, bytes_written: 9, ..Requests::default() });
    PartsUpload::begin(&bucket, &Path::from("other"), 2).await.expect("begun").abort().await;
    assert_eq!((requests(&meter).requests_put, requests(&meter).requests_delete), (6, 1));
}

#[tokio::test]
async fn a_listing_is_a_request_for_each_thousand_keys() {
    let (meter, stores) = measured();
    let bucket = stores.bucket("work").expect("a bucket");
    let listed = async |prefix: &str| {
        let before = requests(&meter).requests_put;
        let objects: Vec<_> = bucket.list(Some(&Path::from(prefix))).try_collect().await.expect("listed");
        (objects.len(), requests(&meter).requests_put - before)
    };
    assert_eq!(listed("none").await, (0, 1));
    for number in 0..1001 {
        bucket.put(&Path::from(format!("many/{number}")), PutPayload::default()).await.expect("written");
    }
    assert_eq!(listed("many").await, (1001, 2));
    bucket.delete(&Path::from("many/0")).await.expect("removed");
    assert_eq!(listed("many").await, (1000, 1));
    // Who takes only the first asks for no second page.
    let before = requests(&meter).requests_put;
    assert!(bucket.list(Some(&Path::from("many"))).next().await.is_some());
    assert_eq!(requests(&meter).requests_put - before, 1);
}

#[tokio::test]
async fn a_listing_of_a_folder_is_a_request_for_each_thousand_keys_and_folders() {
    let (meter, stores) = measured();
    let bucket = stores.bucket("work").expect("a bucket");
    let listed = async || {
        let before = requests(&meter).requests_put;
        let listed = bucket.list_with_delimiter(Some(&Path::from("a"))).await.expect("listed");
        (listed.objects.len(), listed.common_prefixes.len(), requests(&meter).requests_put - before)
    };
    assert_eq!(listed().await, (0, 0, 1));
    for number in 0..500 {
        bucket.put(&Path::from(format!("a/{number}")), PutPayload::default()).await.expect("written");
        bucket.put(&Path::from(format!("a/{number}-/b")), PutPayload::default()).await.expect("written");
    }
    assert_eq!(listed().await, (500, 500, 1));
    bucket.put(&Path::from("a/more"), PutPayload::default()).await.expect("written");
    assert_eq!(listed().await, (501, 500, 2));
}

#[tokio::test]
async fn a_copy_within_a_bucket_is_one_request_that_moves_nothing() {
    let (meter, stores) = measured();
    let bucket = stores.bucket("work").expect("a bucket");
    bucket.put(&Path::from("a"), "12345".into()).await.expect("written");
    bucket.copy(&Path::from("a"), &Path::from("b")).await.expect("copied");
    assert_eq!(requests(&meter), Requests { requests_put: 2, bytes_written: 5, ..Requests::default() });
    assert_eq!(bucket.head(&Path::from("b")).await.expect("copied").size, 5);
}
