//! What a deployment of the real binaries must do, whichever engine runs the state machine.
//!
//! Each check has a pipeline, a source folder and a table of its own, so that all can run at the same time.

use std::{fs, time::Duration};

use hyper::Method;
use serde_json::{Value, json};

use crate::{
    deployment::Deployment,
    fault_proxy::{Fault, Rule},
    flights,
    history::Finished,
};

/// Records enough to be real and few enough to be quick.
const SOME: usize = 2_000;

/// The most that a stage is tried: once, and six more times (`MaxAttempts`).
const ATTEMPTS: usize = 7;

/// The longest that all retries of a stage take: waits of at most 2, 4, 8, 16, 32 and 60 seconds, and the work.
const EXHAUSTION: Duration = Duration::from_secs(240);

const SLOW_DOWN: Fault = Fault::Error(503, "SlowDown");
const BROKEN: Fault = Fault::Error(500, "InternalError");

async fn upload_some(deployment: &Deployment, pipeline: &str) -> String {
    deployment.push_pipeline(pipeline).await;
    let key = format!("{pipeline}/some.csv");
    deployment.put(&deployment.uploads, &key, flights::slice(SOME)).await;
    key
}

/// The table holds what the run's output says, committed once.
pub async fn assert_loaded(deployment: &Deployment, pipeline: &str, output: &Value, records_read: u64) {
    assert_eq!(output["records_read"], records_read, "{output}");
    let count = |field: &str| output[field].as_u64().unwrap_or_else(|| panic!("no {field} in {output}"));
    let sum = count("records_rejected") + count("records_filtered") + count("records_loaded");
    assert_eq!(sum, records_read, "records are accounted for: {output}");
    assert!(count("records_loaded") > records_read / 2, "most records are loaded: {output}");

    let objects = deployment.list(&deployment.lake, &format!("{pipeline}/")).await;
    let prefix = output["table"]["key"].as_str().expect("the output names the table");
    let of_table = |name: &str| objects.iter().filter(|(key, _)| key.starts_with(&format!("{prefix}{name}"))).count();
    let data = objects.iter().filter(|(key, _)| key.ends_with(".parquet"));
    assert_eq!(data.map(|(_, size)| size).sum::<u64>(), count("bytes_loaded"), "{objects:?}");
    assert_eq!(of_table("_stepwell/commits/"), 1, "one source key, one commit: {objects:?}");
}

fn assert_failed(finished: &Finished, stage: &str, error: &str) {
    assert_eq!((finished.status.as_str(), finished.error.as_deref()), ("FAILED", Some(error)), "{finished:?}");
    let last = finished.trace.iter().rfind(|step| step.state == stage).expect("the stage was tried");
    assert_eq!(last.error.as_deref(), Some(error), "{:?}", finished.trace);
    assert_eq!(finished.attempts("NotifyFailure"), 1, "{:?}", finished.trace);
    assert_eq!(finished.attempts("ProcessingFailed"), 1, "{:?}", finished.trace);
}

/// The full table, started with no more than bucket and key, is loaded and told of.
pub async fn the_full_table_is_loaded(deployment: &Deployment) {
    deployment.push_pipeline("full").await;
    let csv = fs::read(flights::csv()).expect("the table can be read");
    deployment.put(&deployment.uploads, "full/flights.csv", csv).await;
    let finished = deployment.run("full", "full/flights.csv").await;
    assert_eq!(finished.status, "SUCCEEDED", "{finished:?}");
    for state in ["Extract", "Transform", "Load", "NotifySuccess"] {
        assert_eq!(finished.attempts(state), 1, "{:?}", finished.trace);
    }
    assert_loaded(deployment, "full", &finished.output, flights::RECORDS).await;
    assert_eq!(finished.output["commit"], "committed");
    let run = finished.output["run"]["id"].as_str().expect("the output names the run");
    let notice = deployment.inbox.about(run).await;
    assert_eq!(notice.attributes, json!({"outcome": "succeeded", "pipeline": "full"}), "{notice:?}");
}

