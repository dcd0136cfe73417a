//! Batches by schedule.

use serde_json::json;
use stepwell_pipeline::{
    ErrorKind,
    store::{self, ObjectRef},
};

use super::{warnings::warnings_of, world::World};

/// A schedule at six in the morning of Zurich, of the day before.
async fn daily(more: &str) -> World {
    let source = format!(
        "{{ match: \"in/**/*.csv\", schedule: {{ cron: \"0 6 * * *\", time_zone: Europe/Zurich, \
         prefix: \"in/{{yesterday:%Y/%m/%d}}/\"{more} }} }}"
    );
    World::of(&source).await
}

#[tokio::test]
async fn an_occurrence_that_cannot_be_looked_at_is_reported_in_the_end_if_no_repetition_mends_it() {
    for (kind, is_reported) in [(ErrorKind::Throttled, false), (ErrorKind::AccessDenied, true)] {
        let world = daily(", wait_max: 2h").await;
        world.put("landing", "in/2026/11/20/a.csv", "x").await;
        world.line.fails("LIST", "in/2026/11/20", kind);
        for moment in ["2026-11-21T05:00:00Z", "2026-11-21T06:59:00Z"] {
            assert_eq!(world.tick(moment).await.unwrap_err().kind(), kind);
            assert_eq!(world.take_letters(), [], "{kind} {moment}");
        }
        let answer = world.tick("2026-11-21T07:00:00Z").await;
        assert_eq!(answer.is_ok(), is_reported, "{kind}");
        let letters = world.take_letters();
        let expected = (
            json!({ "schedule": { "pipeline": "p", "occurrence": "2026-11-21T06:00" } }),
            ErrorKind::AccessDenied.name().to_owned(),
        );
        assert_eq!(letters, if is_reported { vec![expected] } else { vec![] }, "{kind}");
        world.line.mend();
        world.tick("2026-11-21T08:00:00Z").await.unwrap();
        assert_eq!(world.running().len(), usize::from(!is_reported), "{kind}");
        for (letter, _) in letters {
            world.handle(letter).await.unwrap();
        }
        assert_eq!(world.running(), ["batches/p/in/2026/11/20.json"], "{kind}");
    }
}

#[tokio::test]
async fn what_was_due_before_the_schedule_was_there_is_not_looked_at_again() {
    // At 05:00 the occurrence was due, one tick before the schedule was there.
    for (first_tick, members) in [("2026-11-21T05:00:59Z", 2), ("2026-11-21T05:01:00Z", 1)] {
        let world = daily(", revisit: 2").await;
        world.tick(first_tick).await.unwrap();
        for day in ["19", "20", "21"] {
            world.put("landing", &format!("in/2026/11/{day}/late.csv"), "x").await;
        }
        world.tick("2026-11-22T05:00:00Z").await.unwrap();
        let expected = ["batches/p/in/2026/11/20.json", "batches/p/in/2026/11/21.json"];
        assert_eq!(world.running(), expected[2 - members..], "{first_tick}");
    }
}

#[tokio::test]
async fn objects_that_are_gone_when_their_batch_is_listed_anew_are_warned_of() {
    for (removed, warned) in [(&[][..], &[][..]), (&["a", "b"], &["files=2"])] {
        let world = daily(", revisit: 1").await;
        for name in ["a", "b", "c"] {
            world.put("landing", &format!("in/2026/11/20/{name}.csv"), "x").await;
        }
        world.tick("2026-11-21T05:00:00Z").await.unwrap();
        for name in removed {
            let object = ObjectRef::new("landing", format!("in/2026/11/20/{name}.csv"));
            store::delete(&world.stores, &object).await.unwrap();
        }
        world.put("landing", "in/2026/11/20/late.csv", "x").await;
        let (answer, warnings) = warnings_of(world.tick("2026-11-22T05:00:00Z")).await;
        answer.unwrap();
        assert_eq!(warnings.len(), warned.len(), "{warnings:?}");
        assert!(warnings.iter().zip(warned).all(|(warning, part)| warning.contains(part)), "{warnings:?}");
        let list = world.document("batches/p/in/2026/11/20.json").await;
        assert_eq!(list["members"].as_array().unwrap().len(), 4 - removed.len());
    }
}
