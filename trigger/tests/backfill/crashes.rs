//! Each call goes wrong in each way, alone and in pairs; the worker starts again each time that it dies.

use std::collections::BTreeMap;

use serde_json::Value;
use stepwell_pipeline::store::{self, MemoryStores};
use stepwell_trigger::backfill::{Backfill, Ended};

use crate::{
    outside::{Cases, Line, Turns, WAYS_AT_ONCE, Way},
    world::{World, key, keys, request, request_id, sales},
};

#[tokio::test]
async fn every_object_is_started_once_whatever_fails() {
    let world = World::new().await;
    for number in 0..5 {
        world.land(&key(number)).await;
    }
    world.commit(&key(2), &sales()).await;
    let tried = Cases::run(&WAYS_AT_ONCE, 4, async |faults: &_| case(&world.outside.stores, faults).await).await;
    assert!(tried.calls >= 15 && tried.cases > 500, "{tried:?}");
}

/// Runs a backfill with these faults until it is done. Gives the calls that were made.
async fn case(stores: &MemoryStores, faults: &BTreeMap<usize, Way>) -> usize {
    let world = World::again(stores.clone(), Line::new(faults, Turns::Never), usize::MAX);
    let line = &world.outside.line;
    let document = Backfill::document("work", &request_id());
    store::delete(stores, &document).await.unwrap();
    let mut attempts = 0;
    let state = loop {
        attempts += 1;
        assert!(attempts <= 4, "{faults:?}: it never ends");
        match line.process(world.run(&request())).await {
            None => {}
            Some(Ok((state, Ended::Done))) => break state,
            // Before it began: whoever asked for it asks again.
            Some(Err(error)) if error.kind().is_transient() => {}
            other => panic!("{faults:?}: {other:?}"),
        }
    };
    assert_eq!(world.keys(), keys([0, 1, 3, 4]), "{faults:?}");
    assert_eq!((state.counts.listed, state.counts.started, state.counts.committed), (5, 4, 1), "{faults:?}");
    let saved: Value = store::get_json(stores, &document).await.unwrap().unwrap();
    assert_eq!(saved["done"], true, "{faults:?}");
    line.calls()
}
