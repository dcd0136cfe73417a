//! The same scripted faults on three interpreters of other origin: ours, moto's and ministack's. What they make of
//! the state machine must agree, step by step, but for the defects listed here.
#![allow(clippy::expect_used, reason = "what a check cannot ask for fails the test, and the message says why")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    time::Duration,
};

use serde_json::{Value, json};
use stepwell_tests::{
    api::Endpoint,
    block_on,
    cases::{self, Case, fail},
    deploy,
    deployment::{Finished, finished},
    director::{DIRECTOR_URL, Director},
    history::Step,
    interpreter,
    lambda_host::{Function, LambdaHost},
    ministack::Ministack,
    moto::Moto,
    workspace,
};

/// A case that an engine is known to get wrong, and why we know that it is the engine.
struct Defect {
    engine: &'static str,
    case: &'static str,
    /// The error that the execution ends in there, if any.
    gives: Option<&'static str>,
    reason: &'static str,
}

const DEFECTS: &[Defect] = &[
    Defect {
        engine: "ministack",
        case: "a-result-beyond-the-limit",
        gives: None,
        reason: "it knows no limit; on the service input and output of a state may have 256 KiB \
                 (https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html)",
    },
    Defect {
        engine: "moto",
        case: "a-result-beyond-the-limit",
        gives: Some("States.Runtime"),
        reason: "its States.ALL catches States.DataLimitExceeded, which on the service it does not \
                 (https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html)",
    },
    Defect {
        engine: "ministack",
        case: "an-error-put-into-a-number",
        gives: Some("TransformFailed"),
        reason: "it puts the error in the number's place; by the States Language a ResultPath that cannot be applied \
                 is the error States.ResultPathMatchFailure (https://states-language.net/#errors)",
    },
    Defect {
        engine: "moto",
        case: "an-error-put-into-a-number",
        gives: Some("States.Runtime"),
        reason: "it stumbles over the number and calls that States.Runtime; by the States Language it is \
                 States.ResultPathMatchFailure (https://states-language.net/#errors)",
    },
    Defect { engine: "ministack", case: "no-stage-to-resume", gives: Some("Internal"), reason: MISSING_VARIABLE },
    Defect { engine: "moto", case: "no-stage-to-resume", gives: Some("Internal"), reason: MISSING_VARIABLE },
];

const MISSING_VARIABLE: &str = "it takes Default where a Choice names a missing variable; the service fails with \
    States.Runtime, \"the choice state's condition path references an invalid value\"";

/// The longest that a case takes where waits are real: six waits of at most 2, 4, 8, 16, 32 and 60 seconds.
const LONGEST: Duration = Duration::from_secs(180);

#[derive(Debug, PartialEq)]
struct Outcome {
    status: String,
    error: Option<String>,
    output: Value,
    trace: Vec<Step>,
}

fn input() -> Value {
    json!({"bucket": "landing", "key": "flights/2013 \u{fc}+.csv"})
}

async fn ours(case: &Case) -> Outcome {
    let execution = interpreter::start(case, &input()).await;
    Outcome {
        status: interpreter::status(&execution).to_owned(),
        error: execution.error.clone(),
        output: execution.output.clone().unwrap_or_default(),
        trace: interpreter::trace(&execution),
    }
}

fn theirs(finished: Finished) -> Outcome {
    let Finished { status, error, output, trace, .. } = finished;
    Outcome { status, error, output, trace }
}

/// Runs all cases on an engine, so many at a time, and says where it differs from ours.
async fn compare(engine: &str, endpoint: &Endpoint, state_machine: &str, director: &Director, at_once: usize) {
    let sfn = endpoint.sfn();
    let cases = cases::all();
    let mut differing = BTreeMap::new();
    for batch in cases.chunks(at_once) {
        let mut started = Vec::new();
        for case in batch {
            director.script(&case.name, case.script.clone());
            let request = sfn.start_execution().state_machine_arn(state_machine).name(&case.name);
            let execution = request.input(input().to_string()).send().await.expect("an execution can be started");
            started.push((case, execution.execution_arn().to_owned()));
        }
        for (case, arn) in started {
            let (ours, theirs) = (ours(case).await, theirs(finished(&sfn, &arn, LONGEST).await));
            if ours != theirs {
                let difference = format!("  ours   {ours:?}\n  theirs {theirs:?}");
                differing.insert(case.name.clone(), (theirs.error, difference));
            }
        }
    }
    let defects = DEFECTS.iter().filter(|defect| defect.engine == engine);
    let known: BTreeMap<_, _> = defects.map(|defect| (defect.case, defect)).collect();
    let mut report = String::new();
    for (case, (error, difference)) in &differing {
        match known.get(case.as_str()) {
            Some(defect) if error.as_deref() == defect.gives => {
                println!("{engine}: {case} differs as listed: {}\n{difference}", defect.reason);
            }
            _ => writeln!(report, "{case}\n{difference}").expect("a string takes text"),
        }
    }
    let gone: BTreeSet<_> = known.keys().filter(|case| !differing.contains_key(**case)).collect();
    assert!(gone.is_empty(), "{engine} no longer has the listed defects {gone:?}: take them off the list");
    assert!(report.is_empty(), "{engine} differs from our interpreter:\n{report}");
    println!("{engine}: {} cases, {} of them differ as listed", cases.len(), differing.len());
}

