//! The courses that a job can take, from its request to its end.

use serde_json::{Value, json};
use stepwell_pipeline::{
    execution::ExecutionState,
    store::{self, ObjectRef},
};

use crate::deployment::{Answer, Deployment, pass};

const DAY_SECONDS: u64 = 24 * 60 * 60;

async fn deployment() -> Deployment {
    let deployment = Deployment::new(&[("all", "in/*")]).await;
    deployment.land("in/a.csv").await;
    deployment
}

fn object_job() -> Value {
    json!({"bucket": "landing", "key": "in/a.csv"})
}

/// The only execution that was started.
fn execution(deployment: &Deployment) -> String {
    let mut started = deployment.outside.executions.started();
    assert_eq!(started.len(), 1, "{started:?}");
    started.pop_first().unwrap().0
}

async fn show(deployment: &Deployment, job: &Answer) -> Answer {
    deployment.get(job.body["links"]["self"].as_str().unwrap()).await
}

#[tokio::test]
async fn a_job_with_an_object_is_pending_processing_and_done() {
    let deployment = deployment().await;
    let job = deployment.post(object_job()).await;
    assert_eq!((job.status, job.text("state")), (202, "PENDING"));
    assert_eq!(job.headers["location"], job.body["links"]["self"]);
    let name = execution(&deployment);
    assert_eq!(name, job.text("execution"));
    let request = deployment.outside.executions.started()[&name].clone();
    assert_eq!((request.key.as_str(), request.pipeline.as_deref()), ("in/a.csv", Some("all")));
    assert!(request.etag.is_some(), "the object is pinned");

    let running = show(&deployment, &job).await;
    assert_eq!((running.text("state"), &running.headers["retry-after"]), ("PROCESSING", &json!("5")));
    let result = deployment.get(&format!("/jobs/{}/result", job.text("id"))).await;
    assert_eq!((result.status, result.text("title")), (409, "JobNotDone"));
    assert!(result.headers["retry-after"].is_string());

    deployment.succeed(&name).await;
    pass(5);
    let done = show(&deployment, &job).await;
    assert_eq!((done.status, done.text("state")), (200, "DONE"));
    assert!(done.headers.get("retry-after").is_none());
    assert_eq!(done.body["records"], json!({"read": 5, "rejected": 1, "filtered": 1, "loaded": 3}));
    let result = &done.body["result"];
    assert_eq!((&result["table"], &result["files"]), (&json!("s3://lake/all/"), &json!(["s3://lake/all/1.parquet"])));
    assert!(result["report"].as_str().unwrap().ends_with("/report.json"));
    assert!(result["rejects"].as_str().unwrap().ends_with("/rejects.csv"));
    assert_eq!(deployment.get("/jobs?state=DONE").await.body["jobs"], json!([done.body]));
}

#[tokio::test]
async fn the_result_of_a_job_is_links_or_leads_to_one() {
    let deployment = deployment().await;
    let job = deployment.post(object_job()).await;
    deployment.succeed(&execution(&deployment)).await;
    let path = format!("/jobs/{}/result", job.text("id"));
    let links = deployment.get(&path).await;
    assert_eq!(links.status, 200, "{links:?}");
    let file = &links.body["files"][0];
    assert_eq!(
        (&file["url"], &file["records"]),
        (&json!("memory://lake/all/1.parquet?method=GET&seconds=900"), &json!(3))
    );
    for (redirect, end) in [
        ("data", "lake/all/1.parquet"),
        ("report", "/report.json"),
        ("report_html", "/report.html"),
        ("rejects", "/rejects.csv"),
        ("reasons", "/reasons.ndjson"),
    ] {
        let answer = deployment.get(&format!("{path}?redirect={redirect}")).await;
        let location = answer.headers["location"].as_str().unwrap();
        assert_eq!(answer.status, 303);
        assert!(location.split('?').next().unwrap().ends_with(end), "{location}");
    }
    assert_eq!(deployment.get(&format!("{path}?redirect=all")).await.status, 400);
}

#[tokio::test]
async fn a_job_with_an_upload_starts_when_it_comes_and_once() {
    let deployment = deployment().await;
    let job = deployment.post(json!({"filename": "ü 1.csv"})).await;
    assert_eq!((job.status, job.text("state"), job.text("pipeline")), (202, "PENDING", "all"));
    let key = format!("uploads/{}/ü 1.csv", job.text("id"));
    let url = |seconds: u64| json!(format!("memory://landing/{key}?method=PUT&seconds={seconds}"));
    assert_eq!((&job.body["upload"]["url"], &job.body["upload"]["method"]), (&url(3600), &json!("PUT")));
    assert!(deployment.outside.executions.started().is_empty());

    pass(600);
    let waiting = show(&deployment, &job).await;
    assert_eq!((waiting.text("state"), &waiting.body["upload"]["url"]), ("PENDING", &url(3000)));
    deployment.land(&key).await;
    for sequencer in ["01", "01", "02"] {
        let started = deployment.handle(Deployment::created(&key, sequencer)).await.unwrap().unwrap();
        assert_eq!(started, json!({"executions": [job.text("execution")]}));
    }
    let name = execution(&deployment);
    let request = deployment.outside.executions.started()[&name].clone();
    assert_eq!(
        (request.key, request.sequencer.as_deref(), request.pipeline.as_deref()),
        (key, Some("01"), Some("all"))
    );
    let running = show(&deployment, &job).await;
    assert_eq!(running.text("state"), "PROCESSING");
    assert!(running.body.get("upload").is_none());
}

