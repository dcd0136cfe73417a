//! What `trigger` does.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::{RECORDS, landed, pipeline};
use crate::{
    http,
    least_privilege::{
        lab::Lab,
        scenario::{Outcome, Scenario, ensure, scenarios},
    },
    until,
};

/// The scenarios of `trigger`.
pub const SCENARIOS: &[Scenario] = scenarios![
    an_upload_starts_an_execution,
    uploads_wait_for_a_slot_until_an_execution_ends,
    a_version_is_looked_into,
    a_message_that_nothing_can_handle_is_buried,
    an_upload_that_was_expected_is_noted,
    uploads_are_gathered,
    a_schedule_loads_a_batch,
    records_of_a_stream_are_kept,
    messages_that_are_data_are_kept,
    a_long_message_that_is_no_record_is_kept_beside_its_dead_letter,
    a_backfill_starts_what_is_not_committed,
    a_backfill_passes_over_what_is_committed,
    a_backfill_without_time_sends_itself_the_rest,
    a_job_is_made_once_and_ends,
    an_object_that_is_not_there_makes_no_job,
    an_upload_link_takes_the_upload,
];

fn name_of(request: &Value) -> (String, String) {
    let key = request["key"].as_str().unwrap_or_default();
    (key.split('/').next().unwrap_or_default().to_owned(), key.to_owned())
}

fn created(key: &str, sequencer: &str) -> Value {
    json!({
        "detail-type": "Object Created",
        "detail": {
            "bucket": {"name": "landing"},
            "object": {"key": key, "size": RECORDS.len(), "etag": "e", "sequencer": sequencer},
            "reason": "PutObject",
        },
    })
}

fn message(queue: &str, id: &str, body: &str) -> Value {
    let attributes = json!({"ApproximateReceiveCount": "5"});
    let queue = super::super::roles::arn("sqs", queue);
    json!({"Records": [{"eventSource": "aws:sqs", "messageId": id, "body": body, "eventSourceARN": queue, "attributes": attributes}]})
}

fn none_again(answer: &Value) -> Outcome {
    ensure(answer["batchItemFailures"].as_array().is_some_and(Vec::is_empty), || format!("{answer}"))
}

async fn has_executions(lab: &Lab, prefix: &str, count: usize) -> Outcome {
    let found = lab.executions(prefix).await;
    ensure(found.len() == count, || format!("{count} executions expected: {found:?}"))
}

async fn holds(lab: &Lab, bucket: &str, prefix: &str, count: usize) -> Outcome {
    let found = lab.keys(bucket, prefix).await;
    ensure(found.len() == count, || format!("{count} objects expected at {bucket}/{prefix}: {found:?}"))
}

async fn an_upload_starts_an_execution(lab: &Lab) -> Outcome {
    let (name, key) = name_of(&landed(lab).await);
    lab.call(&created(&key, "01")).await?;
    has_executions(lab, &name, 1).await?;
    holds(lab, "work", "waiting/", 0).await
}

async fn uploads_wait_for_a_slot_until_an_execution_ends(lab: &Lab) -> Outcome {
    let (name, key) = name_of(&landed(lab).await);
    for sequencer in ["01", "02", "03"] {
        lab.call(&created(&key, sequencer)).await?;
    }
    has_executions(lab, &name, 2).await?;
    holds(lab, "work", "waiting/", 1).await?;
    let slots = lab.get("work", "slots.json").await.unwrap_or_default();
    let mut slots: Value = serde_json::from_slice(&slots).unwrap_or_default();
    for slot in slots["running"].as_object_mut().into_iter().flat_map(|running| running.values_mut()) {
        slot["since_ms"] = json!(0);
    }
    lab.put("work", "slots.json", slots.to_string()).await;
    lab.call(&json!({"tick": "2026-11-01T00:00:00Z"})).await?;
    has_executions(lab, &name, 3).await
}

async fn a_version_is_looked_into(lab: &Lab) -> Outcome {
    let name = format!("where{}", lab.unique());
    let glob = format!("\"{name}/*.csv\"");
    let spec = pipeline(&name).replace(&glob, &format!("{{ key: {glob}, where: {{ id: \"1\" }} }}"));
    lab.put("work", &format!("pipelines/{name}.yaml"), spec).await;
    let key = format!("{name}/a.csv");
    let version = lab.put("landing", &key, RECORDS).await;
    let head = lab.endpoint.s3().head_object().bucket("landing").key(&key).send().await.expect("it is there");
    let mut event = created(&key, "01");
    event["detail"]["object"]["version-id"] = json!(version);
    event["detail"]["object"]["etag"] = json!(head.e_tag());
    lab.call(&event).await?;
    has_executions(lab, &name, 1).await
}