/// A store that asks for patience more often than the SDK asks is asked again by the state machine, until it works.
pub async fn a_transient_fault_is_retried_until_it_works(deployment: &Deployment) {
    let key = upload_some(deployment, "transient").await;
    // The SDK asks three times per attempt, so these are spent in the third attempt.
    let manifest = "/extract/manifest.json".to_owned();
    let path = format!("/{}/runs/transient-", deployment.work);
    deployment.proxy.inject(Rule {
        method: Method::PUT,
        path: path.clone(),
        ends: manifest,
        fault: SLOW_DOWN,
        times: 7,
    });
    let finished = deployment.run("transient", &key).await;
    assert_eq!(finished.status, "SUCCEEDED", "{finished:?}");
    assert_eq!(deployment.proxy.faults_left(&path), 0, "every fault happened");
    assert_eq!(finished.attempts("Extract"), 3, "{:?}", finished.trace);
    let errors = finished.trace.iter().filter(|step| step.error.as_deref() == Some("Throttled"));
    assert_eq!(errors.count(), 2, "{:?}", finished.trace);
    assert_waits(deployment, &finished, "Extract");
    assert_loaded(deployment, "transient", &finished.output, SOME as u64).await;
}

/// Connections that break off are a transient fault too.
pub async fn broken_connections_are_retried(deployment: &Deployment) {
    let key = upload_some(deployment, "broken").await;
    let report = "/report.json".to_owned();
    let path = format!("/{}/runs/broken-", deployment.work);
    deployment.proxy.inject(Rule {
        method: Method::PUT,
        path: path.clone(),
        ends: report,
        fault: Fault::Cut,
        times: 4,
    });
    let finished = deployment.run("broken", &key).await;
    assert_eq!(finished.status, "SUCCEEDED", "{finished:?}");
    assert_eq!(deployment.proxy.faults_left(&path), 0, "every fault happened");
    assert_eq!(finished.attempts("Load"), 2, "{:?}", finished.trace);
    assert_loaded(deployment, "broken", &finished.output, SOME as u64).await;
}

/// A fault that stays is retried as often as the definition says, and then the execution fails with it and tells.
pub async fn retries_are_exhausted(deployment: &Deployment) {
    let key = upload_some(deployment, "exhausted").await;
    let manifest = "/transform/manifest.json".to_owned();
    let path = format!("/{}/runs/exhausted-", deployment.work);
    let rule = Rule { method: Method::PUT, path, ends: manifest, fault: BROKEN, times: usize::MAX };
    deployment.proxy.inject(rule);
    let arn = deployment.start("exhausted", &key).await;
    let finished = deployment.finished(&arn, EXHAUSTION).await;
    assert_failed(&finished, "Transform", "StoreUnavailable");
    assert_eq!(finished.attempts("Transform"), ATTEMPTS, "{:?}", finished.trace);
    assert_eq!(finished.attempts("Load"), 0, "{:?}", finished.trace);
    assert_waits(deployment, &finished, "Transform");
    let notice = deployment.inbox.about(&arn).await;
    assert_eq!(notice.attributes, json!({"outcome": "failed", "pipeline": "exhausted"}), "{notice:?}");
    for part in ["Transform", "StoreUnavailable"] {
        assert!(notice.message.contains(part), "the notice names {part}: {notice:?}");
    }
}

/// A header that does not fit fails at the first attempt, and the notice says where, with what and why.
pub async fn a_permanent_error_is_told_and_not_retried(deployment: &Deployment) {
    deployment.push_pipeline("permanent").await;
    deployment.put(&deployment.uploads, "permanent/wrong.csv", b"year,mouth\n2013,1\n".to_vec()).await;
    let finished = deployment.run("permanent", "permanent/wrong.csv").await;
    assert_failed(&finished, "Extract", "SchemaMismatch");
    assert_eq!(finished.attempts("Extract"), 1, "{:?}", finished.trace);
    let cause = finished.cause.as_deref().unwrap_or_default();
    assert!(cause.contains("mouth"), "the execution's cause is the stage's: {cause}");
    let notice = deployment.inbox.about(&finished.arn).await;
    assert_eq!(notice.attributes["outcome"], "failed", "{notice:?}");
    for part in ["Extract", "SchemaMismatch", "mouth", "permanent/wrong.csv"] {
        assert!(notice.message.contains(part), "the notice names {part}: {notice:?}");
    }
}

