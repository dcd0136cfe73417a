use super::*;
use crate::backfill::tests::{Virtual, World, state};

#[test]
fn whatever_starts_nothing_is_skipped() {
    let counts = Counts { listed: 54_321, unfit: 1, empty: 20, outside: 300, committed: 4_000, started: 50_000 };
    assert_eq!(counts.skipped(), 4_321);
}

#[tokio::test]
async fn a_message_takes_a_backfill_up_where_it_stands_unless_its_round_is_over() {
    let saved = Backfill {
        again: true,
        from: Some("2026-01-31T00:00:00.000Z".into()),
        after: Some("in/a.csv".into()),
        counts: Counts { listed: 3, started: 3, ..Counts::default() },
        round: 2,
        worker: "another".into(),
        saved_at: "2026-01-31T00:00:00.000Z".into(),
        ..state()
    };
    for (round, rate, held) in [
        (None, None, Some((2, 1000.0))),
        // The round was over, and its message comes late.
        (Some(1), Some(7.0), None),
        // A worker died in the round, and its message comes again.
        (Some(2), None, Some((2, 1000.0))),
        (Some(3), Some(7.0), Some((3, 7.0))),
    ] {
        let world = World::new();
        let document = Backfill::document("work", "b");
        store::put_json(world.stores(), &document, &saved).await.expect("written");
        let request = BackfillRequest { id: Some("b".into()), round, rate, ..BackfillRequest::default() };
        let taken = Checkpoint::take(&world.ports, &Virtual::default(), &request, None).await;
        let taken = taken.expect("read").expect("there");
        assert_eq!(taken.is_held(), held.is_some(), "{round:?}");
        let now: Backfill = store::get_json(world.stores(), &document).await.expect("read").expect("there");
        assert_eq!(now, taken.state, "{round:?}");
        if let Some((round, rate)) = held {
            assert_ne!(now.worker, saved.worker);
            let (worker, saved_at) = (now.worker.clone(), now.saved_at.clone());
            assert_eq!(now, Backfill { round, rate, worker, saved_at, ..saved.clone() });
        } else {
            assert_eq!(now, saved);
        }
    }
}
