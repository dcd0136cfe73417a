//! Every call that the function makes goes wrong in every way that it can, alone and with others, and the queue brings
//! again what was not handled: each object starts each of its pipelines once, and what nobody can handle becomes a dead
//! letter.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

mod disturbance;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use disturbance::{Disturbed, Line, WAYS, Way, target_fails};
use serde_json::{Value, json};
use stepwell_pipeline::{
    StageError,
    execution::{Described, Executions, Started},
    link::MemoryLinks,
    progress::Unwatched,
    queue::{DeathCause, MemoryQueue, Queue},
    request::RunRequest,
    stage::{Buckets, StageContext},
    store::{self, MemoryStores, ObjectRef},
};
use stepwell_trigger::{Ports, handler};

/// So often the shipped queue delivers a message before it goes to the dead letters.
const RECEIVES_MAX: usize = 5;

/// Step Functions, which keeps the names of executions.
#[derive(Debug)]
struct Machine {
    line: Arc<Line>,
    executions: Mutex<BTreeMap<String, RunRequest>>,
    /// Those that have ended.
    ended: Mutex<BTreeSet<String>>,
}

#[async_trait]
impl Executions for Machine {
    async fn start(&self, name: &str, request: &RunRequest) -> Result<Started, StageError> {
        let done = async {
            if self.ended.lock().unwrap().contains(name) {
                return Ok(Started::AlreadyDone);
            }
            let mut executions = self.executions.lock().unwrap();
            let known = executions.entry(name.to_owned()).or_insert_with(|| request.clone());
            assert_eq!(known, request, "one name for two executions");
            Ok(Started::Running)
        };
        self.line.call(target_fails, done).await
    }

    async fn describe(&self, _: &str) -> Result<Option<Described>, StageError> {
        Ok(None)
    }
}

/// The dead letters behind a line.
#[derive(Debug)]
struct DeadLetters(MemoryQueue, Arc<Line>);

#[async_trait]
impl Queue for DeadLetters {
    async fn send(&self, body: &str, delay_seconds: u16) -> Result<(), StageError> {
        self.0.send(body, delay_seconds).await
    }

    async fn bury(&self, body: &str, cause: &DeathCause) -> Result<(), StageError> {
        self.1.call(target_fails, self.0.bury(body, cause)).await
    }
}

fn event(key: &str, sequencer: &str) -> String {
    let mut event: Value = serde_json::from_str(include_str!("fixtures/eventbridge.json")).unwrap();
    event["detail"]["object"]["key"] = json!(key);
    event["detail"]["object"]["sequencer"] = json!(sequencer);
    // What the store in memory has is no version that an event could name.
    event["detail"]["object"].as_object_mut().unwrap().retain(|field, _| field != "version-id" && field != "etag");
    event.to_string()
}

fn by_sns(event: &str) -> String {
    json!({ "Type": "Notification", "TopicArn": "arn:aws:sns:us-east-2:123456789012:uploads", "Message": event })
        .to_string()
}

/// What is in the queue: an object of two pipelines; by SNS one of two, for one of which it is looked into, and one of
/// none; the first once more; and a newer version of it.
fn messages() -> Vec<(String, String)> {
    let bodies = [
        event("in/a.csv", "01"),
        by_sns(&event("in/b.txt", "02")),
        poison(),
        by_sns(&event("in/a.csv", "01")),
        event("in/a.csv", "03"),
    ];
    bodies.into_iter().enumerate().map(|(number, body)| (format!("message-{number}"), body)).collect()
}

/// An object that no pipeline wants.
fn poison() -> String {
    by_sns(&event("out/a.csv", "04"))
}

