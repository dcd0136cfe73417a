//! Who gets a slot, keeps it and loses it.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use serde_json::{Value, json};
use stepwell_pipeline::{ErrorKind, execution::ExecutionState};

use super::world::{World, ended, pass_ms};

const TICK: &str = "2026-11-21T05:00:00Z";
const MINUTE_MS: u64 = 60_000;

#[tokio::test]
async fn an_upload_is_started_or_waits_or_fails_as_its_slot_can_be_written() {
    // The call, the error, whether it comes to pass; the event's error, and what runs.
    for (call, kind, is_done, error, runs) in [
        ("GET", ErrorKind::Throttled, false, None, false),
        ("GET", ErrorKind::AccessDenied, false, Some(ErrorKind::AccessDenied), false),
        ("PUT", ErrorKind::Throttled, false, None, false),
        ("PUT", ErrorKind::AccessDenied, false, Some(ErrorKind::AccessDenied), false),
        // What became of the write is looked up.
        ("PUT", ErrorKind::StoreUnavailable, false, None, true),
        ("PUT", ErrorKind::StoreUnavailable, true, None, true),
    ] {
        let case = format!("{call} {kind}, done: {is_done}");
        let world = World::limited(1).await;
        if is_done {
            world.line.loses_the_answer_of(call, "slots.json");
        } else {
            world.line.fails_once(call, "slots.json", kind);
        }
        let answer = world.upload("in/a.csv").await;
        assert_eq!(answer.err().map(|error| error.kind()), error, "{case}");
        assert_eq!(world.running().len(), usize::from(runs), "{case}");
        // Whatever it was, the request was written down.
        world.tick(TICK).await.unwrap();
        assert_eq!(world.running(), ["in/a.csv"], "{case}");
    }
}

#[tokio::test]
async fn a_start_that_is_refused_is_the_error_of_its_own_event_and_leaves_nothing_behind() {
    let world = World::limited(1).await;
    world.line.fails("START", "in/a.csv", ErrorKind::AccessDenied);
    let error = world.upload("in/a.csv").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied);
    assert_eq!(world.keys("work", "waiting/").await, [""; 0]);
    // The event itself becomes the dead letter.
    assert_eq!(world.take_letters(), []);
    world.upload("in/b.csv").await.unwrap();
    assert_eq!(world.running(), ["in/b.csv"]);
}

#[tokio::test]
async fn another_start_that_is_refused_is_a_dead_letter_of_its_own() {
    let world = World::limited(2).await;
    world.line.fails_once("GET", "slots.json", ErrorKind::Throttled);
    world.upload("in/a.csv").await.unwrap();
    world.line.fails("START", "in/a.csv", ErrorKind::AccessDenied);
    pass_ms(1);
    world.upload("in/b.csv").await.unwrap();
    assert_eq!((world.running(), world.slots().await), (vec!["in/b.csv".to_owned()], 1));
    assert_eq!(world.keys("work", "waiting/").await, [""; 0]);
    let [(letter, error)] = &world.take_letters()[..] else { panic!("one letter") };
    assert_eq!((&letter["start"]["request"]["key"], error.as_str()), (&json!("in/a.csv"), "AccessDenied"));
    world.line.mend();
    world.handle(letter.clone()).await.unwrap();
    assert_eq!(world.running(), ["in/a.csv", "in/b.csv"]);
}

#[tokio::test]
async fn those_that_wait_longest_get_the_slots_and_a_tick_whose_time_is_up_gives_them_once() {
    let world = World::limited(30).await;
    world.line.fails("GET", "slots.json", ErrorKind::Throttled);
    for number in 0..30 {
        // The keys sort the other way.
        world.upload(&format!("in/{:02}.csv", 29 - number)).await.unwrap();
        pass_ms(1);
    }
    world.line.mend();
    assert_eq!(world.running(), [""; 0]);
    world.budget.0.store(true, Ordering::Relaxed);
    world.tick(TICK).await.unwrap();
    let longest: Vec<String> = (5..30).map(|number| format!("in/{number:02}.csv")).collect();
    assert_eq!(world.running(), longest);
    world.budget.0.store(false, Ordering::Relaxed);
    world.tick(TICK).await.unwrap();
    assert_eq!(world.running().len(), 30);
}

#[tokio::test]
async fn executions_are_looked_at_after_a_minute_and_all_in_their_turn() {
    const EXECUTIONS: usize = 150;
    let world = World::limited(EXECUTIONS).await;
    for number in 0..EXECUTIONS {
        world.upload(&format!("in/{number}.csv")).await.unwrap();
    }
    world.line.take_calls();
    pass_ms(MINUTE_MS - 1);
    world.tick(TICK).await.unwrap();
    assert_eq!(world.line.take_calls().count("DESCRIBE", ""), 0);
    pass_ms(1);
    let mut looked_at = BTreeSet::new();
    for _ in 0..3 {
        world.tick(TICK).await.unwrap();
        let calls = world.line.take_calls();
        // So many that the account's other calls have room.
        assert_eq!(calls.count("DESCRIBE", ""), 60);
        looked_at.extend(calls.keys("DESCRIBE").into_iter().map(str::to_owned));
        pass_ms(MINUTE_MS);
    }
    assert_eq!(looked_at.len(), EXECUTIONS);
    // One that ended without anybody saying so.
    world.executions.end(&world.execution("in/77.csv"), ExecutionState::Succeeded(Value::Null));
    for _ in 0..3 {
        world.tick(TICK).await.unwrap();
        pass_ms(MINUTE_MS);
    }
    assert_eq!(world.slots().await, EXECUTIONS - 1);
}

#[tokio::test]
async fn an_execution_that_nobody_knows_loses_its_slot_after_an_hour() {
    let mut world = World::limited(1).await;
    world.upload("in/a.csv").await.unwrap();
    world.forget_executions();
    world.upload("in/b.csv").await.unwrap();
    pass_ms(60 * MINUTE_MS - 1);
    world.tick(TICK).await.unwrap();
    assert_eq!(world.running(), [""; 0]);
    pass_ms(1);
    world.tick(TICK).await.unwrap();
    assert_eq!(world.running(), ["in/b.csv"]);
    // The end of the one that is gone changes nothing.
    world.handle(ended("p-gone")).await.unwrap();
    assert_eq!(world.slots().await, 1);
}
