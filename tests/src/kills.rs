//! Real processes, killed at any request that they make: the stages' binaries over the Runtime API, their buckets on
//! ministack, and the shipped state machine in our own interpreter, whose waits take no time.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use serde_json::{Value, json};
use stepwell_statemachine::{Execution, Invoke, TaskError};
use tokio::sync::Mutex;

use crate::{
    deploy::FUNCTIONS,
    environment::{Answer, Environment, Function},
    fault_proxy::{FaultProxy, Strike},
    interpreter,
    ministack::Ministack,
    workspace,
};

const BUCKETS: [&str; 3] = ["landing", "work", "lake"];
const TIMEOUT: Duration = Duration::from_secs(60);
const MACHINE: &str = r#"{"StartAt": "Started", "States": {"Started": {"Type": "Pass", "End": true}}}"#;
const PIPELINE: &str = "pipeline: kills
source: { match: \"kills/*.csv\" }
schema:
  - { name: id, type: int32, required: true }
  - { name: day, type: date }
  - { name: amount, type: \"decimal(8,2)\" }
rejects: { tolerate: \"50%\" }
transform: { sql: \"SELECT * FROM input WHERE id <> 7\" }
load: { target: parquet, path: lake/kills/, partition_by: [day] }
";

/// What becomes of an execution whose function's process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// The state machine tries the state again.
    Retry,
    /// It fails, and a new execution gets the same input.
    Replay,
}

/// The buckets, the functions, and the proxy between them.
pub struct Victims {
    /// What every request of the functions goes through.
    pub proxy: FaultProxy,
    ministack: Ministack,
    functions: BTreeMap<String, Function>,
    folder: PathBuf,
    state_machine: String,
    running: Mutex<BTreeMap<String, Environment>>,
}

/// What a run left, without what names the run: each object's place and content.
pub type Left = Vec<(String, Vec<u8>)>;

impl Victims {
    /// Starts ministack, and pushes the pipeline.
    pub async fn start(suite: &str) -> Self {
        let folder = workspace::scratch(suite);
        let ministack = Ministack::start(&folder, &[]).await;
        let proxy = ministack.proxy.clone();
        let endpoint = ministack.endpoint.clone();
        for bucket in BUCKETS {
            endpoint.s3().create_bucket().bucket(bucket).send().await.expect("a bucket can be made");
        }
        let topic = endpoint.sns().create_topic().name("notices").send().await.expect("a topic can be made");
        let machine = endpoint
            .sfn()
            .create_state_machine()
            .name("started")
            .definition(MACHINE)
            .role_arn("arn:aws:iam::123456789012:role/r");
        let machine = machine.send().await.expect("a state machine can be made").state_machine_arn().to_owned();
        let variables = [
            ("AWS_ENDPOINT_URL", proxy.url()),
            ("LANDING_BUCKET", BUCKETS[0].to_owned()),
            ("WORK_BUCKET", BUCKETS[1].to_owned()),
            ("LAKE_BUCKET", BUCKETS[2].to_owned()),
            ("TOPIC_ARN", topic.topic_arn().expect("a topic has an ARN").to_owned()),
            ("STATE_MACHINE_ARN", machine.clone()),
            ("EVENTS_QUEUE_URL", format!("{}/123456789012/events", ministack.endpoint.0)),
            ("DEAD_EVENTS_QUEUE_URL", format!("{}/123456789012/dead-events", ministack.endpoint.0)),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        let function = |name: &str| {
            let binary = workspace::binary(name);
            (name.to_owned(), Function { binary, variables: variables.to_vec(), timeout: TIMEOUT })
        };
        let functions = FUNCTIONS.into_iter().chain(["trigger"]).map(function).collect();
        let victims = Self { proxy, ministack, functions, folder, state_machine: machine, running: Mutex::default() };
        victims.put("work", "pipelines/kills.yaml", PIPELINE.as_bytes()).await;
        victims
    }

    async fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        let body = ByteStream::from(bytes.to_vec());
        let put = self.ministack.endpoint.s3().put_object().bucket(bucket).key(key).body(body).send().await;
        put.unwrap_or_else(|error| panic!("cannot write {key}: {error:?}"));
    }

    /// Lands an object and carries its run to success, with a process killed on the way if a request is struck.
    pub async fn run(&self, key: &str, strike: Option<Strike>, recovery: Recovery) -> Execution {
        let records =
            "id,day,amount\n1,2024-01-01,1.50\n2,2024-01-02,2.25\nx,2024-01-01,9\n7,2024-01-01,3\n3,2024-01-02,4\n";
        self.put("landing", key, records.as_bytes()).await;
        let processes = Processes { victims: self, recovery };
        self.proxy.strike(strike);
        let input = json!({"bucket": "landing", "key": key});
        let execution = interpreter::execute(key, input.clone(), &processes).await;
        if execution.output.is_some() || recovery == Recovery::Retry {
            return execution;
        }
        assert_eq!(execution.error.as_deref(), Some(KILLED), "{key}: {execution:?}");
        interpreter::execute(&format!("{key}-again"), input, &processes).await
    }

    /// Hands an event about an object to `trigger`, again if its process was killed. Returns how many executions there
    /// are of the object.
    pub async fn trigger(&self, key: &str, strike: Option<Strike>) -> usize {
        let event = json!({
            "detail-type": "Object Created",
            "detail": {
                "bucket": {"name": "landing"},
                "object": {"key": key, "size": 1, "etag": "e", "sequencer": "00A0"},
                "reason": "PutObject",
            },
        });
        let processes = Processes { victims: self, recovery: Recovery::Replay };
        self.proxy.strike(strike);
        if processes.invoke("trigger", event.clone()).await.is_err() {
            let again = processes.invoke("trigger", event).await;
            again.unwrap_or_else(|error| panic!("{key}: {error:?}"));
        }
        let sfn = self.ministack.endpoint.sfn();
        let mut pages = sfn.list_executions().state_machine_arn(&self.state_machine).into_paginator().send();
        let mut inputs = Vec::new();
        while let Some(page) = pages.next().await {
            for execution in page.expect("executions can be listed").executions() {
                let described = sfn.describe_execution().execution_arn(execution.execution_arn()).send().await;
                let input = described.expect("an execution can be described").input().unwrap_or_default().to_owned();
                inputs.push(serde_json::from_str::<Value>(&input).expect("an input is JSON"));
            }
        }
        inputs.iter().filter(|input| input["key"] == key).count()
    }

    /// What the run of an execution left in the table and among its rejects.
    pub async fn left(&self, key: &str, execution: &Execution) -> Left {
        let output = execution.output.as_ref().unwrap_or_else(|| panic!("{key}: {execution:?}"));
        let run = output["run"]["id"].as_str().expect("the output names the run");
        let mut left = Vec::new();
        for (bucket, suffixes) in [("lake", [".parquet", ".parquet"]), ("work", ["rejects.csv", "reasons.ndjson"])] {
            for listed in self.list(bucket).await {
                if listed.contains(run) && suffixes.iter().any(|suffix| listed.ends_with(suffix)) {
                    let content = self.get(bucket, &listed).await;
                    let content = String::from_utf8_lossy(&content).replace(key, "KEY").into_bytes();
                    left.push((listed.replace(run, "RUN"), content));
                }
            }
        }
        left.sort();
        left
    }

    async fn list(&self, bucket: &str) -> Vec<String> {
        let mut pages = self.ministack.endpoint.s3().list_objects_v2().bucket(bucket).into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.expect("a bucket can be listed");
            keys.extend(page.contents().iter().map(|object| object.key().unwrap_or_default().to_owned()));
        }
        keys
    }

    async fn get(&self, bucket: &str, key: &str) -> Vec<u8> {
        let got = self.ministack.endpoint.s3().get_object().bucket(bucket).key(key).send().await;
        let body = got.unwrap_or_else(|error| panic!("cannot read {key}: {error:?}")).body.collect().await;
        body.expect("an object can be read").to_vec()
    }
}

/// The error of a killed process where it is not to be retried.
const KILLED: &str = "Killed";

/// One process for each function, replaced when it was killed.
struct Processes<'a> {
    victims: &'a Victims,
    recovery: Recovery,
}

#[async_trait]
impl Invoke for Processes<'_> {
    async fn invoke(&self, function: &str, payload: Value) -> Result<Value, TaskError> {
        let mut running = self.victims.running.lock().await;
        let mut environment = running.remove(function).unwrap_or_else(|| {
            let log = self.victims.folder.join(format!("{function}.log"));
            Environment::start(function, &self.victims.functions[function], &log)
        });
        self.victims.proxy.comes_from(environment.process());
        let answer = environment.invoke("0", function, payload.to_string().into(), TIMEOUT).await;
        if environment.is_alive() {
            running.insert(function.to_owned(), environment);
        }
        match answer {
            Answer::Response(body) => Ok(serde_json::from_slice(&body).expect("a function gives JSON")),
            Answer::Error(body) => {
                let told: Value = serde_json::from_slice(&body).unwrap_or_default();
                let error = told["errorType"].as_str().unwrap_or_default();
                let is_killed = error == "Runtime.ExitError" && self.recovery == Recovery::Replay;
                let error = if is_killed { KILLED } else { error }.to_owned();
                Err(TaskError { error, cause: String::from_utf8_lossy(&body).into_owned() })
            }
        }
    }
}
