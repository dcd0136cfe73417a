//! Whole runs with faults: every single one, and a bounded share of pairs and triples. The whole is
//! `cargo run --release -p stepwell-faults`.
#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::{BTreeSet, HashMap};

use stepwell_faults::{
    Case, Lab, LabMemory, Weather,
    call::{Fault, Operation},
    campaign::{self, Findings, Ground},
    sabotage::Bug,
    scenario::{SCENARIOS, Scenario},
};

const SEED: u64 = 4;

fn scenarios() -> Vec<&'static Scenario> {
    SCENARIOS.iter().collect()
}

fn ground() -> (Lab, Ground) {
    let lab = Lab::new().expect("a lab");
    let mut findings = Findings::default();
    let ground = Ground::survey(&lab, &scenarios(), &mut findings);
    nothing_went_wrong(&findings);
    (lab, ground)
}

fn nothing_went_wrong(findings: &Findings) {
    let shown: Vec<String> = findings
        .violations
        .iter()
        .take(5)
        .map(|(case, violation)| format!("cargo run --release -p stepwell-faults -- --case '{case}'\n  {violation}"))
        .collect();
    assert!(shown.is_empty(), "{} of {} cases:\n{}", findings.violations.len(), findings.cases, shown.join("\n"));
}

#[test]
fn every_single_fault_is_survived() {
    let (_, ground) = ground();
    let memory = LabMemory::default();
    let work = |lab: &Lab, piece: usize| campaign::single(lab, &ground.singles[piece]);
    let findings = campaign::on_threads(&memory, 2, ground.singles.len(), work, |_, _| ()).expect("run");
    nothing_went_wrong(&findings);
    assert!(findings.faults >= 20_000, "only {} faults", findings.faults);
}

#[test]
fn some_pairs_and_triples_are_survived() {
    let (_, ground) = ground();
    let memory = LabMemory::default();
    let pairs = |lab: &Lab, piece: usize| {
        campaign::pairs(lab, &ground.singles[(piece * 37) % ground.singles.len()], 400, piece)
    };
    nothing_went_wrong(&campaign::on_threads(&memory, 2, 300, pairs, |_, _| ()).expect("run"));
    let triples = |lab: &Lab, piece: usize| campaign::triples(lab, &ground, SEED * 1_000_000 + piece as u64, 50);
    nothing_went_wrong(&campaign::on_threads(&memory, 2, 60, triples, |_, _| ()).expect("run"));
}

#[test]
fn a_slow_store_is_survived() {
    let (lab, ground) = ground();
    for piece in 0..60 {
        nothing_went_wrong(&campaign::slow_down(&lab, &ground, SEED * 1_000_000 + piece));
    }
}

#[test]
fn what_is_remembered_is_what_happens() {
    let (lab, ground) = ground();
    for case in ground.singles.iter().step_by(211) {
        let remembered = lab.run(case);
        let done = lab.run_in(case, Weather { forgetful: true, ..Weather::default() });
        assert_eq!(remembered.calls, done.calls, "{case}");
        // Not the executions: of the last, which must change nothing, it is remembered that it did not.
        assert_eq!(remembered.fired, done.fired, "{case}");
        assert_eq!(remembered.violation, done.violation, "{case}");
    }
}

#[test]
fn cases_that_are_taken_for_alike_go_on_alike() {
    let (lab, ground) = ground();
    let mut known = HashMap::new();
    let mut compared = 0;
    for (number, case) in ground.singles.iter().enumerate().step_by(7) {
        let outcome = lab.watch(case);
        let first = case.faults[0];
        for moment in outcome.moments.iter().filter(|moment| moment.calls > first.call) {
            let (other, at) = known.entry(moment.identity).or_insert_with(|| (case.clone(), moment.calls));
            if other.faults == case.faults {
                continue;
            }
            let further: Vec<Fault> = campaign::faults_from(&outcome.calls, moment.calls).collect();
            let second = further[number * 7919 % further.len()];
            let moved = Fault { call: second.call - moment.calls + *at, ..second };
            let with = |case: &Case, second| Case { scenario: case.scenario, faults: vec![case.faults[0], second] };
            let (case, other) = (with(case, second), with(other, moved));
            let (one, two) = (lab.run(&case), lab.run(&other));
            let (one_after, two_after) = (&one.calls[moment.calls as usize..], &two.calls[*at as usize..]);
            assert_eq!(one_after, two_after, "{case} and {other}");
            assert_eq!(one.violation, two.violation, "{case} and {other}");
            compared += 1;
            break;
        }
    }
    assert!(compared > 1000, "only {compared} cases");
}