#[tokio::test]
async fn what_no_job_waits_for_goes_where_its_key_leads() {
    let deployment = Deployment::new(&[("uploads", "uploads/*/*")]).await;
    let job = deployment.post(json!({"filename": "a.csv", "pipeline": "uploads"})).await;
    for (bucket, folder, file) in [
        ("landing", job.text("id"), "b.csv"),
        ("landing", "0123456789a-0123456789abcdef0123", "a.csv"),
        ("other", job.text("id"), "a.csv"),
    ] {
        let mut event = Deployment::created(&format!("uploads/{folder}/{file}"), "01");
        event["detail"]["bucket"]["name"] = json!(bucket);
        let started = deployment.handle(event).await.unwrap().unwrap();
        assert!(!started["executions"][0].as_str().unwrap().contains("-job-"), "{started}");
    }
}

#[tokio::test]
async fn a_job_that_fails_says_why() {
    let deployment = deployment().await;
    let job = deployment.post(object_job()).await;
    let cause = json!({"errorType": "SchemaMismatch", "errorMessage": "no column `a`"}).to_string();
    deployment
        .outside
        .executions
        .end(&execution(&deployment), ExecutionState::Failed { error: "SchemaMismatch".into(), cause });
    let failed = show(&deployment, &job).await;
    assert_eq!(failed.text("state"), "FAILED");
    assert_eq!(failed.body["error"], json!({"error": "SchemaMismatch", "cause": "no column `a`"}));
    assert!(failed.body["ended_at"].is_string());
    let result = deployment.get(&format!("/jobs/{}/result", job.text("id"))).await;
    assert_eq!((result.status, result.text("title")), (409, "JobFailed"));
    assert!(result.text("detail").contains("no column `a`"));

    // It is redriven, and this time succeeds.
    deployment.succeed(&execution(&deployment)).await;
    deployment.handle(Deployment::ended(job.text("execution"), "SUCCEEDED")).await.unwrap().unwrap();
    let done = show(&deployment, &job).await;
    assert_eq!(done.text("state"), "DONE");
    assert!(done.body.get("error").is_none());
}