async fn a_message_that_nothing_can_handle_is_buried(lab: &Lab) -> Outcome {
    none_again(&lab.call(&message("events", "m", "{}")).await?)?;
    let dead = lab.messages("dead-events").await;
    ensure(dead.len() == 1, || format!("{dead:?}"))
}

async fn an_upload_that_was_expected_is_noted(lab: &Lab) -> Outcome {
    let name = format!("expected{}", lab.unique());
    let spec = pipeline(&name).replace("csv\" }", "csv\", expect_every: 1day }");
    lab.put("work", &format!("pipelines/{name}.yaml"), spec).await;
    let key = format!("{name}/a.csv");
    lab.put("landing", &key, RECORDS).await;
    lab.call(&created(&key, "01")).await?;
    holds(lab, "work", &format!("arrivals/{name}.json"), 1).await
}

async fn uploads_are_gathered(lab: &Lab) -> Outcome {
    let name = format!("gathered{}", lab.unique());
    let spec = pipeline(&name).replace("csv\" }", "csv\", batch: { max_files: 2, max_wait: 5m } }");
    lab.put("work", &format!("pipelines/{name}.yaml"), spec).await;
    for file in ["a", "b"] {
        let key = format!("{name}/{file}.csv");
        lab.put("landing", &key, RECORDS).await;
        lab.call(&created(&key, "01")).await?;
    }
    holds(lab, "work", &format!("gathering/{name}/waiting/"), 2).await?;
    lab.call(&json!({"tick": "2026-11-01T00:00:00Z"})).await?;
    holds(lab, "work", &format!("gathering/{name}/waiting/"), 0).await?;
    holds(lab, "work", &format!("batches/{name}/"), 1).await?;
    has_executions(lab, &name, 1).await
}

async fn a_schedule_loads_a_batch(lab: &Lab) -> Outcome {
    let name = format!("hourly{}", lab.unique());
    let schedule = format!("schedule: {{ cron: \"0 * * * *\", prefix: \"{name}/{{last_hour:%Y-%m-%d/%H}}/\" }} }}");
    let spec = pipeline(&name).replace("*.csv\" }", &format!("**\", {schedule}"));
    lab.put("work", &format!("pipelines/{name}.yaml"), spec).await;
    lab.put("landing", &format!("{name}/2026-11-01/10/a.csv"), RECORDS).await;
    lab.call(&json!({"tick": "2026-11-01T10:30:00Z"})).await?;
    lab.call(&json!({"tick": "2026-11-01T11:00:00Z"})).await?;
    holds(lab, "work", &format!("schedules/{name}.json"), 1).await?;
    has_executions(lab, &name, 1).await
}

async fn records_of_a_stream_are_kept(lab: &Lab) -> Outcome {
    for number in ["1", "2"] {
        let record = json!({
            "eventSource": "aws:kinesis",
            "eventID": format!("shardId-000000000000:{number}"),
            "eventSourceARN": super::super::roles::arn("kinesis", "stream/orders"),
            "kinesis": {"sequenceNumber": number, "partitionKey": "p", "data": "eyJpZCI6MX0="},
        });
        none_again(&lab.call(&json!({"Records": [record]})).await?)?;
    }
    holds(lab, "landing", "streams/orders/", 2).await
}

async fn messages_that_are_data_are_kept(lab: &Lab) -> Outcome {
    none_again(&lab.call(&message("data", "m", "{\"id\": 1}")).await?)?;
    holds(lab, "landing", "queues/data/", 1).await
}

async fn a_long_message_that_is_no_record_is_kept_beside_its_dead_letter(lab: &Lab) -> Outcome {
    none_again(&lab.call(&message("data", "m", &"no JSON ".repeat(20_000))).await?)?;
    holds(lab, "work", "queues/data/dead/", 1).await
}

async fn a_backfill_starts_what_is_not_committed(lab: &Lab) -> Outcome {
    let (name, _) = name_of(&landed(lab).await);
    let done =
        lab.call(&json!({"backfill": {"bucket": "landing", "prefix": format!("{name}/"), "pipeline": name}})).await?;
    ensure(done["backfill"]["done"] == true, || format!("{done}"))?;
    holds(lab, "work", "backfills/", 1).await?;
    has_executions(lab, &name, 1).await
}

async fn a_backfill_passes_over_what_is_committed(lab: &Lab) -> Outcome {
    let request = landed(lab).await;
    let (name, _) = name_of(&request);
    let extracted = lab.prepare("extract", &request).await;
    let transformed = lab.prepare("transform", &extracted).await;
    lab.prepare("load", &transformed).await;
    lab.call(&json!({"backfill": {"bucket": "landing", "prefix": format!("{name}/"), "pipeline": name}})).await?;
    has_executions(lab, &name, 0).await
}

