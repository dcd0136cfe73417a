//! How a backfill goes on, round by round and worker by worker.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::FutureExt;
use object_store::ObjectStoreExt;
use serde_json::json;
use stepwell_pipeline::{ErrorKind, store::Stores};
use stepwell_trigger::{
    backfill::{Backfill, BackfillRequest, Clock, Ended, Watch},
    handler,
};

use crate::{
    outside::{Faults, Line, Turns},
    world::{World, key, keys, request, request_id, sendable},
};

#[tokio::test]
async fn throttled_it_slows_down_and_gets_all_done() {
    let world = World::with(Line::default(), 5).await;
    for number in 0..300 {
        world.land(&key(number)).await;
    }
    let (state, _) = world.run(&BackfillRequest { rate: Some(100.0), ..request() }).await.expect("done");
    assert_eq!((state.counts.started, world.keys().len()), (300, 300));
    let took = world.clock.now();
    assert!(took >= Duration::from_secs(59), "five per second at most: {took:?}");
}

/// Lambda and its queue: rounds that end before their time is up and send themselves on.
#[tokio::test]
async fn a_function_goes_on_by_messages_until_all_is_done() {
    let mut world = World::new().await;
    for number in 0..60 {
        world.land(&key(number)).await;
    }
    let mut messages =
        vec![json!({"backfill": {"bucket": "landing", "prefix": "in/", "pipeline": "sales", "rate": 1000}})];
    let mut rounds = 0;
    while let Some(message) = messages.pop() {
        rounds += 1;
        assert!(rounds < 100, "it goes on for ever");
        world.allow(7);
        let answer = sendable(handler(&world.outside.ports, message.clone())).await.expect("handled");
        // Whatever comes twice does no harm.
        world.allow(7);
        if rounds % 3 == 0 {
            handler(&world.outside.ports, message).await.expect("handled twice");
        }
        messages
            .extend(world.outside.queue.take_sent().into_iter().map(|(body, _)| serde_json::from_str(&body).unwrap()));
        messages.truncate(2);
        if answer["backfill"]["done"] == true {
            assert_eq!(answer["backfill"]["counts"]["started"], 60);
        }
    }
    assert!(rounds > 5, "{rounds}");
    assert_eq!(world.keys(), keys(0..60));
    // A message of a round that is over changes nothing and sends nothing.
    let id = request_id();
    handler(&world.outside.ports, json!({"backfill": {"id": id, "round": 1}})).await.expect("stale");
    assert_eq!(world.outside.queue.take_sent(), []);
}

/// Without time to deal with a single object, a round says so instead of going on for ever.
#[tokio::test]
async fn a_round_that_gets_nowhere_is_an_error() {
    let mut world = World::with(Line::default(), 0).await;
    world.land(&key(1)).await;
    world.allow(2);
    let error = world.run(&request()).await.expect_err("throttled all the time");
    assert_eq!(error.kind(), ErrorKind::OutOfTime);
    assert_eq!(world.outside.queue.take_sent(), []);
}

/// However long each look at an object takes, the first of a round has the first turn.
#[tokio::test]
async fn a_slow_look_at_the_first_object_keeps_no_round_from_getting_further() {
    let mut world = World::with(Line::new(Faults::default(), Turns::Uneven), usize::MAX).await;
    for number in 0..20 {
        world.land(&key(number)).await;
    }
    for rounds in 1.. {
        assert!(rounds < 30, "it goes on for ever");
        world.allow(3);
        let slow = BackfillRequest { rate: Some(2.0), ..request() };
        if world.run(&slow).await.expect("it gets further").1 == Ended::Done {
            break;
        }
    }
    assert_eq!(world.keys().len(), 20);
}

/// The later of two workers takes over; the earlier notices and leaves it alone.
#[tokio::test]
async fn of_two_workers_the_later_goes_on() {
    struct TakenOver<'a>(&'a World, AtomicUsize);

    impl Watch for TakenOver<'_> {
        fn advanced(&self, _: &Backfill, _: f64) {
            if self.1.fetch_add(1, Ordering::SeqCst) == 3 {
                // In the middle of the first worker's batch.
                let request = BackfillRequest { rate: Some(900.0), ..request() };
                let (state, ended) = self.0.run(&request).now_or_never().expect("in memory").expect("done");
                assert_eq!((ended, state.counts.started), (Ended::Done, 40));
            }
        }
    }

    let world = World::new().await;
    for number in 0..40 {
        world.land(&key(number)).await;
    }
    let watch = TakenOver(&world, AtomicUsize::new(0));
    let error = world.run_watched(&watch, &request()).await.expect_err("taken over");
    assert!(error.report().contains("another worker took over"), "{}", error.report());
    assert_eq!(world.started(), 40, "the names are the same");
}

/// Objects come and go before and after the position while the worker is at it.
#[tokio::test]
async fn a_listing_that_changes_meanwhile_loses_nothing_that_stays() {
    let mut world = World::new().await;
    for number in 0..400 {
        world.land(&format!("in/x/{number:05}.csv")).await;
    }
    let landing = world.outside.stores.bucket("landing").unwrap();
    let mut gone = BTreeSet::new();
    for round in 0.. {
        world.allow(40);
        let (state, ended) = world.run(&request()).await.expect("a round");
        if ended == Ended::Done {
            assert!(round > 3, "{round} rounds");
            break;
        }
        // The position itself, one before it and one after it go; one before it and one after it come.
        let after: usize = state.after.as_deref().and_then(|key| key[5..10].parse().ok()).unwrap();
        for number in [after, after.saturating_sub(5), after + 20] {
            gone.insert(format!("in/x/{number:05}.csv"));
            landing.delete(&format!("in/x/{number:05}.csv").into()).await.ok();
        }
        world.land(&format!("in/a/{round}.csv")).await;
        world.land(&format!("in/x/{:05}-new.csv", after + 30)).await;
    }
    let keys: BTreeSet<String> = world.keys().into_iter().collect();
    for number in 0..400 {
        let key = format!("in/x/{number:05}.csv");
        assert!(keys.contains(&key) || gone.contains(&key), "{key} was missed");
    }
    assert_eq!(keys.len(), world.started(), "none twice");
    assert!(keys.iter().any(|key| key.ends_with("-new.csv")), "what comes beyond the position is loaded");
}