#[test]
fn moto_agrees_with_our_interpreter() {
    block_on(async {
        let folder = workspace::scratch("differential-moto");
        let director = Director::default();
        let moto_address = Moto::choose_address();
        let host = LambdaHost::start(0, Some(moto_address), &folder);
        let moto = Moto::start(moto_address, host.address().port(), &folder).await;
        let mut arns = BTreeMap::new();
        let url = director.serve();
        for name in deploy::FUNCTIONS {
            let function = Function {
                binary: workspace::binary("scripted"),
                variables: vec![(DIRECTOR_URL.to_owned(), url.clone())],
                timeout: Duration::from_secs(2),
            };
            arns.insert(name, host.deploy(name, function));
        }
        let endpoint = Endpoint::from(moto.address);
        let state_machine = deploy::create_state_machine(&endpoint.sfn(), "etl", &arns).await;
        // Its waits are real and cost nothing, so all cases run at once.
        compare("moto", &endpoint, &state_machine, &director, usize::MAX).await;
    });
}

#[test]
fn ministack_agrees_with_our_interpreter() {
    block_on(async {
        let folder = workspace::scratch("differential-ministack");
        let director = Director::default();
        let url = director.serve();
        let ministack = Ministack::start(&folder, &[(DIRECTOR_URL, &url)]).await;
        // The real template, with the scripted binary in place of each real one.
        let binaries = folder.join("binaries");
        std::fs::create_dir(&binaries).expect("a scratch folder can be made");
        for name in deploy::FUNCTIONS.into_iter().chain(["trigger"]) {
            std::fs::copy(workspace::binary("scripted"), binaries.join(name)).expect("a binary can be copied");
        }
        let template = ministack.package(&binaries, &folder).await;
        let outputs = ministack.create_stack("stepwell", &template, &[]).await;
        ministack.set_timeouts("stepwell", 2).await;
        compare("ministack", &ministack.endpoint, &outputs["StateMachineArn"], &director, 4).await;
    });
}

/// "When you redrive an execution, Step Functions re-runs the unsuccessful state"; "the redrive count is increased
/// by 1" (<https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html>). The state that was
/// unsuccessful is `ProcessingFailed`, so the function sees the greater count and gives the stage to resume.
#[test]
fn a_redrive_resumes_at_the_stage_that_failed() {
    block_on(async {
        const STATES: [&str; 7] =
            ["Extract", "ExtractMore", "Transform", "TransformMore", "Load", "LoadMore", "NotifySuccess"];
        for (stage, first) in [("Extract", 0), ("Transform", 2), ("Load", 4)] {
            let broken = Case { name: "broken".to_owned(), script: [(stage, vec![fail("AccessDenied")])].into() };
            let mended = Case { name: "mended".to_owned(), script: BTreeMap::new() };
            let failed = interpreter::start(&broken, &input()).await;
            assert_eq!(failed.error.as_deref(), Some("AccessDenied"), "{stage}");
            let before = interpreter::trace(&failed).len();
            let redriven = interpreter::redrive(failed, &mended).await;
            assert_eq!(interpreter::status(&redriven), "SUCCEEDED", "{stage}");
            let after: Vec<_> =
                interpreter::trace(&redriven).split_off(before).into_iter().map(|step| step.state).collect();
            assert_eq!(after, [&["ProcessingFailed", "Resume"], &STATES[first..]].concat(), "{stage}");
        }
    });
}

/// A second failure is one of its own: it is told, and it can be redriven again.
#[test]
fn a_redriven_execution_can_fail_and_be_redriven_again() {
    block_on(async {
        let broken = Case { name: "broken".to_owned(), script: [("Load", vec![fail("AccessDenied")])].into() };
        let failed = interpreter::start(&broken, &input()).await;
        let failed_again = interpreter::redrive(failed, &broken).await;
        assert_eq!(failed_again.error.as_deref(), Some("AccessDenied"));
        assert_eq!(failed_again.redrive_count, 1);
        let notices = interpreter::trace(&failed_again).iter().filter(|step| step.state == "NotifyFailure").count();
        assert_eq!(notices, 2, "each failure is told");
        let mended = Case { name: "mended".to_owned(), script: BTreeMap::new() };
        let succeeded = interpreter::redrive(failed_again, &mended).await;
        assert_eq!(interpreter::status(&succeeded), "SUCCEEDED");
        assert_eq!(succeeded.redrive_count, 2);
    });
}

/// "If the unsuccessful state is a Fail state, redrive reenters the Fail state and fails again"
/// (<https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html>): the price of the last resort.
#[test]
fn the_last_resort_cannot_be_redriven() {
    block_on(async {
        let exits = vec![stepwell_tests::director::Act::Exit; 3];
        let script = [("Extract", vec![fail("NoPipeline")]), ("NotifyFailure", exits)].into();
        let failed = interpreter::start(&Case { name: "broken".to_owned(), script }, &input()).await;
        assert_eq!(failed.error.as_deref(), Some("NoPipeline"));
        let mended = Case { name: "mended".to_owned(), script: BTreeMap::new() };
        let redriven = interpreter::redrive(failed, &mended).await;
        assert_eq!(interpreter::status(&redriven), "FAILED");
        assert_eq!(redriven.error.as_deref(), Some("NoPipeline"));
    });
}
