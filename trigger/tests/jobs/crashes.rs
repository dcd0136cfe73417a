//! Every call that the function makes goes wrong in every way that it can, alone and with another: clients repeat what
//! was not answered, the queue brings again what was not handled, and the next tick comes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    deployment::{Answer, Deployment, pass},
    disturbance::{WAYS, Way},
};

const ATTEMPTS_MAX: usize = 8;

async fn post_until_answered(deployment: &Deployment, body: &Value) -> Answer {
    for _ in 0..ATTEMPTS_MAX {
        let answer = deployment.post_with_key("k", body.clone()).await;
        if answer.status == 202 {
            return answer;
        }
        assert!(answer.status >= 500, "{answer:?}");
        pass(1);
    }
    panic!("no answer: {:?}", deployment.line.faults);
}

/// Delivers a message until it is handled.
async fn deliver(deployment: &Deployment, event: &Value) {
    let queue_arn = "arn:aws:sqs:us-east-2:123456789012:events";
    let batch = json!({ "Records": [{
        "messageId": "m", "eventSource": "aws:sqs", "eventSourceARN": queue_arn, "body": event.to_string(),
    }]});
    for _ in 0..ATTEMPTS_MAX {
        if let Some(answer) = deployment.handle(batch.clone()).await
            && answer.unwrap()["batchItemFailures"] == json!([])
        {
            return;
        }
    }
    panic!("not handled: {:?}", deployment.line.faults);
}

async fn show_until(deployment: &Deployment, job: &Answer, state: &str) -> Answer {
    for _ in 0..ATTEMPTS_MAX {
        let answer = deployment.get(&format!("/jobs/{}", job.text("id"))).await;
        if answer.text("state") == state {
            return answer;
        }
        pass(5);
    }
    panic!("never {state}: {:?}", deployment.line.faults);
}

/// Ticks until no job is open.
async fn tick_until_closed(deployment: &Deployment) {
    for _ in 0..ATTEMPTS_MAX {
        pass(2 * 3600);
        let _ = deployment.tick().await;
        if deployment.keys("jobs/open/").await.is_empty() {
            return;
        }
    }
    panic!("still open: {:?}: {:?}", deployment.keys("jobs/open/").await, deployment.line.faults);
}

async fn with_upload(faults: BTreeMap<usize, Way>) -> usize {
    let deployment = Deployment::disturbed(&[("all", "in/*")], faults).await;
    let job = post_until_answered(&deployment, &json!({"filename": "a.csv"})).await;
    let key = format!("uploads/{}/a.csv", job.text("id"));
    deployment.land(&key).await;
    deliver(&deployment, &Deployment::created(&key, "01")).await;
    let started = deployment.executions.started();
    assert_eq!(started.keys().collect::<Vec<_>>(), [job.text("execution")], "{:?}", deployment.line.faults);
    show_until(&deployment, &job, "PROCESSING").await;
    deployment.succeed(job.text("execution")).await;
    deliver(&deployment, &Deployment::ended(job.text("execution"), "SUCCEEDED")).await;
    let done = show_until(&deployment, &job, "DONE").await;
    assert_eq!(done.body["records"]["loaded"], 3);
    tick_until_closed(&deployment).await;
    finish(&deployment, 1).await;
    assert_eq!(deployment.queue.take_buried(), [], "{:?}", deployment.line.faults);
    deployment.calls()
}

async fn with_object(faults: BTreeMap<usize, Way>) -> usize {
    let deployment = Deployment::disturbed(&[("all", "in/*")], faults).await;
    deployment.land("in/a.csv").await;
    let job = post_until_answered(&deployment, &json!({"bucket": "landing", "key": "in/a.csv"})).await;
    deployment.succeed(job.text("execution")).await;
    // Nobody says that it ended, and nobody asks.
    tick_until_closed(&deployment).await;
    show_until(&deployment, &job, "DONE").await;
    finish(&deployment, 1).await;
    assert_eq!(deployment.queue.take_buried(), [], "{:?}", deployment.line.faults);
    deployment.calls()
}

async fn without_upload(faults: BTreeMap<usize, Way>) -> usize {
    let deployment = Deployment::disturbed(&[("all", "in/*")], faults).await;
    let job = post_until_answered(&deployment, &json!({"filename": "a.csv"})).await;
    tick_until_closed(&deployment).await;
    let failed = show_until(&deployment, &job, "FAILED").await;
    assert_eq!(failed.body["error"]["error"], "UploadMissing");
    finish(&deployment, 0).await;
    // It may be told once more where nobody knows whether it was, and must be told.
    let letters = deployment.queue.take_buried().len();
    let faults = &deployment.line.faults;
    assert!((1..=1 + faults.len()).contains(&letters), "{letters} letters: {faults:?}");
    deployment.calls()
}

async fn finish(deployment: &Deployment, executions: usize) {
    let faults = &deployment.line.faults;
    assert_eq!(deployment.keys("jobs/documents/").await.len(), 1, "{faults:?}");
    assert_eq!(deployment.keys("jobs/keys/").await.len(), 1, "{faults:?}");
    assert_eq!(deployment.executions.started().len(), executions, "{faults:?}");
}

/// Runs a case without faults, with each fault, and with a share of the pairs.
async fn under_all_faults<F: Future<Output = usize>>(case: impl Fn(BTreeMap<usize, Way>) -> F) -> usize {
    let mut cases = 1;
    let calls = case(BTreeMap::new()).await;
    let mut pairs = Vec::new();
    for call in 0..calls {
        for way in WAYS {
            let calls = case(BTreeMap::from([(call, way)])).await;
            cases += 1;
            let further = (call + 1..calls).flat_map(|second| WAYS.map(|other| (second, other)));
            pairs.extend(further.map(|second| BTreeMap::from([(call, way), second])));
        }
    }
    for faults in pairs.into_iter().step_by(7) {
        case(faults).await;
        cases += 1;
    }
    cases
}

#[tokio::test]
async fn a_job_with_an_upload_runs_once_whatever_fails() {
    assert!(under_all_faults(with_upload).await > 1000);
}

#[tokio::test]
async fn a_job_with_an_object_runs_once_whatever_fails() {
    assert!(under_all_faults(with_object).await > 500);
}

#[tokio::test]
async fn a_missing_upload_is_told_whatever_fails() {
    assert!(under_all_faults(without_upload).await > 500);
}
