//! Messages that fail: which come again, and which go to the dead letters with what reason.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use stepwell_pipeline::{
    ErrorKind, StageError,
    queue::{DeathCause, Queue},
    stage::{Budget, StageContext},
};
use stepwell_trigger::Ports;

use super::world::{RECEIVES_MAX, World, bridge, by_sns, notification, spec};

fn fails(world: &World, pipeline: &str, key: &str, times: u32, kind: ErrorKind) {
    world.machine.failures.lock().unwrap().insert((pipeline.into(), key.into()), (times, kind));
}

async fn world() -> World {
    World::of(&[("all", spec("all", "match: 'in/*'")), ("csv", spec("csv", "match: 'in/*.csv'"))]).await
}

#[tokio::test]
async fn what_one_pipeline_may_yet_do_and_another_never_comes_again_and_is_buried_in_the_end() {
    let world = world().await;
    fails(&world, "all", "in/a.csv", 2, ErrorKind::Throttled);
    fails(&world, "csv", "in/a.csv", u32::MAX, ErrorKind::AccessDenied);
    let body = by_sns(&bridge("in/a.csv")).to_string();
    for receives in [1, 2] {
        assert_eq!(world.deliver(&[(body.clone(), receives)]).await, [0].into());
        assert_eq!(world.take_buried(), []);
    }
    assert_eq!(world.deliver(&[(body.clone(), 3)]).await, [].into());
    let cause =
        DeathCause { error: "AccessDenied".into(), message: "csv: not now".into(), pipeline: Some("csv".into()) };
    assert_eq!(world.take_buried(), [(body, cause)]);
    assert_eq!(world.pipelines(), ["all"]);
}

#[tokio::test]
async fn what_fails_for_the_last_time_is_buried_before_the_queue_does_it() {
    let world = world().await;
    fails(&world, "csv", "in/a.csv", u32::MAX, ErrorKind::Throttled);
    let (bad, good) = (bridge("in/a.csv").to_string(), bridge("in/b.csv").to_string());
    for receives in 1..RECEIVES_MAX {
        assert_eq!(world.deliver(&[(bad.clone(), receives), (good.clone(), receives)]).await, [0].into());
    }
    assert_eq!(world.take_buried(), []);
    assert_eq!(world.deliver(&[(good, RECEIVES_MAX), (bad.clone(), RECEIVES_MAX)]).await, [].into());
    let cause = DeathCause { error: "Throttled".into(), message: "csv: not now".into(), pipeline: Some("csv".into()) };
    assert_eq!(world.take_buried(), [(bad, cause)]);
}

#[tokio::test]
async fn a_letter_tells_all_that_went_wrong_with_a_message() {
    let world = world().await;
    fails(&world, "all", "in/a.csv", u32::MAX, ErrorKind::AccessDenied);
    fails(&world, "csv", "in/b.csv", u32::MAX, ErrorKind::AccessDenied);
    let body = notification(&["in/a.csv", "in/%FF", "in/b.csv", "out/c.csv"]);
    assert!(!world.deliver_one(&body).await);
    let [(_, cause)] = &world.take_buried()[..] else { panic!("one letter") };
    assert_eq!((cause.error.as_str(), cause.pipeline.as_deref()), ("AccessDenied", Some("all,csv")));
    for part in ["all: not now", "csv: not now", "is not UTF-8", "fits the key out/c.csv; the nearest is `in/*.csv`"] {
        assert!(cause.message.contains(part), "{part}: {}", cause.message);
    }
    assert_eq!(world.started().len(), 2);
}

#[tokio::test]
async fn a_wrong_spec_is_told_of_what_its_match_fits_and_keeps_no_other_from_starting() {
    let wrong = spec("wrong", "match: 'in/*.csv'").replace("string", "sting");
    let broken = format!("{}schema: [", spec("broken", "match: { key: 'in/*.json' }"));
    let world = World::of(&[("all", spec("all", "match: 'in/*'")), ("wrong", wrong), ("broken", broken)]).await;
    for (key, pipeline) in [("in/a.csv", "wrong"), ("in/a.json", "broken")] {
        assert!(!world.deliver_one(&bridge(key)).await);
        let [(_, cause)] = &world.take_buried()[..] else { panic!("one letter for {key}") };
        assert_eq!((cause.error.as_str(), cause.pipeline.as_deref()), ("InvalidSpec", Some(pipeline)));
        assert!(cause.message.contains(&format!("{pipeline}.yaml:")), "{}", cause.message);
    }
    assert!(!world.deliver_one(&bridge("in/a.txt")).await);
    assert_eq!(world.take_buried(), []);
    assert_eq!(world.pipelines(), ["all", "all", "all"]);
}

