//! Every process of a run, killed at every request that it makes: the run ends as if nothing had happened.
#![allow(clippy::expect_used, reason = "what a check cannot ask for fails the test, and the message says why")]

use std::sync::LazyLock;

use stepwell_statemachine::Status;
use stepwell_tests::{
    block_on,
    fault_proxy::Strike,
    kills::{Recovery, Victims},
};
use tokio::sync::Mutex;

// One at a time: requests are counted.
static VICTIMS: LazyLock<Mutex<Victims>> = LazyLock::new(|| Mutex::new(block_on(Victims::start("kills"))));

fn stages_survive(recovery: Recovery) {
    let victims = &*VICTIMS;
    block_on(async {
        let victims = victims.lock().await;
        let key = format!("kills/{recovery:?}-undisturbed.csv");
        let undisturbed = victims.run(&key, None, recovery).await;
        let requests = victims.proxy.requests();
        let expected = victims.left(&key, &undisturbed).await;
        assert_eq!(expected.len(), 4, "two files and two documents of rejects: {expected:?}");
        for request in 0..requests {
            for is_done in [false, true] {
                let strike = Strike { request, is_done };
                let key = format!("kills/{recovery:?}-{request}-{is_done}.csv");
                let execution = victims.run(&key, Some(strike), recovery).await;
                assert_eq!(execution.status, Status::Succeeded, "{strike:?}: {execution:?}");
                assert!(!victims.proxy.is_strike_left(), "{strike:?}: nothing was killed");
                let left = victims.left(&key, &execution).await;
                assert!(left == expected, "{strike:?} of {requests}: {left:?} instead of {expected:?}");
            }
        }
        println!("{requests} requests, each struck before and after it was done");
    });
}

#[test]
fn a_stage_that_is_killed_is_tried_again() {
    stages_survive(Recovery::Retry);
}

#[test]
fn an_execution_whose_stage_is_killed_can_be_replayed() {
    stages_survive(Recovery::Replay);
}

#[test]
fn a_trigger_that_is_killed_starts_one_execution() {
    let victims = &*VICTIMS;
    block_on(async {
        let victims = victims.lock().await;
        assert_eq!(victims.trigger("kills/event-undisturbed.csv", None).await, 1);
        let requests = victims.proxy.requests();
        assert!(requests > 1, "specs are read and an execution is started");
        for request in 0..requests {
            for is_done in [false, true] {
                let key = format!("kills/event-{request}-{is_done}.csv");
                let executions = victims.trigger(&key, Some(Strike { request, is_done })).await;
                assert_eq!(executions, 1, "request {request} of {requests}, done: {is_done}");
            }
        }
    });
}
