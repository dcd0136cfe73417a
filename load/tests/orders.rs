//! Events of versions of one key, in any order and any number: what is current is the newest that was told.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod trips;

use std::env;

use rand::{Rng, SeedableRng, rngs::StdRng};
use stepwell_load::load;
use stepwell_pipeline::handoff::Commit;
use trips::{SPEC, context, table, transformed};

/// Versions from the oldest to the newest, with their sequencers; those of one key differ in length.
const VERSIONS: [(&str, &str); 3] = [("v1", "0055AED6DCD9"), ("v2", "0055AED6DCD90281"), ("v3", "0055AED6DCE")];
/// The most events whose orders are all tried.
const EVENTS: u32 = 6;

/// Carries out the runs that events ask for, one after the other, and looks at the table after each.
async fn check(events: &[usize]) {
    let context = context();
    let mut newest = 0;
    for (number, event) in events.iter().enumerate() {
        newest = newest.max(*event);
        let (version, sequencer) = VERSIONS[*event];
        let asked = transformed(&context, version, sequencer, SPEC).await;
        let loaded = load(&context, asked).await.expect("loaded").done().expect("in one round");
        let is_old = *event < newest;
        assert_eq!(loaded.commit == Commit::Superseded, is_old, "event {number} of {events:?}");
        let (current, _) = VERSIONS[newest];
        assert_eq!(table(&context).await, [current, current], "after event {number} of {events:?}");
    }
}

#[tokio::test]
async fn all_orders_of_a_few_events() {
    let mut orders = 0;
    for events in 1..=EVENTS {
        for code in 0..3_usize.pow(events) {
            let order: Vec<usize> = (0..events).map(|digit| code / 3_usize.pow(digit) % 3).collect();
            check(&order).await;
            orders += 1;
        }
    }
    assert_eq!(orders, 3 + 9 + 27 + 81 + 243 + 729);
}

/// `EVENT_ORDERS` many, of 7 to 20 events; each is told by its seed.
#[tokio::test]
async fn random_orders_of_many_events() {
    let orders = env::var("EVENT_ORDERS").map_or(2_000, |orders| orders.parse().expect("EVENT_ORDERS is a number"));
    for seed in 0..orders {
        let mut random = StdRng::seed_from_u64(seed);
        let events = random.random_range(7..=20);
        let order: Vec<usize> = (0..events).map(|_| random.random_range(0..3)).collect();
        check(&order).await;
    }
}