#[tokio::test]
async fn a_spec_of_which_nothing_can_be_read_is_told_where_nobody_else_fits() {
    let world = World::of(&[("all", spec("all", "match: 'in/*'")), ("what", "{{{".into())]).await;
    assert!(!world.deliver_one(&bridge("in/a.csv")).await);
    assert_eq!(world.take_buried(), []);
    assert!(!world.deliver_one(&bridge("out/a.csv")).await);
    let [(_, cause)] = &world.take_buried()[..] else { panic!("one letter") };
    assert_eq!((cause.error.as_str(), cause.pipeline.as_deref()), ("InvalidSpec", None));
    assert!(cause.message.contains("pipelines/what.yaml:1: "), "{}", cause.message);

    let large = spec("large", "match: { key: 'in/*', min_bytes: 1000000 }");
    let world = World::of(&[("large", large), ("what", "pipeline: what".into())]).await;
    assert!(!world.deliver_one(&bridge("in/a.csv")).await);
    let [(_, cause)] = &world.take_buried()[..] else { panic!("one letter") };
    assert_eq!((cause.error.as_str(), cause.pipeline.as_deref()), ("NoPipeline", Some("what")));
    for part in ["`large`: it has 5 bytes", "what: pipelines/what.yaml:"] {
        assert!(cause.message.contains(part), "{part}: {}", cause.message);
    }
}

#[tokio::test]
async fn an_event_that_came_by_itself_fails_with_its_error() {
    let world = world().await;
    fails(&world, "csv", "in/a.csv", 1, ErrorKind::Throttled);
    let error = world.handle(bridge("in/a.csv")).await.expect_err("throttled");
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert_eq!(world.handle(json!({"a": 1})).await.expect_err("unknown").kind(), ErrorKind::InvalidInput);
    assert_eq!(world.take_buried(), []);
    assert_eq!(world.pipelines(), ["all"]);
}

/// Dead letters that cannot be sent.
#[derive(Debug)]
struct Closed;

#[async_trait]
impl Queue for Closed {
    async fn send(&self, _: &str, _: u16) -> Result<(), StageError> {
        Err(StageError::new(ErrorKind::AccessDenied, "closed"))
    }

    async fn bury(&self, _: &str, _: &DeathCause) -> Result<(), StageError> {
        Err(StageError::new(ErrorKind::AccessDenied, "closed"))
    }
}

#[tokio::test]
async fn what_the_dead_letters_do_not_take_comes_again() {
    let mut world = world().await;
    world.ports = Ports { queue: Arc::new(Closed), ..world.ports };
    let messages = [(bridge("out/a").to_string(), RECEIVES_MAX), (bridge("in/a").to_string(), 1), ("{".to_owned(), 1)];
    assert_eq!(world.deliver(&messages).await, [0, 2].into());
    assert_eq!(world.pipelines(), ["all"]);
}

/// No time at all.
#[derive(Debug)]
struct Spent;

impl Budget for Spent {
    fn is_spent(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn messages_for_which_there_is_no_time_come_again() {
    let mut world = world().await;
    let context = StageContext { budget: Arc::new(Spent), ..world.ports.context.clone() };
    world.ports = Ports { context, ..world.ports };
    let body = |key: &str| bridge(key).to_string();
    let again = world.deliver(&[(body("in/1.txt"), 1), (body("in/2.txt"), 1), (body("in/3.txt"), RECEIVES_MAX)]).await;
    assert_eq!(again, [1].into());
    assert_eq!(world.started(), [("all".to_owned(), "in/1.txt".to_owned())].into());
    let [(buried, cause)] = &world.take_buried()[..] else { panic!("one letter") };
    assert_eq!((buried, cause.error.as_str()), (&body("in/3.txt"), "OutOfTime"));
}