async fn a_backfill_without_time_sends_itself_the_rest(lab: &Lab) -> Outcome {
    let (name, _) = name_of(&landed(lab).await);
    for file in ["b", "c"] {
        lab.put("landing", &format!("{name}/{file}.csv"), RECORDS).await;
    }
    let request = json!({"bucket": "landing", "prefix": format!("{name}/"), "pipeline": name, "rate": 0.01});
    let done = lab.call_within(&json!({"backfill": request}), Duration::from_secs(5)).await?;
    ensure(done["backfill"]["done"] != true, || format!("there was time for all: {done}"))
}

fn http_request(method: &str, path: &str, body: &Value) -> Value {
    json!({
        "rawPath": path,
        "headers": {"idempotency-key": "once", "content-type": "application/json"},
        "requestContext": {"requestId": "r", "stage": "$default", "http": {"method": method}},
        "body": body.to_string(),
    })
}

/// Asks the API, and gives the body of an answer of that status.
async fn ask(lab: &Lab, request: &Value, status: u16) -> Result<Value, String> {
    let answer = lab.call(request).await?;
    ensure(answer["statusCode"] == status, || format!("{answer}"))?;
    serde_json::from_str(answer["body"].as_str().unwrap_or_default()).map_err(|error| error.to_string())
}

async fn a_job_is_made_once_and_ends(lab: &Lab) -> Outcome {
    let request = landed(lab).await;
    let (name, _) = name_of(&request);
    let extracted = lab.prepare("extract", &request).await;
    let transformed = lab.prepare("transform", &extracted).await;
    let loaded = lab.prepare("load", &transformed).await;
    lab.executions_give(Some(&loaded)).await;
    let outcome = job_ends(lab, &name, &request).await;
    lab.executions_give(None).await;
    outcome
}

async fn job_ends(lab: &Lab, name: &str, request: &Value) -> Outcome {
    let job = ask(lab, &http_request("POST", "/jobs", request), 202).await?;
    let again = ask(lab, &http_request("POST", "/jobs", request), 202).await?;
    ensure(job["id"] == again["id"], || format!("{job} and {again}"))?;
    holds(lab, "work", "jobs/open/", 1).await?;
    has_executions(lab, name, 1).await?;
    let id = job["id"].as_str().unwrap_or_default();
    let mut failed = Ok(());
    until("the job's end", Duration::from_secs(20), async || {
        failed = lab.call(&json!({"job": id})).await.map(drop);
        let document = lab.get("work", &format!("jobs/documents/{id}.json")).await.unwrap_or_default();
        let document: Value = serde_json::from_slice(&document).unwrap_or_default();
        (failed.is_err() || document["state"] == "DONE").then_some(())
    })
    .await;
    failed?;
    let result = ask(lab, &http_request("GET", &format!("/jobs/{id}/result"), &Value::Null), 200).await?;
    for link in [&result["report"], &result["files"][0]["url"]] {
        follow(lab, Method::GET, link).await?;
    }
    lab.call(&json!({"tick": "2036-11-01T00:00:00Z"})).await?;
    holds(lab, "work", "jobs/open/", 0).await
}

async fn an_object_that_is_not_there_makes_no_job(lab: &Lab) -> Outcome {
    let request = landed(lab).await;
    lab.delete("landing", request["key"].as_str().unwrap_or_default()).await;
    let problem = ask(lab, &http_request("POST", "/jobs", &request), 422).await?;
    ensure(problem["title"] == "SourceMissing" || problem.to_string().contains("SourceMissing"), || problem.to_string())
}

async fn an_upload_link_takes_the_upload(lab: &Lab) -> Outcome {
    let (name, _) = name_of(&landed(lab).await);
    let job = ask(lab, &http_request("POST", "/jobs", &json!({"filename": "a.csv", "pipeline": name})), 202).await?;
    follow(lab, Method::PUT, &job["upload"]["url"]).await?;
    holds(lab, "landing", "uploads/", if lab.is_judged_by_moto() { 0 } else { 1 }).await
}

/// Uses a link, which acts with the rights of the role that made it. moto does not judge links.
async fn follow(lab: &Lab, method: Method, link: &Value) -> Outcome {
    let link = link.as_str().ok_or("there is no link")?;
    if lab.is_judged_by_moto() {
        return Ok(());
    }
    let body = if method == Method::PUT { RECORDS } else { "" };
    let (status, _, answer) = lab.ruled(http::send(method, link, &[], body)).await?;
    ensure(status.is_success(), || format!("{status} {}", String::from_utf8_lossy(&answer)))
}
