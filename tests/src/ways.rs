//! What tests of the ways in need of a stack: queues, events, requests over HTTP, and small tables whose records are
//! counted by an engine of another origin.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::Range,
    path::PathBuf,
    sync::Mutex,
    time::Duration,
};

use aws_sdk_sfn::types::ExecutionListItem;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    api::{Endpoint, REGION},
    deployment::{Deployment, Finished},
    history, http, python, until, workspace,
};

/// How long things may take that are a matter of seconds on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// A pipeline of that name that reads records with an `id` and a `region`, with these lines under `source`.
pub fn pipeline(name: &str, source: &str) -> String {
    let source: String = source.trim().lines().map(|line| format!("  {}\n", line.trim())).collect();
    format!(
        "pipeline: {name}\nsource:\n{source}schema:\n  - {{ name: id, type: int64, required: true }}\n  \
         - {{ name: region, type: string }}\nunknown_columns: ignore\nload: {{ target: parquet, path: lake/{name}/ }}\n"
    )
}

/// Records of these ids as CSV.
pub fn csv(ids: Range<u32>) -> Vec<u8> {
    let records: String = ids.map(|id| format!("{id},region {}\n", id % 7)).collect();
    format!("id,region\n{records}").into_bytes()
}

/// A message of the dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The body.
    pub body: String,
    /// The attributes' values by name.
    pub attributes: BTreeMap<String, String>,
}

/// A stack whose ways in are tested.
#[derive(Debug)]
pub struct Stack {
    /// The deployment.
    pub deployment: Deployment,
    dead: Mutex<Vec<DeadLetter>>,
}

impl Stack {
    /// The stack of a deployment.
    pub fn new(deployment: Deployment) -> Self {
        Self { deployment, dead: Mutex::default() }
    }

    /// An output of the template.
    pub fn output(&self, name: &str) -> &str {
        self.deployment.outputs.get(name).unwrap_or_else(|| panic!("the stack has no output {name}"))
    }

    fn endpoint(&self) -> &Endpoint {
        &self.deployment.endpoint
    }

    /// Pushes a pipeline.
    pub async fn push(&self, name: &str, source: &str) {
        let key = format!("pipelines/{name}.yaml");
        self.deployment.put(&self.deployment.work, &key, pipeline(name, source).into_bytes()).await;
    }

    /// Uploads an object to the landing bucket.
    pub async fn upload(&self, key: &str, bytes: Vec<u8>) {
        self.deployment.put(&self.deployment.landing, key, bytes).await;
    }

    /// As [`Self::upload`], for uploads that run at the same time.
    pub async fn upload_owned(&self, key: String, bytes: Vec<u8>) {
        self.upload(&key, bytes).await;
    }

    /// The ARN of the events queue.
    pub async fn events_queue_arn(&self) -> String {
        let question = json!({"QueueUrl": self.output("EventsQueueUrl"), "AttributeNames": ["QueueArn"]});
        let answer = self.endpoint().json("sqs", "AmazonSQS.GetQueueAttributes", &question).await;
        answer["Attributes"]["QueueArn"].as_str().expect("a queue has an ARN").to_owned()
    }

    /// Sends an event to the events queue.
    pub async fn send(&self, event: &Value) {
        self.send_to(self.output("EventsQueueUrl"), [event.to_string()]).await;
    }

    /// Sends messages to a queue, at most ten, with one request.
    pub async fn send_to(&self, queue: &str, bodies: impl IntoIterator<Item = String>) {
        let entries = bodies.into_iter().enumerate();
        let entries: Vec<_> = entries.map(|(id, body)| json!({"Id": id.to_string(), "MessageBody": body})).collect();
        let batch = json!({"QueueUrl": queue, "Entries": entries});
        let answer = self.endpoint().json("sqs", "AmazonSQS.SendMessageBatch", &batch).await;
        assert!(answer["Failed"].as_array().is_none_or(Vec::is_empty), "{answer}");
    }

    /// Tells the time, as the schedule of the template does every minute, and waits until what that leads to is done.
    pub async fn tick(&self, moment: &str) {
        until(&format!("the tick of {moment}"), PATIENCE, async || {
            // Another tick may be in the way.
            self.invoke(&json!({"tick": moment})).await["tick"].is_string().then_some(())
        })
        .await;
    }

    /// Tells the time until executions whose name begins with the prefix have loaded so many records.
    pub async fn ticked_until_loaded(&self, prefix: &str, records: u64, moment: impl Fn() -> String) {
        until(&format!("{records} records loaded by executions {prefix}"), PATIENCE, async || {
            self.tick(&moment()).await;
            (self.loaded(prefix).await >= records).then_some(())
        })
        .await;
    }

    /// Waits for a dead letter whose body or message contains the text.
    pub async fn dead_letter(&self, text: &str) -> DeadLetter {
        until(&format!("a dead letter about {text}"), PATIENCE, async || {
            self.receive_dead_letters().await;
            self.dead_letters_so_far(text).pop()
        })
        .await
    }

    /// The dead letters received so far whose body or message contains the text.
    pub fn dead_letters_so_far(&self, text: &str) -> Vec<DeadLetter> {
        let has = |letter: &&DeadLetter| {
            letter.body.contains(text) || letter.attributes.values().any(|value| value.contains(text))
        };
        self.dead.lock().unwrap().iter().filter(has).cloned().collect()
    }

    /// Takes what is in the dead-letter queue.
    pub async fn receive_dead_letters(&self) {
        for message in self.endpoint().take_messages(self.output("DeadEventsQueueUrl")).await {
            let attributes = message["MessageAttributes"].as_object().into_iter().flatten();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            self.dead.lock().unwrap().push(DeadLetter {
                body: text(&message["Body"]),
                attributes: attributes.map(|(name, value)| (name.clone(), text(&value["StringValue"]))).collect(),
            });
        }
    }

