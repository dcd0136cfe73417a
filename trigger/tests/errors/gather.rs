//! Many small files.

use serde_json::json;
use stepwell_pipeline::ErrorKind;

use super::world::{World, uploaded};

const WAITING: &str = "gathering/p/waiting/";
/// Long after everything that these tests keep.
const TICK: &str = "2999-01-01T00:00:00Z";

async fn gathering() -> World {
    World::of("{ match: \"in/*\", batch: { max_wait: 5m } }").await
}

#[tokio::test]
async fn an_object_waits_on_where_a_repetition_may_look_at_it() {
    let world = gathering().await;
    for key in ["in/a.json", "in/b.json"] {
        world.put("landing", key, "x").await;
        world.upload(key).await.unwrap();
    }
    world.line.fails("HEAD", "in/a.json", ErrorKind::Throttled);
    assert_eq!(world.tick(TICK).await.unwrap_err().kind(), ErrorKind::Throttled);
    assert_eq!((world.keys("work", WAITING).await.len(), world.take_letters()), (2, vec![]));
    world.line.mend();
    world.tick(TICK).await.unwrap();
    let list = world.document("batches/p/0000000001.json").await;
    assert_eq!(list["members"].as_array().unwrap().len(), 2);
    assert_eq!(world.keys("work", WAITING).await, [""; 0]);
}

#[tokio::test]
async fn an_object_that_became_empty_while_it_waited_is_in_no_batch() {
    let world = gathering().await;
    for (key, bytes) in [("in/a.json", ""), ("in/b.json", "x")] {
        world.upload(key).await.unwrap();
        world.put("landing", key, bytes).await;
    }
    world.tick(TICK).await.unwrap();
    let list = world.document("batches/p/0000000001.json").await;
    let keys: Vec<_> = list["members"].as_array().unwrap().iter().map(|member| &member["key"]).collect();
    assert_eq!(keys, ["in/b.json"]);
    assert_eq!((world.keys("work", WAITING).await.len(), world.take_letters()), (0, vec![]));
}

#[tokio::test]
async fn one_tick_leaves_the_rest_of_very_many_to_the_next() {
    const MARKERS: usize = 21_000;
    let world = gathering().await;
    world.put("landing", "in/a.json", "x").await;
    // All tell of one object, which is in the first batch.
    let object = uploaded("in/a.json")["detail"]["object"].clone();
    let marker = json!({ "bucket": "landing", "key": object["key"], "size": 1, "sequencer": "01" }).to_string();
    for number in 0..MARKERS {
        world.put("work", &format!("{WAITING}{number:05}-1.json"), marker.clone()).await;
    }
    world.tick(TICK).await.unwrap();
    assert_eq!(world.keys("work", WAITING).await.len(), MARKERS - 20_000);
    world.tick(TICK).await.unwrap();
    assert_eq!(world.keys("work", WAITING).await.len(), 0);
    assert_eq!(world.running(), ["batches/p/0000000001.json"]);
}
