//! Every call that the function makes goes wrong in every way that it can, alone and with others, and the queue brings
//! again what was not handled: each object starts each of its pipelines once, and what nobody can handle becomes a dead
//! letter.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

mod outside;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use outside::{Line, Outside, RECEIVES_MAX, Turns, WAYS_AT_ONCE, Way, delivery, failed};
use serde_json::{Value, json};
use stepwell_pipeline::{
    execution::{ExecutionState, MemoryExecutions},
    store::MemoryStores,
};

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
    let line = Line::new(faults, Turns::Never);
    let outside = Outside::with(stores.clone(), Arc::<MemoryExecutions>::default(), line);
    let mut queue = messages();
    let mut receives = 0;
    while !queue.is_empty() {
        receives += 1;
        assert!(receives <= RECEIVES_MAX as usize, "{faults:?}: {queue:?} would go to the dead letters");
        let event = delivery(queue.iter().map(|(id, body)| (id, body.as_str())), receives);
        if let Some(Ok(answer)) = outside.send(event).await {
            let failed = failed(&answer);
            queue.retain(|(id, _)| failed.contains(id));
        }
        // Executions end soon; their names stay taken.
        for name in outside.executions.running() {
            outside.executions.end(&name, ExecutionState::Succeeded(Value::Null));
        }
    }
    let letters = outside.queue.take_buried();
    assert!(
        letters.iter().all(|(body, cause)| *body == poison() && cause.error == "NoPipeline"),
        "{faults:?} {letters:?}"
    );
    // Whoever does not live to hear that it is buried, and to say so, buries it again.
    let unheard = faults.values().filter(|way| !matches!(way, Way::FailsBefore | Way::Throttled)).count();
    assert!((1..=1 + unheard).contains(&letters.len()), "{faults:?} {letters:?}");
    let executions = outside.executions.started();
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
    outside.line.calls()
}

#[tokio::test]
async fn each_object_starts_each_of_its_pipelines_once_whatever_fails() {
    let outside: Outside = Outside::new(Line::default());
    outside.put("amzn-s3-demo-bucket1", "in/b.txt", "a\n1\n").await;
    let ones = "{ key: 'in/*.txt', where: { a: 1 } }";
    for (name, pattern) in [("all", "in/*"), ("csv", "in/*.csv"), ("ones", ones)] {
        outside.push(name, &format!("{{ match: {pattern} }}")).await;
    }
    let stores = outside.stores;
    let mut cases = vec![BTreeMap::new()];
    let mut counts = Vec::new();
    // No more than the queue delivers again, less the delivery that succeeds.
    for faults in 0..RECEIVES_MAX as usize {
        let mut next = Vec::new();
        counts.push(cases.len());
        for (number, case_faults) in cases.iter().enumerate() {
            let calls = case(&stores, case_faults).await;
            let first = case_faults.last_key_value().map_or(0, |(call, _)| call + 1);
            // Singles and pairs are all of them; of the rest a share that grows sparser.
            let share = [1, 1, 97, 997][faults.min(3)];
            let further = (first..calls).flat_map(|call| WAYS_AT_ONCE.map(|way| (call, way)));
            next.extend(further.skip(number % share).step_by(share).map(|(call, way)| {
                let mut faults = case_faults.clone();
                faults.insert(call, way);
                faults
            }));
        }
        cases = next;
    }
    assert!(counts[1] >= 8 * WAYS_AT_ONCE.len() && counts[2] > 1000, "{counts:?}");
}