/// An execution whose input no person meant fails with the field's name, and even that is told.
pub async fn a_misspelt_input_is_told(deployment: &Deployment) {
    let input = json!({"bucket": deployment.uploads, "kye": "flights.csv"});
    let arn = deployment.start_with(&deployment.state_machine, "misspelt", &input).await;
    let finished = deployment.finished(&arn, Duration::from_secs(60)).await;
    assert_failed(&finished, "Extract", "InvalidInput");
    let notice = deployment.inbox.about(&arn).await;
    assert!(notice.message.contains("did you mean `key`?"), "{notice:?}");
}

/// A loaded table stays loaded, and the execution succeeds, though its notice cannot be published.
pub async fn a_failed_success_notice_fails_nothing(deployment: &Deployment) {
    let key = upload_some(deployment, "unheard").await;
    let input = json!({"bucket": deployment.uploads, "key": key});
    let arn = deployment.start_with(&deployment.mute_state_machine, "unheard", &input).await;
    let finished = deployment.finished(&arn, Duration::from_secs(120)).await;
    assert_eq!(finished.status, "SUCCEEDED", "{finished:?}");
    let notice = finished.trace.iter().rfind(|step| step.state == "NotifySuccess").expect("a notice was tried");
    assert!(notice.error.is_some(), "the notice failed: {:?}", finished.trace);
    assert_eq!(finished.trace.last().map(|step| step.state.as_str()), Some("SuccessNoticeFailed"));
    assert_loaded(deployment, "unheard", &finished.output, SOME as u64).await;
}

/// A new execution of a failed one's input goes on where that failed: what finished stages wrote is not written again.
pub async fn a_replay_redoes_no_finished_stage(deployment: &Deployment) {
    let key = upload_some(deployment, "replayed").await;
    let data = format!("/{}/replayed/", deployment.lake);
    let fault = Fault::Error(403, "AccessDenied");
    deployment.proxy.inject(Rule { method: Method::PUT, path: data, ends: ".parquet".to_owned(), fault, times: 1 });
    let failed = deployment.run("replayed", &key).await;
    assert_failed(&failed, "Load", "AccessDenied");

    let runs = format!("/{}/runs/replayed-", deployment.work);
    let written = |stage: &str| {
        let puts = deployment.proxy.passed(&runs).into_iter().filter(|passed| passed.method != Method::GET);
        puts.filter(|passed| passed.path.contains(stage)).count()
    };
    let before = (written("/extract/"), written("/transform/"));
    assert!(before.0 > 0 && before.1 > 0, "the first execution wrote: {before:?}");
    let replayed = deployment.run("replayed-again", &key).await;
    assert_eq!(replayed.status, "SUCCEEDED", "{replayed:?}");
    assert_eq!((written("/extract/"), written("/transform/")), before, "finished stages wrote nothing again");
    assert_eq!(replayed.output["commit"], "committed");
    assert_loaded(deployment, "replayed", &replayed.output, SOME as u64).await;

    let again = deployment.run("replayed-once-more", &key).await;
    assert_eq!(again.output["commit"], "already_committed", "{again:?}");
    assert_loaded(deployment, "replayed", &again.output, SOME as u64).await;
}

/// FULL jitter waits for anything between nothing and the backed-off interval, which is capped. An engine may start
/// the next attempt a little later than the wait is over.
fn assert_waits(deployment: &Deployment, finished: &Finished, state: &str) {
    const LATE: f64 = 2.0;
    if !deployment.waits_are_real {
        return;
    }
    let waits = finished.waits(state);
    assert_eq!(waits.len(), finished.attempts(state) - 1);
    for (wait, longest) in waits.iter().zip([2.0, 4.0, 8.0, 16.0, 32.0, 60.0]) {
        assert!((0.0..=longest + LATE).contains(wait), "waits of {state}: {waits:?}");
    }
}
