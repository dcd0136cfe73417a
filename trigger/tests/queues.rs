//! Messages that are data become objects, each its own, whatever fails and however often they are delivered. The fixture is
//! the example of the Lambda Developer Guide, "Using Lambda with Amazon SQS".
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod outside;

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, prelude::BASE64_STANDARD};
use outside::{Faults, Line, Outside, Turns, failed};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};

const GROUPS: [&str; 3] = ["a", "../b", "c/d"];

#[derive(Clone, Debug)]
struct Put {
    id: String,
    /// The number of the group, in a FIFO queue.
    group: Option<usize>,
    body: String,
    is_good: bool,
}

fn record(number: usize, put: &Put) -> Value {
    let template: Value = serde_json::from_str(include_str!("fixtures/sqs.json")).unwrap();
    let mut record = template["Records"][0].clone();
    record["messageId"] = json!(put.id);
    record["body"] = json!(put.body);
    if let Some(group) = put.group {
        record["eventSourceARN"] = json!("arn:aws:sqs:us-east-2:123456789012:orders.fifo");
        record["attributes"]["MessageGroupId"] = json!(GROUPS[group]);
        record["attributes"]["SequenceNumber"] = json!((18_850_000_000_000_000_000 + number as u128).to_string());
    }
    record
}

#[tokio::test]
async fn every_good_message_becomes_one_object_and_every_bad_one_a_dead_letter() {
    for seed in 0..400 {
        let mut random = SmallRng::seed_from_u64(seed);
        let one_in = [None, Some(40), Some(6)][random.random_range(0..3)];
        let is_fifo: bool = random.random();
        let outside: Outside = Outside::new(Line::new(Faults::one_in(one_in, !seed), Turns::Never));
        let puts: Vec<Put> = (0..30)
            .map(|number| {
                let is_good = random.random_ratio(3, 4);
                let body = if is_good { format!("{{\"n\":\n{number}}}") } else { format!("n = {number}") };
                let group = is_fifo.then(|| random.random_range(0..GROUPS.len()));
                Put { id: format!("id-{number}"), group, body, is_good }
            })
            .collect();
        let mut queue: Vec<usize> = (0..puts.len()).collect();
        let mut receives = 0;
        while !queue.is_empty() {
            receives += 1;
            if receives == 200 {
                outside.line.mend();
            }
            // Standard queues promise no order, and deliver once more what was handled.
            let batch: Vec<usize> = if is_fifo {
                queue.drain(..queue.len().min(10)).collect()
            } else {
                let at = random.random_range(0..queue.len());
                let batch: Vec<usize> = queue.drain(at..(at + 10).min(queue.len())).collect();
                queue.extend(batch.iter().filter(|_| one_in.is_some() && random.random_ratio(1, 10)));
                batch
            };
            let records: Vec<Value> = batch.iter().map(|number| record(*number, &puts[*number])).collect();
            let failed: BTreeSet<usize> = match outside.send(json!({ "Records": records })).await {
                None | Some(Err(_)) => batch.iter().copied().collect(),
                Some(Ok(answer)) => {
                    let failed = failed(&answer);
                    batch.iter().copied().filter(|number| failed.contains(&puts[*number].id)).collect()
                }
            };
            for number in &batch {
                // Of a group, nothing is handled behind what is not.
                let is_behind = |other: &usize| other < number && puts[*other].group == puts[*number].group;
                assert!(!is_fifo || failed.contains(number) || !failed.iter().any(is_behind), "{seed}");
            }
            queue.splice(0..0, failed);
            outside.line.land_one(&mut random);
        }
        while outside.line.has_late() {
            outside.line.land_one(&mut random);
        }

        let wanted = |put: &Put, number: usize| match put.group {
            None => (format!("queues/my-queue/{}.ndjson", put.id), format!("{{\"n\":{number}}}\n")),
            Some(group) => {
                let folder = ["a", "..%2Fb", "c%2Fd"][group];
                let sequence = 18_850_000_000_000_000_000 + number as u128;
                (format!("queues/orders.fifo/{folder}/{sequence:039}.ndjson"), format!("{{\"n\":{number}}}\n"))
            }
        };
        let good = puts.iter().enumerate().filter(|(_, put)| put.is_good);
        let wanted: BTreeMap<String, String> = good.map(|(number, put)| wanted(put, number)).collect();
        let landed: BTreeMap<String, String> = outside.texts("landing").await.into_iter().collect();
        assert_eq!(landed, wanted, "seed {seed}");
        let mut buried: BTreeMap<String, usize> = BTreeMap::new();
        for (body, cause) in outside.queue.take_buried() {
            let body: Value = serde_json::from_str(&body).unwrap();
            let put = puts.iter().find(|put| body["message_id"] == json!(put.id)).unwrap();
            assert_eq!(BASE64_STANDARD.decode(body["data"].as_str().unwrap()).unwrap(), put.body.as_bytes());
            assert_eq!(cause.error, "UnreadableSource");
            *buried.entry(put.id.clone()).or_default() += 1;
        }
        let bad: BTreeSet<&String> = puts.iter().filter(|put| !put.is_good).map(|put| &put.id).collect();
        assert_eq!(buried.keys().collect::<BTreeSet<_>>(), bad, "seed {seed}");
        assert!(one_in.is_some() || buried.values().all(|times| *times == 1), "seed {seed}");
    }
}
