//! Every call that the function makes goes wrong in every way that it can, alone and with another: clients repeat what
//! was not answered, the queue brings again what was not handled, and the next tick comes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    deployment::{Answer, Deployment, pass},
    outside::{Cases, WAYS_AT_ONCE, Way, delivery, failed},
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
    panic!("no answer");
}

/// Delivers a message until it is handled.
async fn deliver(deployment: &Deployment, event: &Value) {
    let batch = delivery([("m", event.to_string().as_str())], 1);
    for _ in 0..ATTEMPTS_MAX {
        if let Some(answer) = deployment.handle(batch.clone()).await
            && failed(&answer.unwrap()).is_empty()
        {
            return;
        }
    }
    panic!("not handled");
}

async fn show_until(deployment: &Deployment, job: &Answer, state: &str) -> Answer {
    for _ in 0..ATTEMPTS_MAX {
        let answer = deployment.get(&format!("/jobs/{}", job.text("id"))).await;
        if answer.text("state") == state {
            return answer;
        }
        pass(5);
    }
    panic!("never {state}");
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
    panic!("still open: {:?}", deployment.keys("jobs/open/").await);
}

async fn with_upload(faults: &BTreeMap<usize, Way>) -> usize {
    let deployment = Deployment::disturbed(&[("all", "in/*")], faults).await;
    let job = post_until_answered(&deployment, &json!({"filename": "a.csv"})).await;
    let key = format!("uploads/{}/a.csv", job.text("id"));
    deployment.land(&key).await;
    deliver(&deployment, &Deployment::created(&key, "01")).await;
    let started = deployment.outside.executions.started();
    assert_eq!(started.keys().collect::<Vec<_>>(), [job.text("execution")]);
    show_until(&deployment, &job, "PROCESSING").await;
    deployment.succeed(job.text("execution")).await;
    deliver(&deployment, &Deployment::ended(job.text("execution"), "SUCCEEDED")).await;
    let done = show_until(&deployment, &job, "DONE").await;
    assert_eq!(done.body["records"]["loaded"], 3);
    tick_until_closed(&deployment).await;
    finish(&deployment, 1).await;
    assert_eq!(deployment.outside.queue.take_buried(), []);
    deployment.calls()
}

async fn with_object(faults: &BTreeMap<usize, Way>) -> usize {
    let deployment = Deployment::disturbed(&[("all", "in/*")], faults).await;
    deployment.land("in/a.csv").await;
    let job = post_until_answered(&deployment, &json!({"bucket": "landing", "key": "in/a.csv"})).await;
    deployment.succeed(job.text("execution")).await;
    // Nobody says that it ended, and nobody asks.
    tick_until_closed(&deployment).await;
    show_until(&deployment, &job, "DONE").await;
    finish(&deployment, 1).await;
    assert_eq!(deployment.outside.queue.take_buried(), []);
    deployment.calls()
}

async fn without_upload(faults: &BTreeMap<usize, Way>) -> usize {
    let deployment = Deployment::disturbed(&[("all", "in/*")], faults).await;
    let job = post_until_answered(&deployment, &json!({"filename": "a.csv"})).await;
    tick_until_closed(&deployment).await;
    let failed = show_until(&deployment, &job, "FAILED").await;
    assert_eq!(failed.body["error"]["error"], "UploadMissing");
    finish(&deployment, 0).await;
    // It may be told once more where nobody knows whether it was, and must be told.
    let letters = deployment.outside.queue.take_buried().len();
    assert!((1..=1 + faults.len()).contains(&letters), "{letters} letters");
    deployment.calls()
}

async fn finish(deployment: &Deployment, executions: usize) {
    assert_eq!(deployment.keys("jobs/documents/").await.len(), 1);
    assert_eq!(deployment.keys("jobs/keys/").await.len(), 1);
    assert_eq!(deployment.outside.executions.started().len(), executions);
}

async fn cases(case: impl AsyncFn(&BTreeMap<usize, Way>) -> usize) -> usize {
    Cases::run(&WAYS_AT_ONCE, 7, case).await.cases
}

#[tokio::test]
async fn a_job_with_an_upload_runs_once_whatever_fails() {
    assert!(cases(with_upload).await > 1000);
}

#[tokio::test]
async fn a_job_with_an_object_runs_once_whatever_fails() {
    assert!(cases(with_object).await > 500);
}

#[tokio::test]
async fn a_missing_upload_is_told_whatever_fails() {
    assert!(cases(without_upload).await > 500);
}
