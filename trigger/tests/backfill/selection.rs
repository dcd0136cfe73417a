//! Which objects a backfill starts executions for.

use std::time::Duration;

use object_store::{ObjectStore, ObjectStoreExt};
use stepwell_pipeline::store::{self, Stores};
use stepwell_trigger::backfill::{Backfill, BackfillRequest, Clock, Ended, survey};

use crate::world::{Silent, World, key, keys, request, sales};

#[tokio::test]
async fn what_fits_and_is_not_committed_is_started_no_faster_than_the_rate() {
    let world = World::new().await;
    for number in 0..2_500 {
        world.land(&key(number)).await;
    }
    for number in 0..100 {
        world.commit(&key(number), &sales()).await;
    }
    world.outside.put("landing", "in/01/notes.txt", "no").await;
    world.outside.put("landing", "in/02/empty.csv", "").await;
    world.land("out/1.csv").await;
    let (state, ended) = world.run(&BackfillRequest { rate: Some(50.0), ..request() }).await.expect("done");
    assert_eq!((ended, state.done), (Ended::Done, true));
    let counts = state.counts;
    assert_eq!((counts.listed, counts.unfit, counts.empty, counts.committed), (2_502, 1, 1, 100));
    assert_eq!((counts.started, counts.skipped()), (2_400, 102));
    assert_eq!(world.keys(), keys(100..2_500));
    let mut calls: Vec<Duration> = world.outside.executions.calls.lock().unwrap().clone();
    calls.sort();
    for window in calls.windows(51) {
        let span = window[50] - window[0];
        assert!(span >= Duration::from_millis(990), "51 starts within {span:?}");
    }
    let request = world.outside.executions.started.lock().unwrap().values().next().unwrap().0.clone();
    assert!(request.etag.is_some() && request.size == Some(4) && request.sequencer.is_none(), "{request:?}");
    assert_eq!(request.pipeline.as_deref(), Some("sales"));
}

/// The same request later tells that it is done; under another id what is not committed yet is started under new names.
#[tokio::test]
async fn a_backfill_that_is_done_stays_done() {
    let world = World::new().await;
    for number in 0..5 {
        world.land(&key(number)).await;
    }
    let (first, _) = world.run(&request()).await.expect("done");
    world.land("in/00/later.csv").await;
    let (second, ended) = world.run(&request()).await.expect("done already");
    assert_eq!((ended, &second), (Ended::Done, &first));
    assert_eq!(world.started(), 5);
    world.commit(&key(3), &sales()).await;
    let (third, _) = world.run(&BackfillRequest { id: Some("again".into()), ..request() }).await.expect("done");
    assert_eq!((third.counts.started, third.counts.committed), (5, 1));
    assert_eq!(world.started(), 10);
    let other = BackfillRequest { id: Some("again".into()), prefix: "in/00".into(), ..request() };
    let refused = world.run(&other).await.expect_err("another backfill");
    assert!(refused.report().contains("choose another id"), "{}", refused.report());
}

#[tokio::test]
async fn under_a_mended_spec_what_was_loaded_is_loaded_again_on_demand() {
    let world = World::new().await;
    for number in 0..3 {
        world.land(&key(number)).await;
    }
    world.commit(&key(0), &sales()).await;
    world.commit(&key(1), &sales().replace("int8", "int16")).await;
    let (state, _) = world.run(&request()).await.expect("done");
    assert_eq!((state.counts.committed, state.counts.started), (2, 1));
    // A newer version is not committed, whatever is.
    world.outside.put("landing", &key(0), "a\n2\n").await;
    let (state, _) = world.run(&BackfillRequest { again: true, ..request() }).await.expect("done");
    assert_eq!((state.counts.committed, state.counts.started), (0, 3));
}

#[tokio::test]
async fn a_prefix_is_any_beginning_and_the_time_window_is_half_open() {
    let world = World::new().await;
    for key in ["in/a.csv", "in/ab.csv", "in/ab", "in/ab/c.csv", "in/aa.csv", "in/b.csv", "in/ab.csvx"] {
        world.land(key).await;
    }
    let prefix = BackfillRequest { prefix: "in/ab".into(), ..request() };
    let (state, _) = world.run(&prefix).await.expect("done");
    assert_eq!((world.keys(), state.counts.listed), (vec!["in/ab.csv".to_owned(), "in/ab/c.csv".to_owned()], 4));
    let exact = BackfillRequest { prefix: "in/b.csv".into(), ..request() };
    let (state, _) = world.run(&exact).await.expect("done");
    assert_eq!((state.counts.listed, state.counts.started), (1, 1));

    let meta = world.outside.stores.bucket("landing").unwrap().head(&"in/a.csv".into()).await.unwrap();
    let at = meta.last_modified;
    let text = |moment: chrono::DateTime<chrono::Utc>| Some(moment.to_rfc3339());
    let later = at + chrono::TimeDelta::seconds(1_000);
    for (from, to, started) in [
        (text(at), None, 1),
        (text(later), None, 0),
        (None, text(later), 1),
        (None, text(at - chrono::TimeDelta::seconds(1)), 0),
    ] {
        let window = BackfillRequest { prefix: "in/a.csv".into(), from, to, ..request() };
        let (state, _) = world.run(&window).await.expect("done");
        assert_eq!((state.counts.started, state.counts.outside), (started, 1 - started), "{window:?}");
    }
}

#[tokio::test]
async fn what_would_be_in_vain_is_refused_before_anything_is_written() {
    let world = World::new().await;
    for (wrong, words) in [
        (BackfillRequest { prefix: "out/".into(), ..request() }, "no key that begins with `out/` fits `match` `in/**"),
        (
            BackfillRequest { pipeline: "sale".into(), ..request() },
            "no pipeline is called `sale`; the nearest is `sales`",
        ),
        (BackfillRequest { id: Some("none".into()), ..BackfillRequest::default() }, "there is no backfill none"),
    ] {
        let error = world.run(&wrong).await.expect_err("refused");
        assert!(error.report().contains(words), "{}", error.report());
    }
    let documents = world.outside.stores.bucket("work").unwrap().list_with_delimiter(None).await.unwrap();
    assert_eq!(documents.common_prefixes, [object_store::path::Path::from("pipelines")]);
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_done_and_changes_nothing() {
    let world = World::new().await;
    for number in 0..1_200 {
        world.land(&key(number)).await;
    }
    world.commit(&key(0), &sales()).await;
    let found = survey(&world.outside.ports, &*world.clock, &Silent, &request()).await.expect("looked at");
    let counts = found.backfill.counts;
    assert_eq!((counts.listed, counts.committed, counts.started), (1_200, 1, 1_199));
    assert_eq!((found.first_keys.len(), found.first_keys[0].as_str()), (10, "in/00/00007.csv"));
    assert_eq!(world.keys(), Vec::<String>::new());
    assert!(
        store::get(&world.outside.stores, &Backfill::document("work", &found.backfill.id)).await.unwrap().is_none()
    );
    assert_eq!(world.clock.now(), Duration::ZERO);
}