#[test]
fn scenarios_reach_every_kind_of_call_but_the_trigger_s() {
    let (_, ground) = ground();
    let made: BTreeSet<Operation> =
        ground.scenarios.iter().flat_map(|(_, calls)| calls).map(|call| call.operation).collect();
    for operation in [
        Operation::Head,
        Operation::Get,
        Operation::List,
        Operation::Put,
        Operation::PutIf,
        Operation::Delete,
        Operation::Copy,
        Operation::UploadBegin,
        Operation::UploadPart,
        Operation::UploadComplete,
        Operation::Publish,
    ] {
        assert!(made.contains(&operation), "{operation:?}");
    }
}

#[test]
fn deliberate_bugs_are_caught() {
    let lab = Lab::new().expect("a lab");
    for (bug, case) in Bug::ALL.iter().zip(CAUGHT_BY) {
        let case: Case = case.parse().expect("a case");
        let outcome = lab.run_in(&case, Weather { bug: Some(*bug), ..Weather::default() });
        assert!(outcome.violation.is_some(), "{bug} is not caught by {case}");
        assert_eq!(lab.run(&case).violation, None, "{case} without a bug");
    }
    assert_eq!(Bug::ALL.len(), CAUGHT_BY.len());
}

/// What `cargo run --release -p stepwell-faults -- --bugs` found for each bug, in their order.
const CAUGHT_BY: &[&str] = &[
    "unversioned:52.rival-runs.retry",
    "reverted:74.rival-runs.redrive",
    "newer:",
    "new:",
    "newer:",
    "new:",
    "newer:",
    "new:",
    "late:",
    "untold:",
    "newer:",
    "new:",
    "mended:",
    "too-many-rejects:",
    "mended:",
    "rounds:",
    "rounds:",
    "rounds:",
    "rounds:",
    "late:",
    "rounds:25.wrong-length.retry",
    "pieces:36.fails-before.redrive",
    "new:",
    "mended:",
    "mended:12.fails-before.replay",
];

/// Cases that went wrong once, and what was mended.
const MENDED: &[(&str, &str)] = &[
    ("a spec that is cut short passes for another spec", "new:2.wrong-length.retry"),
    ("a part that is cut short makes transform panic", "new:19.wrong-length.retry"),
    ("a late write of a killed function comes after the clean-up", "new:8.killed-during.retry"),
    (
        "a late copy comes after the clean-up of a superseded run",
        "gzip:28.times-out.retry,31.rival-runs.replay,36.rival-runs.redrive",
    ),
    (
        "load goes on at once though a copy may still come to pass",
        "partitioned:55.conflict.redrive,87.rival-runs.retry,89.times-out.retry",
    ),
    (
        "a failed load's copies stay in the table",
        "unversioned:51.times-out.redrive,52.rival-runs.replay,56.fails-before.replay",
    ),
    ("load fails though it is superseded, since its copies were swept", "unversioned:50.rival-runs.replay"),
    (
        "a removal meets files of the same name that came back",
        "returning:6.rival-runs.redrive,15.slow-down.replay,52.rival-runs.retry",
    ),
    ("a part of an upload is lost, and the upload stays", "pieces:10.torn.retry"),
    ("the older of two versions of one second replaces the newer", "untold:"),
];

#[test]
fn what_was_mended_stays_mended() {
    let lab = Lab::new().expect("a lab");
    for (about, case) in MENDED {
        let case: Case = case.parse().expect("a case");
        assert_eq!(lab.run(&case).violation, None, "{about}: {case}");
    }
}