#[tokio::test]
async fn the_end_of_an_execution_is_told_to_its_job_without_anybody_asking() {
    let deployment = deployment().await;
    let job = deployment.post(object_job()).await;
    deployment.succeed(job.text("execution")).await;
    deployment.handle(Deployment::ended(job.text("execution"), "SUCCEEDED")).await.unwrap().unwrap();
    assert_eq!(deployment.get("/jobs").await.body["jobs"][0]["state"], "DONE");
    deployment.handle(Deployment::ended("all-0123456789abcdef0123", "SUCCEEDED")).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idempotency_key_stands_for_one_job_of_one_caller() {
    let deployment = deployment().await;
    let first = deployment.post_with_key("k1", object_job()).await;
    pass(10);
    for key in ["k1", "\"k1\""] {
        let again = deployment.post_with_key(key, json!({"key": "in/a.csv", "bucket": "landing"})).await;
        assert_eq!((again.status, again.text("id")), (202, first.text("id")), "{again:?}");
    }
    let other = deployment.post_with_key("k1", json!({"filename": "a.csv"})).await;
    assert_eq!((other.status, other.text("title")), (422, "IdempotencyKeyReused"));
    let key = deployment.post_with_key("k2", object_job()).await;
    assert_ne!(key.text("id"), first.text("id"));
    let mut event = deployment.post_event(&object_job());
    event["headers"]["Idempotency-Key"] = json!("k1");
    event["requestContext"]["authorizer"]["iam"]["userArn"] = json!("arn:aws:iam::1234567890:user/Other");
    let caller = deployment.send(event).await;
    assert!(![first.text("id"), key.text("id")].contains(&caller.text("id")), "{caller:?}");
    let without = deployment.post(object_job()).await;
    assert_eq!((without.status, deployment.outside.executions.started().len()), (202, 4));
    for bad in ["".to_owned(), "\"\"".to_owned(), "k".repeat(256)] {
        assert_eq!(deployment.post_with_key(&bad, object_job()).await.status, 400);
    }
    // What became of the object since does not matter to a key that is known.
    store::delete(&deployment.outside.stores, &ObjectRef::new("landing", "in/a.csv")).await.unwrap();
    assert_eq!(deployment.post_with_key("k1", object_job()).await.text("id"), first.text("id"));
}

#[tokio::test]
async fn an_execution_is_asked_for_once_in_five_seconds_and_never_after_its_end() {
    let deployment = deployment().await;
    let job = deployment.post(object_job()).await;
    assert_eq!(show(&deployment, &job).await.text("state"), "PROCESSING");
    deployment.succeed(job.text("execution")).await;
    for _ in 0..4 {
        pass(1);
        // Nobody looks yet: reading the document is all.
        let before = deployment.calls();
        assert_eq!(show(&deployment, &job).await.text("state"), "PROCESSING");
        assert_eq!(deployment.calls() - before, 1);
    }
    pass(1);
    assert_eq!(show(&deployment, &job).await.text("state"), "DONE");
    pass(60);
    let before = deployment.calls();
    assert_eq!(show(&deployment, &job).await.text("state"), "DONE");
    assert_eq!(deployment.calls() - before, 1);
}

#[tokio::test]
async fn an_upload_that_never_comes_fails_the_job_with_one_dead_letter() {
    let deployment = deployment().await;
    let job = deployment.post(json!({"filename": "a.csv"})).await;
    pass(3600 + 14 * 60);
    deployment.tick().await.unwrap().unwrap();
    let waiting = show(&deployment, &job).await;
    assert_eq!(waiting.text("state"), "PENDING");
    assert!(waiting.body.get("upload").is_none(), "the time for it is over");
    pass(2 * 60);
    for _ in 0..3 {
        deployment.tick().await.unwrap().unwrap();
    }
    let failed = show(&deployment, &job).await;
    assert_eq!((failed.text("state"), failed.body["error"]["error"].as_str()), ("FAILED", Some("UploadMissing")));
    let letters = deployment.outside.queue.take_buried();
    assert_eq!(letters.len(), 1);
    let (body, cause) = &letters[0];
    assert_eq!((cause.error.as_str(), cause.pipeline.as_deref()), ("UploadMissing", Some("all")));
    assert!(cause.message.contains(job.text("id")));
    assert_eq!(deployment.keys("jobs/open/").await, Vec::<String>::new());
    // Redriven, the letter has nothing to do.
    deployment.handle(serde_json::from_str(body).unwrap()).await.unwrap().unwrap();
    assert_eq!(show(&deployment, &job).await.text("state"), "FAILED");

    // It comes after all: somebody must hear of it.
    let key = format!("uploads/{}/a.csv", job.text("id"));
    deployment.land(&key).await;
    let error = deployment.handle(Deployment::created(&key, "01")).await.unwrap().unwrap_err();
    assert!(error.report().contains("make a new job"), "{}", error.report());
    assert!(deployment.outside.executions.started().is_empty());
}

#[tokio::test]
async fn an_upload_whose_event_was_lost_is_found() {
    let deployment = deployment().await;
    let job = deployment.post(json!({"filename": "a.csv"})).await;
    deployment.land(&format!("uploads/{}/a.csv", job.text("id"))).await;
    pass(3600 + 16 * 60);
    deployment.tick().await.unwrap().unwrap();
    assert_eq!(execution(&deployment), job.text("execution"));
}

#[tokio::test]
async fn an_execution_that_runs_too_long_is_stuck_and_its_late_end_counts() {
    let deployment = deployment().await;
    let job = deployment.post(object_job()).await;
    // The memory executions begin in 1970: at the first look that is long ago.
    pass(16 * 60);
    deployment.tick().await.unwrap().unwrap();
    let failed = show(&deployment, &job).await;
    assert_eq!(failed.body["error"]["error"], "JobStuck", "{failed:?}");
    let letters = deployment.outside.queue.take_buried();
    assert_eq!(letters.len(), 1);
    deployment.succeed(job.text("execution")).await;
    deployment.handle(serde_json::from_str(&letters[0].0).unwrap()).await.unwrap().unwrap();
    assert_eq!(show(&deployment, &job).await.text("state"), "DONE");
}

#[tokio::test]
async fn a_job_that_ended_unnoticed_is_closed_by_the_tick() {
    let deployment = deployment().await;
    let job = deployment.post(object_job()).await;
    deployment.succeed(job.text("execution")).await;
    pass(DAY_SECONDS);
    deployment.tick().await.unwrap().unwrap();
    assert_eq!(deployment.get("/jobs").await.body["jobs"][0]["state"], "DONE");
    assert_eq!((deployment.keys("jobs/open/").await.len(), deployment.outside.queue.take_buried().len()), (0, 0));
}
