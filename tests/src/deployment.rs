//! A Stepwell that runs somewhere: what tests do with it, whichever engine is behind it.

use std::{any::Any, collections::BTreeMap, fmt, time::Duration};

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent, HistoryEventType};
use serde_json::{Value, json};

pub use crate::history::Finished;

use crate::{api::Endpoint, fault_proxy::FaultProxy, flights, history, lambda_host::LambdaHost, notices::Inbox, until};

/// What an engine keeps running for as long as the deployment is used.
pub(crate) type Running = Box<dyn Any + Send + Sync>;

/// A deployed Stepwell.
pub struct Deployment {
    /// Where S3, SNS and SQS are.
    pub endpoint: Endpoint,
    /// The bucket whose events start runs, where the engine has events.
    pub landing: String,
    /// A bucket whose objects start nothing by themselves.
    pub uploads: String,
    /// The bucket of pipelines, manifests and rejects.
    pub work: String,
    /// The bucket of the tables.
    pub lake: String,
    /// The topic of the notices.
    pub topic: String,
    /// What the topic publishes.
    pub inbox: Inbox,
    /// What the functions' requests to S3 go through.
    pub proxy: FaultProxy,
    /// The host of the functions, where it is ours.
    pub host: Option<LambdaHost>,
    /// A client of the engine that runs the state machine.
    pub sfn: aws_sdk_sfn::Client,
    /// The state machine's ARN.
    pub state_machine: String,
    /// A state machine whose notices go to a topic that does not exist.
    pub mute_state_machine: String,
    /// The URL of the queue that events wait in, where the engine has events.
    pub events_queue: Option<String>,
    /// What the template gives, where the deployment is a stack.
    pub outputs: BTreeMap<String, String>,
    /// Whether the waits between attempts are those of the definition.
    pub waits_are_real: bool,
    pub(crate) _running: Running,
}

impl fmt::Debug for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deployment").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Deployment {
    /// Pushes a copy of the example's pipeline under that name.
    pub async fn push_pipeline(&self, name: &str) {
        self.put(&self.work, &format!("pipelines/{name}.yaml"), flights::pipeline(name).into_bytes()).await;
    }

    /// Writes an object.
    pub async fn put(&self, bucket: &str, key: &str, bytes: Vec<u8>) {
        let request = self.endpoint.s3().put_object().bucket(bucket).key(key).body(ByteStream::from(bytes));
        request.send().await.unwrap_or_else(|error| panic!("cannot write s3://{bucket}/{key}: {error:?}"));
    }

    /// The keys and sizes of the objects below a prefix.
    pub async fn list(&self, bucket: &str, prefix: &str) -> Vec<(String, u64)> {
        let mut pages = self.endpoint.s3().list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().send();
        let mut objects = Vec::new();
        while let Some(page) = pages.next().await {
            for object in page.expect("a bucket can be listed").contents() {
                let size = u64::try_from(object.size().unwrap_or_default()).expect("sizes are not negative");
                objects.push((object.key().unwrap_or_default().to_owned(), size));
            }
        }
        objects
    }

    /// Starts an execution for an object of the `uploads` bucket, with no more input than a person would type.
    pub async fn start(&self, name: &str, key: &str) -> String {
        self.start_with(&self.state_machine, name, &json!({"bucket": self.uploads, "key": key})).await
    }

    /// Starts an execution of a state machine.
    pub async fn start_with(&self, state_machine: &str, name: &str, input: &Value) -> String {
        let request = self.sfn.start_execution().state_machine_arn(state_machine).name(name).input(input.to_string());
        let started = request.send().await.unwrap_or_else(|error| panic!("cannot start {name}: {error:?}"));
        started.execution_arn().to_owned()
    }

    /// Starts an execution for an object of the `uploads` bucket and waits for its end.
    pub async fn run(&self, name: &str, key: &str) -> Finished {
        let arn = self.start(name, key).await;
        self.finished(&arn, Duration::from_secs(120)).await
    }

    /// Waits for the end of an execution.
    pub async fn finished(&self, arn: &str, limit: Duration) -> Finished {
        finished(&self.sfn, arn, limit).await
    }

    /// The ARNs of the executions whose name begins with the prefix.
    pub async fn executions(&self, prefix: &str) -> Vec<String> {
        let mut pages = self.sfn.list_executions().state_machine_arn(&self.state_machine).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            for execution in page.expect("executions can be listed").executions() {
                if execution.name().starts_with(prefix) {
                    found.push(execution.execution_arn().to_owned());
                }
            }
        }
        found
    }
}

/// Waits for the end of an execution on any engine.
pub async fn finished(sfn: &aws_sdk_sfn::Client, arn: &str, limit: Duration) -> Finished {
    let described = until(&format!("the end of {arn}"), limit, async || {
        let described = sfn.describe_execution().execution_arn(arn).send().await;
        let described = described.unwrap_or_else(|error| panic!("cannot describe {arn}: {error:?}"));
        (*described.status() != ExecutionStatus::Running).then_some(described)
    })
    .await;
    // An engine may set the status a moment before it writes the last event.
    let events = until(&format!("the last event of {arn}"), Duration::from_secs(10), async || {
        let events = events(sfn, arn).await;
        events.last().is_some_and(is_last).then_some(events)
    })
    .await;
    let failure = events.last().and_then(|event| event.execution_failed_event_details());
    let (trace, times) = history::read(&events);
    let succeeded = *described.status() == ExecutionStatus::Succeeded;
    let output = described.output().filter(|_| succeeded).unwrap_or("null");
    Finished {
        arn: arn.to_owned(),
        status: described.status().as_str().to_owned(),
        error: failure.and_then(|failure| failure.error()).map(str::to_owned),
        cause: failure.and_then(|failure| failure.cause()).map(str::to_owned),
        output: serde_json::from_str(output).expect("an execution's output is JSON"),
        trace,
        times,
    }
}

fn is_last(event: &HistoryEvent) -> bool {
    use HistoryEventType::{ExecutionAborted, ExecutionFailed, ExecutionSucceeded, ExecutionTimedOut};
    matches!(event.r#type(), ExecutionSucceeded | ExecutionFailed | ExecutionTimedOut | ExecutionAborted)
}

async fn events(sfn: &aws_sdk_sfn::Client, arn: &str) -> Vec<HistoryEvent> {
    let mut pages = sfn.get_execution_history().execution_arn(arn).max_results(1000).into_paginator().send();
    let mut events = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap_or_else(|error| panic!("no history of {arn}: {error:?}"));
        events.extend(page.events().iter().cloned());
    }
    events
}
