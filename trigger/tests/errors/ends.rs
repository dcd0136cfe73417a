//! Executions that end, and uploads that are noted.

use serde_json::{Value, json};
use stepwell_pipeline::{ErrorKind, execution::ExecutionState};

use super::world::{World, ended};

/// A deployment in which two executions ended, and the events that tell of it.
async fn two_ended() -> (World, [Value; 2]) {
    let world = World::limited(2).await;
    let keys = ["in/a.csv", "in/b.csv"];
    for key in keys {
        world.upload(key).await.unwrap();
        world.executions.end(&world.execution(key), ExecutionState::Succeeded(Value::Null));
    }
    let events = keys.map(|key| ended(&world.execution(key)));
    world.line.take_calls();
    (world, events)
}

#[tokio::test]
async fn ends_that_come_together_free_their_slots_with_one_write() {
    let (world, events) = two_ended().await;
    assert_eq!(world.deliver(&events).await, [""; 0]);
    assert_eq!(world.slots().await, 0);
    assert_eq!(world.line.take_calls().count("PUT", "slots.json"), 1);
}

#[tokio::test]
async fn ends_that_cannot_be_told_together_come_again_or_fail_each_by_itself() {
    for (kind, again, letters, looks) in [
        // What is throttled is not asked once more for each message.
        (ErrorKind::Throttled, vec!["0", "1"], 0, 1),
        (ErrorKind::AccessDenied, vec![], 2, 3),
    ] {
        let (world, events) = two_ended().await;
        world.line.fails("GET", "slots.json", kind);
        assert_eq!(world.deliver(&events).await, again, "{kind}");
        assert_eq!(world.line.take_calls().count("GET", "slots.json"), looks, "{kind}");
        let buried: Vec<_> = events.iter().map(|event| (event.clone(), kind.name().to_owned())).collect();
        assert_eq!(world.take_letters(), buried[..letters], "{kind}");
        // Told once more, or sent again out of the dead letters.
        world.line.mend();
        assert_eq!(world.deliver(&events).await, [""; 0], "{kind}");
        assert_eq!(world.slots().await, 0, "{kind}");
    }
}

#[tokio::test]
async fn an_upload_comes_again_where_a_repetition_may_note_it_and_else_is_well() {
    for (kind, is_well) in [(ErrorKind::Throttled, false), (ErrorKind::AccessDenied, true)] {
        for call in ["GET", "PUT"] {
            let world = World::of("{ match: \"in/*\", expect_every: 1day }").await;
            world.line.fails(call, "arrivals/", kind);
            let answer = world.upload("in/a.csv").await;
            assert_eq!(answer.as_ref().map_err(|error| error.kind()).err(), (!is_well).then_some(kind), "{call}");
            assert_eq!(world.running(), ["in/a.csv"], "{kind} {call}");
            world.line.mend();
            let repeated = json!({ "executions": [world.execution("in/a.csv")] });
            assert_eq!(world.upload("in/a.csv").await.unwrap(), repeated, "{kind} {call}");
            assert!(world.document("arrivals/p.json").await["arrived_ms"].is_u64(), "{kind} {call}");
        }
    }
}