/// Lets the queue deliver until nothing is left. Gives the calls that were made.
async fn case(stores: &MemoryStores, faults: &BTreeMap<usize, Way>) -> usize {
    let line = Arc::new(Line::with(faults.clone()));
    let machine = Arc::new(Machine { line: line.clone(), executions: Mutex::default(), ended: Mutex::default() });
    let context = StageContext::new(
        Arc::new(Disturbed(stores.clone(), line.clone())),
        Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() },
        Arc::new(Unwatched),
    );
    let dead = Arc::new(DeadLetters(MemoryQueue::default(), line.clone()));
    let ports = Ports {
        context,
        executions: machine.clone(),
        queue: dead.clone(),
        links: Arc::new(MemoryLinks),
        events_queue: "events".to_owned(),
        receives_max: RECEIVES_MAX as u32,
        running_max: None,
    };
    let mut queue = messages();
    let mut receives = 0;
    while !queue.is_empty() {
        receives += 1;
        assert!(receives <= RECEIVES_MAX, "{faults:?}: {queue:?} would go to the dead letters");
        let record = |(id, body): &(String, String)| {
            let queue_arn = "arn:aws:sqs:us-east-2:123456789012:events";
            let attributes = json!({ "ApproximateReceiveCount": receives.to_string() });
            json!({
                "messageId": id, "eventSource": "aws:sqs", "eventSourceARN": queue_arn, "body": body,
                "attributes": attributes,
            })
        };
        let records: Vec<Value> = queue.iter().map(record).collect();
        let answer = tokio::select! {
            biased;
            answer = handler(&ports, json!({ "Records": records })) => Some(answer),
            () = line.killed.notified() => None,
        };
        if let Some(Ok(answer)) = answer {
            let failed: BTreeSet<&str> = answer["batchItemFailures"]
                .as_array()
                .unwrap()
                .iter()
                .map(|failure| failure["itemIdentifier"].as_str().unwrap())
                .collect();
            queue.retain(|(id, _)| failed.contains(id.as_str()));
        }
        // Executions end soon; their names stay taken.
        machine.ended.lock().unwrap().extend(machine.executions.lock().unwrap().keys().cloned());
    }
    let letters = dead.0.take_buried();
    assert!(
        letters.iter().all(|(body, cause)| *body == poison() && cause.error == "NoPipeline"),
        "{faults:?} {letters:?}"
    );
    // Whoever does not live to hear that it is buried, and to say so, buries it again.
    let unheard = faults.values().filter(|way| !matches!(way, Way::FailsBefore | Way::Throttled)).count();
    assert!((1..=1 + unheard).contains(&letters.len()), "{faults:?} {letters:?}");
    let executions = machine.executions.lock().unwrap();
    let started: Vec<(&str, &str, &str)> = executions
        .values()
        .map(|request| {
            (request.pipeline.as_deref().unwrap(), request.key.as_str(), request.sequencer.as_deref().unwrap())
        })
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let wanted = [
        ("all", "in/a.csv", "01"),
        ("all", "in/a.csv", "03"),
        ("all", "in/b.txt", "02"),
        ("csv", "in/a.csv", "01"),
        ("csv", "in/a.csv", "03"),
        ("ones", "in/b.txt", "02"),
    ];
    assert_eq!((executions.len(), started.as_slice()), (wanted.len(), wanted.as_slice()), "{faults:?}");
    line.calls()
}

#[tokio::test]
async fn each_object_starts_each_of_its_pipelines_once_whatever_fails() {
    let stores = MemoryStores::default();
    store::put(&stores, &ObjectRef::new("amzn-s3-demo-bucket1", "in/b.txt"), "a\n1\n").await.unwrap();
    let ones = "{ key: 'in/*.txt', where: { a: 1 } }";
    for (name, pattern) in [("all", "in/*"), ("csv", "in/*.csv"), ("ones", ones)] {
        let spec = format!(
            "pipeline: {name}\nsource: {{ match: {pattern} }}\nschema:\n  - {{ name: a, type: int8 }}\n\
             load: {{ target: parquet, path: lake/{name}/ }}\n"
        );
        store::put(&stores, &ObjectRef::new("work", format!("pipelines/{name}.yaml")), spec).await.unwrap();
    }
    let mut cases = vec![BTreeMap::new()];
    let mut counts = Vec::new();
    // No more than the queue delivers again, less the delivery that succeeds.
    for faults in 0..RECEIVES_MAX {
        let mut next = Vec::new();
        counts.push(cases.len());
        for (number, case_faults) in cases.iter().enumerate() {
            let calls = case(&stores, case_faults).await;
            let first = case_faults.last_key_value().map_or(0, |(call, _)| call + 1);
            // Singles and pairs are all of them; of the rest a share that grows sparser.
            let share = [1, 1, 97, 997][faults.min(3)];
            let further = (first..calls).flat_map(|call| WAYS.map(|way| (call, way)));
            next.extend(further.skip(number % share).step_by(share).map(|(call, way)| {
                let mut faults = case_faults.clone();
                faults.insert(call, way);
                faults
            }));
        }
        cases = next;
    }
    assert!(counts[1] >= 8 * WAYS.len() && counts[2] > 1000, "{counts:?}");
}
