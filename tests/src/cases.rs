//! The table of scripted faults that every interpreter of the state machine is put through.

use serde_json::json;
use stepwell_pipeline::ErrorKind;

use crate::director::{Act, Script};

/// One execution whose functions follow a script.
#[derive(Clone, Debug)]
pub struct Case {
    /// What happens, in the words of an execution's name.
    pub name: String,
    /// The script.
    pub script: Script,
}

const STAGES: [&str; 3] = ["Extract", "Transform", "Load"];

/// An invocation that fails with an error of that name.
pub fn fail(error: &str) -> Act {
    Act::Fail { error: error.to_owned(), message: format!("scripted {error}") }
}

fn fails(error: &str, times: usize) -> Vec<Act> {
    vec![fail(error); times]
}

fn case(name: &str, script: impl IntoIterator<Item = (&'static str, Vec<Act>)>) -> Case {
    Case { name: name.to_owned(), script: script.into_iter().collect() }
}

/// All cases.
pub fn all() -> Vec<Case> {
    let mut cases = vec![
        case("everything-goes-well", []),
        // Retried until it works.
        case("extract-fails-once", [("Extract", fails("StoreUnavailable", 1))]),
        case("transform-fails-twice", [("Transform", fails("Throttled", 2))]),
        case("load-fails-twice-in-two-ways", [("Load", vec![fail("TargetUnavailable"), fail("OutOfTime")])]),
        case("every-stage-fails-once", STAGES.map(|stage| (stage, fails("StoreUnavailable", 1)))),
        case("lambda-has-a-bad-moment", [("Extract", fails("Lambda.ServiceException", 1))]),
        case("lambda-does-not-know", [("Transform", fails("Lambda.Unknown", 1))]),
        case("extract-exits-once", [("Extract", vec![Act::Exit])]),
        case("transform-hangs-once", [("Transform", vec![Act::Hang])]),
        case("two-retriers-count-apart", [("Load", vec![fail("Throttled"), Act::Exit, fail("Throttled"), Act::Exit])]),
        case("notice-fails-twice-then-goes", [("NotifySuccess", fails("TargetUnavailable", 2))]),
        // Done in rounds.
        case(
            "every-stage-takes-rounds",
            STAGES.map(|stage| (stage, vec![Act::Give { payload: json!({"round": 1, "more": true}) }])),
        ),
        case(
            "a-later-round-fails-for-good",
            [("Transform", vec![Act::Give { payload: json!({"round": 1, "more": true}) }, fail("TransformFailed")])],
        ),
        // Retried in vain.
        case("extract-is-exhausted", [("Extract", fails("StoreUnavailable", 7))]),
        case(
            "load-is-exhausted-in-two-ways",
            [("Load", [fails("Throttled", 3), fails("TargetUnavailable", 4)].concat())],
        ),
        case("transform-exits-every-time", [("Transform", vec![Act::Exit; 3])]),
        case("extract-is-transient-then-permanent", [("Extract", vec![fail("OutOfTime"), fail("SourceChanged")])]),
        // Not retried.
        case("extract-fails-in-an-unknown-way", [("Extract", fails("SomethingElse", 1))]),
        case("a-missing-function", [("Load", fails("Lambda.ResourceNotFoundException", 1))]),
        // Notices that fail.
        case("success-notice-is-refused", [("NotifySuccess", fails("AccessDenied", 1))]),
        case("success-notice-is-exhausted", [("NotifySuccess", fails("TargetUnavailable", 5))]),
        case("success-notice-exits", [("NotifySuccess", vec![Act::Exit; 3])]),
        case(
            "failure-notice-fails-once",
            [("Transform", fails("TransformFailed", 1)), ("NotifyFailure", fails("Throttled", 1))],
        ),
        case(
            "failure-notice-is-refused",
            [("Load", fails("Conflict", 1)), ("NotifyFailure", fails("AccessDenied", 1))],
        ),
        case("failure-notice-cannot-run", [("Extract", fails("NoPipeline", 1)), ("NotifyFailure", vec![Act::Exit; 3])]),
        case(
            "lambda-loses-the-failure-notice",
            [("Extract", fails("NoPipeline", 1)), ("NotifyFailure", fails("Lambda.ServiceException", 5))],
        ),
        case(
            "the-raising-function-exits",
            [("Extract", fails("InvalidInput", 1)), ("ProcessingFailed", vec![Act::Exit])],
        ),
        case(
            "the-raising-function-is-retried",
            [("Extract", fails("InvalidInput", 1)), ("ProcessingFailed", fails("Lambda.TooManyRequestsException", 2))],
        ),
        // What functions give that the definition has no use for.
        case(
            "a-result-beyond-the-limit",
            [("Extract", vec![Act::Give { payload: json!({"text": "x".repeat(300 * 1024)}) }])],
        ),
        case(
            "an-error-put-into-a-number",
            [("Extract", vec![Act::Give { payload: json!(7) }]), ("Transform", fails("TransformFailed", 1))],
        ),
        case("a-result-that-is-null", [("Load", vec![Act::Give { payload: json!(null) }])]),
        case(
            "no-stage-to-resume",
            [
                ("Extract", fails("InvalidInput", 1)),
                ("ProcessingFailed", vec![Act::Give { payload: json!({"input": {}}) }]),
            ],
        ),
        case(
            "nothing-to-resume",
            [
                ("Extract", fails("InvalidInput", 1)),
                ("ProcessingFailed", vec![Act::Give { payload: json!({"stage": "Nothing", "input": {}}) }]),
            ],
        ),
    ];
    // Every permanent kind is retried nowhere, and every stage meets some of them.
    let permanent = ErrorKind::ALL.iter().filter(|kind| !kind.is_transient());
    for (kind, stage) in permanent.zip(STAGES.into_iter().cycle()) {
        cases.push(case(&format!("{stage}-{kind}"), [(stage, fails(kind.name(), 1))]));
    }
    cases
}
