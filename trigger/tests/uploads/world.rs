//! A deployment in memory, and what is sent to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use serde_json::{Value, json};
use stepwell_pipeline::{
    ErrorKind, StageError,
    execution::{Described, Executions, MemoryExecutions, Started},
    link::MemoryLinks,
    progress::Unwatched,
    queue::{DeathCause, MemoryQueue},
    request::RunRequest,
    stage::{Buckets, StageContext},
    store::{self, MemoryStores, ObjectRef},
};
use stepwell_trigger::{Ports, handler};

pub(crate) const RECEIVES_MAX: u32 = 5;

/// A pipeline and a key.
pub(crate) type Place = (String, String);

/// Executions of which some cannot be started for a while.
#[derive(Debug, Default)]
pub(crate) struct Moody {
    pub(crate) executions: MemoryExecutions,
    /// How often starting still fails, and in which way.
    pub(crate) failures: Mutex<BTreeMap<Place, (u32, ErrorKind)>>,
}

#[async_trait]
impl Executions for Moody {
    async fn start(&self, name: &str, request: &RunRequest) -> Result<Started, StageError> {
        let place = (request.pipeline.clone().unwrap(), request.key.clone());
        if let Some((left, kind)) = self.failures.lock().unwrap().get_mut(&place)
            && *left > 0
        {
            *left -= 1;
            return Err(StageError::new(*kind, "not now"));
        }
        self.executions.start(name, request).await
    }

    async fn describe(&self, name: &str) -> Result<Option<Described>, StageError> {
        self.executions.describe(name).await
    }
}

pub(crate) struct World {
    stores: MemoryStores,
    pub(crate) machine: Arc<Moody>,
    dead: Arc<MemoryQueue>,
    pub(crate) ports: Ports,
}

impl World {
    /// A deployment with these specs, by file name.
    pub(crate) async fn of(specs: &[(&str, String)]) -> Self {
        let stores = MemoryStores::default();
        let (machine, dead) = (Arc::new(Moody::default()), Arc::new(MemoryQueue::default()));
        let context = StageContext::new(
            Arc::new(stores.clone()),
            Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() },
            Arc::new(Unwatched),
        );
        let ports = Ports {
            context,
            executions: machine.clone(),
            queue: dead.clone(),
            links: Arc::new(MemoryLinks),
            events_queue: "events".to_owned(),
            receives_max: RECEIVES_MAX,
            running_max: None,
        };
        let world = Self { stores, machine, dead, ports };
        for (name, text) in specs {
            world.put("work", &format!("pipelines/{name}.yaml"), text.as_bytes()).await;
        }
        world
    }

    pub(crate) async fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        store::put(&self.stores, &ObjectRef::new(bucket, key), bytes.to_vec()).await.unwrap();
    }

    pub(crate) async fn handle(&self, event: Value) -> Result<Value, StageError> {
        handler(&self.ports, event).await
    }

    /// Delivers messages of the events queue. Gives the numbers of those that are to come again.
    pub(crate) async fn deliver(&self, bodies: &[(String, u32)]) -> BTreeSet<usize> {
        let records: Vec<Value> = bodies
            .iter()
            .enumerate()
            .map(|(number, (body, receives))| {
                json!({
                    "messageId": number.to_string(),
                    "body": body,
                    "attributes": { "ApproximateReceiveCount": receives.to_string() },
                    "eventSource": "aws:sqs",
                    "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:events",
                })
            })
            .collect();
        let answer = self.handle(json!({ "Records": records })).await.expect("batches never fail whole");
        let failures = answer["batchItemFailures"].as_array().unwrap();
        failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().parse().unwrap()).collect()
    }

    /// Delivers one message for the first time. Gives whether it is to come again.
    pub(crate) async fn deliver_one(&self, body: &Value) -> bool {
        !self.deliver(&[(body.to_string(), 1)]).await.is_empty()
    }

    /// What was started: pipelines and keys.
    pub(crate) fn started(&self) -> BTreeSet<Place> {
        let started = self.machine.executions.started();
        started.into_values().map(|request| (request.pipeline.unwrap(), request.key)).collect()
    }

    /// The pipelines that were started.
    pub(crate) fn pipelines(&self) -> Vec<String> {
        self.started().into_iter().map(|(pipeline, _)| pipeline).collect()
    }

    pub(crate) fn take_buried(&self) -> Vec<(String, DeathCause)> {
        self.dead.take_buried()
    }
}

/// A spec whose `source` is as given.
pub(crate) fn spec(name: &str, source: &str) -> String {
    format!(
        "pipeline: {name}\nsource: {{ {source} }}\nschema:\n  - {{ name: a, type: string }}\n\
         load: {{ target: parquet, path: lake/{name}/ }}\n"
    )
}

pub(crate) fn fixture(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// A notification of some keys, as they stand in it.
pub(crate) fn notification(keys: &[&str]) -> Value {
    let mut event = fixture(include_str!("../fixtures/notification.json"));
    let record = event["Records"][0].clone();
    let records = keys.iter().map(|key| {
        let mut record = record.clone();
        record["s3"]["object"]["key"] = json!(key);
        record
    });
    event["Records"] = records.collect();
    event
}

pub(crate) fn bridge(key: &str) -> Value {
    let mut event = fixture(include_str!("../fixtures/eventbridge.json"));
    event["detail"]["object"]["key"] = json!(key);
    event
}

/// An event of EventBridge of an object in the landing bucket, of which neither version nor size is told.
pub(crate) fn landed(key: &str) -> Value {
    let mut event = bridge(key);
    event["detail"]["bucket"]["name"] = json!("landing");
    let object = event["detail"]["object"].as_object_mut().unwrap();
    object.retain(|field, _| field == "key" || field == "sequencer");
    event
}

/// As SNS sends it to a queue.
pub(crate) fn by_sns(message: &Value) -> Value {
    let mut notification = fixture(include_str!("../fixtures/sns-in-sqs.json"));
    notification["Message"] = json!(message.to_string());
    notification
}

/// As SNS calls a function.
pub(crate) fn by_sns_directly(messages: &[Value]) -> Value {
    let mut event = fixture(include_str!("../fixtures/sns.json"));
    let record = event["Records"][0].clone();
    let records = messages.iter().map(|message| {
        let mut record = record.clone();
        record["Sns"]["Message"] = json!(message.to_string());
        record
    });
    event["Records"] = records.collect();
    event
}