    /// Invokes `trigger` with an event of its own and gives what it answers.
    pub async fn invoke(&self, event: &Value) -> Value {
        self.endpoint().invoke(self.output("TriggerFunctionArn"), event, "RequestResponse").await
    }

    /// Has `trigger` invoked with an event of its own, without waiting for the answer.
    pub async fn invoke_asynchronously(&self, event: &Value) {
        self.endpoint().invoke(self.output("TriggerFunctionArn"), event, "Event").await;
    }

    /// Asks the HTTP API, as somebody who may.
    pub async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &Value) -> (StatusCode, Value) {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/execute-api/aws4_request, SignedHeaders=host, Signature=0"
        );
        let mut headers = headers.to_vec();
        headers.push(("authorization", &authorization));
        self.ask_as_anybody(method, path, &headers, body).await
    }

    /// Asks the HTTP API with no more than these headers.
    pub async fn ask_as_anybody(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> (StatusCode, Value) {
        // No resolver knows the API's host name.
        let host = self.output("JobsUrl").trim_start_matches("http://");
        let mut headers = headers.to_vec();
        headers.extend([("host", host), ("content-type", "application/json")]);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let url = format!("{}{path}", self.endpoint().0);
        let (status, _, answer) = http::send(method, &url, &headers, body).await.expect("the API answers");
        (status, serde_json::from_slice(&answer).unwrap_or_default())
    }

    /// Waits until as many executions whose name begins with the prefix are there and have ended, and checks that there
    /// are no more.
    pub async fn ended(&self, prefix: &str, count: usize) -> Vec<Finished> {
        until(&format!("{count} executions {prefix}"), PATIENCE, async || {
            (self.deployment.executions(prefix).await.len() >= count).then_some(())
        })
        .await;
        let mut ended = Vec::new();
        for arn in self.deployment.executions(prefix).await {
            ended.push(self.deployment.finished(&arn, PATIENCE).await);
        }
        let arns: Vec<_> = ended.iter().map(|execution| &execution.arn).collect();
        assert_eq!(arns.len(), count, "{arns:?}");
        ended
    }

    /// As [`Self::ended`], and checks that all have succeeded.
    pub async fn succeeded(&self, prefix: &str, count: usize) -> Vec<Finished> {
        let ended = self.ended(prefix, count).await;
        for execution in &ended {
            assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
        }
        ended
    }

    /// How many records the executions so far whose name begins with the prefix have loaded, once they have ended.
    pub async fn loaded(&self, prefix: &str) -> u64 {
        let mut loaded = 0;
        for arn in self.deployment.executions(prefix).await {
            let execution = self.deployment.finished(&arn, PATIENCE).await;
            assert_eq!(execution.status, "SUCCEEDED", "{execution:?}");
            loaded += execution.output["records_loaded"].as_u64().unwrap_or_default();
        }
        loaded
    }

    /// Waits until executions whose name begins with the prefix have loaded so many records.
    pub async fn loaded_in_the_end(&self, prefix: &str, records: u64) {
        let what = format!("{records} records loaded by executions {prefix}");
        until(&what, PATIENCE, async || (self.loaded(prefix).await >= records).then_some(())).await;
    }

    /// How many executions whose name begins with the prefix ran at the same time at most, by their own times.
    pub async fn most_at_once(&self, prefix: &str) -> usize {
        let listing = self.deployment.sfn.list_executions().state_machine_arn(&self.deployment.state_machine);
        let mut pages = listing.into_paginator().send();
        let mut listed: Vec<ExecutionListItem> = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.expect("executions can be listed");
            listed.extend(page.executions().iter().filter(|item| item.name().starts_with(prefix)).cloned());
        }
        let spans = listed.iter().map(|item| {
            let ended = item.stop_date().unwrap_or_else(|| panic!("{} has not ended", item.name()));
            (item.start_date().as_secs_f64(), ended.as_secs_f64())
        });
        history::most_at_once(spans)
    }

    /// Checks that the table of a pipeline holds so many records, each once.
    pub async fn assert_holds(&self, pipeline: &str, records: u64) {
        let folder = self.download(pipeline).await;
        let script = workspace::root().join("tests/python/count_records.py");
        let counts = python::run("python", &[python::argument(&script), "id", python::argument(&folder)]);
        assert_eq!(counts.trim(), format!("{records} {records}"), "records and different ids in {pipeline}");
    }

    /// The table's files in a folder.
    async fn download(&self, pipeline: &str) -> PathBuf {
        let folder = workspace::target().join("stepwell-tests/tables").join(pipeline);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder can be made");
        for (number, (key, _)) in
            self.deployment.list(&self.deployment.lake, &format!("{pipeline}/")).await.into_iter().enumerate()
        {
            if key.ends_with(".parquet") {
                let object = self.endpoint().s3().get_object().bucket(&self.deployment.lake).key(&key).send().await;
                let bytes = object.expect("a file can be read").body.collect().await.expect("a file can be read");
                fs::write(folder.join(format!("{number}.parquet")), bytes.into_bytes()).expect("a file can be written");
            }
        }
        folder
    }

    /// The source keys that the commits of a table name.
    pub async fn commits(&self, pipeline: &str) -> BTreeSet<String> {
        let objects = self.deployment.list(&self.deployment.lake, &format!("{pipeline}/")).await;
        objects.into_iter().map(|(key, _)| key).filter(|key| key.contains("/_stepwell/commits/")).collect()
    }
}
