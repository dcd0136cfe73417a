use std::sync::Mutex;

use futures::FutureExt;
use stepwell_pipeline::stage::{Unhurried, Until};

use super::*;
use crate::backfill::tests::Virtual;

#[test]
fn turns_are_as_far_apart_as_the_rate_says_and_none_is_made_up_for() {
    let clock = Virtual::default();
    let pace = Pace::new(&clock, &Unhurried, 4.0);
    let turns_ms = |count: usize| -> Vec<u128> { (0..count).map(|_| pace.turn().as_millis()).collect() };
    assert_eq!(turns_ms(4), [0, 250, 500, 750]);
    clock.pass(Duration::from_secs(10));
    assert_eq!(turns_ms(3), [10_000, 10_250, 10_500]);
    pace.throttled();
    assert_eq!(turns_ms(3), [10_750, 11_250, 11_750]);
}

#[test]
fn each_refusal_halves_the_rate_down_to_a_64th() {
    let clock = Virtual::default();
    let pace = Pace::new(&clock, &Unhurried, 400.0);
    for rate in [200.0, 100.0, 50.0, 25.0, 12.5, 6.25, 6.25] {
        pace.throttled();
        assert_eq!(pace.rate(), rate);
        clock.pass(Duration::from_secs(1));
    }
}

#[test]
fn refusals_within_a_second_are_one() {
    let clock = Virtual::default();
    let pace = Pace::new(&clock, &Unhurried, 400.0);
    for (passing_ms, rate) in [(0, 200.0), (0, 200.0), (999, 200.0), (1, 100.0), (999, 100.0)] {
        clock.pass(Duration::from_millis(passing_ms));
        pace.throttled();
        assert_eq!(pace.rate(), rate);
    }
}

#[test]
fn a_halved_rate_is_the_wanted_one_again_after_200_calls_that_went_well() {
    let clock = Virtual::default();
    let pace = Pace::new(&clock, &Unhurried, 400.0);
    pace.throttled();
    for calls in 1..=200 {
        pace.went_well();
        assert_eq!(pace.rate(), 200.0 + f64::from(calls));
    }
    pace.went_well();
    assert_eq!(pace.rate(), 400.0, "never faster than wanted");
}

#[tokio::test]
async fn calls_that_may_succeed_are_repeated_with_growing_waits() {
    use ErrorKind::{AccessDenied, StoreUnavailable, TargetUnavailable, Throttled};

    // Of each course of failures: the outcome, the seconds that passed and the rate at the end.
    for (failures, outcome, seconds, rate) in [
        (vec![], Ok(()), 0, 400.0),
        (vec![StoreUnavailable], Ok(()), 1, 400.0),
        (vec![Throttled], Ok(()), 1, 201.0),
        (vec![Throttled, TargetUnavailable, Throttled], Ok(()), 7, 101.0),
        (vec![StoreUnavailable; 7], Ok(()), 91, 400.0),
        (vec![StoreUnavailable; 8], Err(StoreUnavailable), 91, 400.0),
        (vec![Throttled; 8], Err(Throttled), 91, 6.25),
        (vec![AccessDenied], Err(AccessDenied), 0, 400.0),
        (vec![Throttled, AccessDenied], Err(AccessDenied), 1, 200.0),
    ] {
        let clock = Virtual::default();
        let pace = Pace::new(&clock, &Unhurried, 400.0);
        let left = Mutex::new(failures.clone().into_iter());
        let result = pace
            .patiently(|| {
                let outcome = left.lock().expect("unpoisoned").next().map_or(Ok(()), Err);
                async move { outcome.map_err(|kind| StageError::new(kind, "not now")) }.boxed()
            })
            .await;
        let result = result.map(|done| done.expect("there is time")).map_err(|error| error.kind());
        assert_eq!((result, clock.now(), pace.rate()), (outcome, Duration::from_secs(seconds), rate), "{failures:?}");
        assert_eq!(left.lock().expect("unpoisoned").next(), None, "{failures:?}");
    }
}

#[tokio::test]
async fn no_call_is_repeated_once_the_time_is_up() {
    let (clock, spent) = (Virtual::default(), Until(Instant::now()));
    let pace = Pace::new(&clock, &spent, 400.0);
    let calls = Mutex::new(0);
    let result = pace.patiently(|| {
        *calls.lock().expect("unpoisoned") += 1;
        async { Err::<(), _>(StageError::new(ErrorKind::Throttled, "not now")) }.boxed()
    });
    assert_eq!(result.await.expect("no failure for good"), None);
    assert_eq!((*calls.lock().expect("unpoisoned"), clock.now()), (1, Duration::ZERO));
}

#[tokio::test]
async fn the_clock_of_the_machine_goes_on_by_what_is_slept() {
    let (clock, time) = (SystemClock::default(), Duration::from_millis(5));
    let before = clock.now();
    clock.sleep(time).await;
    assert!(clock.now() >= before + time);
}
