//! However a shard's records are cut and delivered again, whatever fails and whoever dies, its objects in the order of
//! their names hold the good records in order, once; the bad ones are among the dead letters. The fixture is the example
//! of the Lambda Developer Guide, "Using Lambda with Kinesis".
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod outside;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use outside::{Cases, Faults, Invocation, Line, Outside, Turn, Turns, WAYS, Way};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};
use stepwell_pipeline::{
    queue::DeathCause,
    store::{self, ObjectRef},
};

fn outside(faults: impl Into<Faults>) -> Outside {
    Outside::new(Line::new(faults, Turns::EachCall))
}

/// Handles an event without any trouble.
async fn handle(outside: &Outside, event: Value) -> Value {
    outside.send(event).await.expect("it lives").expect("it succeeds")
}

/// What was put into the shard.
#[derive(Clone, Debug)]
struct Put {
    sequence: String,
    data: Vec<u8>,
    /// What is to land; none of a bad record.
    line: Option<String>,
}

fn put(number: usize, random: &mut SmallRng) -> Put {
    // Numbers of 56 digits, and of 7 to 10 as simulations of Kinesis have them.
    let sequence = (7_000_000 + number as u64 * 999_983) * if number < 50 { 1 } else { 1_000 };
    let line = format!("{{\"n\":{number}.10}}\n");
    let (data, line) = match random.random_range(0..8) {
        0 => (vec![0xff, 0xfe], None),
        1 => (b"no JSON".to_vec(), None),
        2 => (b"\xf3\x89\x9a\xc2\x0a\x01".to_vec(), None),
        3 => (format!("{{\n \"n\" :\t{number}.10 }}").into_bytes(), Some(line)),
        4 => (format!("{line}{line}").into_bytes(), Some(line.repeat(2))),
        _ => (line.clone().into_bytes(), Some(line)),
    };
    Put { sequence: sequence.to_string(), data, line }
}

fn delivery(puts: &[Put]) -> Value {
    let template: Value = serde_json::from_str(include_str!("fixtures/kinesis.json")).unwrap();
    let record = |put: &Put| {
        let mut record = template["Records"][0].clone();
        record["kinesis"]["sequenceNumber"] = json!(put.sequence);
        record["kinesis"]["data"] = json!(BASE64_STANDARD.encode(&put.data));
        record["eventID"] = json!(format!("shardId-000000000006:{}", put.sequence));
        record
    };
    json!({ "Records": puts.iter().map(record).collect::<Vec<_>>() })
}

/// How a mapping of events treats what is not handled.
#[derive(Clone, Copy, Debug)]
struct Mapping {
    batch_max: usize,
    /// A batch that failed comes again in halves.
    bisects: bool,
    /// One in so many batches that failed is given up.
    gives_up_one_in: Option<u32>,
    /// An invocation may be given up although it goes on.
    times_out: bool,
}

/// Delivers a shard. Gives the records that were given up.
fn deliver(outside: &Outside, puts: &[Put], mapping: Mapping, random: &mut SmallRng) -> BTreeSet<usize> {
    let mut position = 0;
    let mut todo: Vec<Range<usize>> = Vec::new();
    let mut given_up = BTreeSet::new();
    let mut forsaken: Vec<Invocation<()>> = Vec::new();
    let mut steps = 0;
    while position < puts.len() || !todo.is_empty() {
        steps += 1;
        // What fails goes on failing only for a while.
        if steps == 4_000 {
            outside.line.mend();
        }
        let range = todo.pop().unwrap_or_else(|| {
            let end = (position + random.random_range(1..=mapping.batch_max)).min(puts.len());
            std::mem::replace(&mut position, end)..end
        });
        let mut invocation = Some(outside.begin((), delivery(&puts[range.clone()])));
        let mut again = Some(range.clone());
        while let Some(running) = &mut invocation {
            match running.poll() {
                Turn::GoesOn if mapping.times_out && random.random_ratio(1, 60) => forsaken.extend(invocation.take()),
                Turn::GoesOn => {}
                Turn::Died | Turn::Ended(Err(_)) => invocation = None,
                Turn::Ended(Ok(answer)) => {
                    let failed = answer["batchItemFailures"][0]["itemIdentifier"].as_str();
                    let from = failed.map(|failed| puts.iter().position(|put| put.sequence == failed).unwrap());
                    assert!(from.is_none_or(|from| range.contains(&from)), "{from:?} of {range:?}");
                    again = from.map(|from| from..range.end);
                    invocation = None;
                }
            }
            poll_forsaken(&mut forsaken, random);
        }
        if let Some(range) = again {
            if mapping.gives_up_one_in.is_some_and(|one_in| random.random_ratio(1, one_in)) {
                given_up.extend(range);
            } else if mapping.bisects && range.len() > 1 && random.random() {
                let middle = range.start + range.len() / 2;
                todo.push(middle..range.end);
                todo.push(range.start..middle);
            } else {
                todo.push(range);
            }
        }
        if random.random_ratio(1, 4) {
            outside.line.land_one(random);
        }
    }
    while !forsaken.is_empty() || outside.line.has_late() {
        poll_forsaken(&mut forsaken, random);
        outside.line.land_one(random);
    }
    given_up
}

fn poll_forsaken(forsaken: &mut Vec<Invocation<()>>, random: &mut SmallRng) {
    if !forsaken.is_empty() && random.random_ratio(1, 5) {
        let at = random.random_range(0..forsaken.len());
        if !matches!(forsaken[at].poll(), Turn::GoesOn) {
            forsaken.swap_remove(at);
        }
    }
}

/// Holds what landed against what was put in.
async fn assert_kept(outside: &Outside, puts: &[Put], given_up: &BTreeSet<usize>, is_disturbed: bool, case: &str) {
    let landed = outside.texts("landing").await;
    let folder = "streams/lambda-stream/shardId-000000000006/";
    assert!(landed.iter().all(|(key, lines)| key.starts_with(folder) && !lines.is_empty()), "{case}");
    let lines: String = landed.iter().map(|(_, lines)| lines.as_str()).collect();
    let wanted = |is_wanted: &dyn Fn(usize) -> bool| -> String {
        let good = puts.iter().enumerate().filter(|(number, _)| is_wanted(*number));
        good.filter_map(|(_, put)| put.line.as_deref()).collect()
    };
    if given_up.is_empty() {
        assert_eq!(lines, wanted(&|_| true), "{case}");
    } else {
        let has = |number: usize| puts[number].line.as_ref().is_some_and(|line| lines.contains(line));
        assert_eq!(lines, wanted(&|number| !given_up.contains(&number) || has(number)), "{case}");
    }
    let mut buried: BTreeMap<String, usize> = BTreeMap::new();
    for (body, cause) in outside.queue.take_buried() {
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&body["shard"], cause.error.as_str()), (&json!("shardId-000000000006"), "UnreadableSource"));
        let sequence = body["sequence_number"].as_str().unwrap();
        let put = puts.iter().find(|put| put.sequence == sequence).unwrap();
        assert_eq!(BASE64_STANDARD.decode(body["data"].as_str().unwrap()).unwrap(), put.data, "{case}");
        *buried.entry(sequence.to_owned()).or_default() += 1;
    }
    for (number, put) in puts.iter().enumerate() {
        let times = buried.remove(&put.sequence).unwrap_or_default();
        let is_right = match (&put.line, is_disturbed) {
            (Some(_), _) => times == 0,
            (None, false) => times == 1,
            (None, true) => times >= 1 || given_up.contains(&number),
        };
        assert!(is_right, "{case}: record {number} is {times} times among the dead letters");
    }
}

#[tokio::test]
async fn records_are_kept_once_and_in_order_however_they_are_delivered() {
    let mut kept = 0;
    for seed in 0..1_000 {
        let mut random = SmallRng::seed_from_u64(seed);
        let one_in = [None, Some(300), Some(40), Some(12)][random.random_range(0..4)];
        let mapping = Mapping {
            batch_max: [1, 5, 30][random.random_range(0..3)],
            bisects: random.random(),
            gives_up_one_in: random.random_bool(0.3).then(|| random.random_range(2..20)),
            times_out: one_in.is_some() && random.random(),
        };
        let case = format!("seed {seed}, {mapping:?}, one call in {one_in:?} fails");
        let outside = outside(Faults::one_in(one_in, !seed));
        let puts: Vec<Put> = (0..random.random_range(1..120)).map(|number| put(number, &mut random)).collect();
        let given_up = deliver(&outside, &puts, mapping, &mut random);
        assert_kept(&outside, &puts, &given_up, one_in.is_some(), &case).await;
        kept += puts.len();
    }
    println!("{kept} records");
}

#[tokio::test]
async fn each_call_may_fail_in_every_way_and_so_may_two() {
    let mapping = Mapping { batch_max: 6, bisects: true, gives_up_one_in: None, times_out: false };
    let puts: Vec<Put> = {
        let mut random = SmallRng::seed_from_u64(4);
        (0..12).map(|number| put(number, &mut random)).collect()
    };
    let case = async |faults: &BTreeMap<usize, Way>| {
        let outside = outside(faults);
        // Bisected or not.
        let mut random = SmallRng::seed_from_u64(faults.keys().sum::<usize>() as u64);
        let given_up = deliver(&outside, &puts, mapping, &mut random);
        assert_kept(&outside, &puts, &given_up, !faults.is_empty(), &format!("{faults:?}")).await;
        outside.line.calls()
    };
    let tried = Cases::run(&WAYS, 1, case).await;
    assert!(tried.calls >= 10, "{tried:?}");
}

#[tokio::test]
async fn a_batch_takes_three_calls_and_its_object_tells_where_it_is_in_the_shard() {
    let outside = outside(Faults::default());
    let one = |sequence: &str, data: &str| Put { sequence: sequence.into(), data: data.into(), line: None };
    let batches = [
        [
            one("49590338271490256608559692538361571095921575989136588898", "{\"a\": 1}"),
            one("49590338271490256608559692538361571095921575989136588899", "{}"),
        ],
        [
            one("49590338271490256608559692540925702759324208523137515618", "[]"),
            one("49590338271490256608559692540925702759324208523137515619", "2"),
        ],
    ];
    for batch in &batches {
        let answer = handle(&outside, delivery(batch)).await;
        assert_eq!(answer, json!({ "batchItemFailures": [] }));
    }
    let folder = "streams/lambda-stream/shardId-000000000006";
    let (first, second) = ("0".repeat(64), "0000000049590338271490256608559692538361571095921575989136588899");
    let wanted = [
        (format!("{folder}/{first}.ndjson"), "{\"a\": 1}\n{}\n".to_owned()),
        (format!("{folder}/{second}.ndjson"), "[]\n2\n".to_owned()),
    ];
    assert_eq!(outside.texts("landing").await, wanted);
    assert_eq!(outside.line.names(), ["GET", "PUT", "PUT", "GET", "PUT", "PUT"]);
}

#[tokio::test]
async fn the_records_of_the_guide_are_no_json_and_go_to_the_dead_letters() {
    let outside = outside(Faults::default());
    let mut event: Value = serde_json::from_str(include_str!("fixtures/kinesis.json")).unwrap();
    event["Records"][1]["kinesis"]["data"] = json!(BASE64_STANDARD.encode(vec![b'x'; 1_000_000]));
    let answer = handle(&outside, event).await;
    assert_eq!((answer, outside.texts("landing").await), (json!({ "batchItemFailures": [] }), Vec::new()));
    let buried = outside.queue.take_buried();
    let cause = DeathCause {
        error: "UnreadableSource".into(),
        message: "it is not JSON: expected value at line 1 column 1".into(),
        pipeline: None,
    };
    assert!(buried.len() == 2 && buried.iter().all(|(_, told)| *told == cause), "{buried:?}");
    let bodies: Vec<Value> = buried.iter().map(|(body, _)| serde_json::from_str(body).unwrap()).collect();
    let (first, second) = (
        "49590338271490256608559692538361571095921575989136588898",
        "49590338271490256608559692540925702759324208523137515618",
    );
    let wanted = json!({
        "stream": "lambda-stream", "shard": "shardId-000000000006", "sequence_number": first, "partition_key": "1",
        "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
    });
    assert_eq!(bodies[0], wanted);
    // Too long for a message.
    let key = format!("streams/lambda-stream/shardId-000000000006/dead/00000000{second}");
    assert_eq!(bodies[1]["data_at"], json!(format!("s3://work/{key}")));
    let (data, _) = store::get(&outside.stores, &ObjectRef::new("work", key)).await.unwrap().unwrap();
    assert_eq!(data.len(), 1_000_000);
}

#[tokio::test]
async fn streams_of_one_name_do_not_mix() {
    let outside = outside(Faults::default());
    let put = |sequence: &str| [Put { sequence: sequence.into(), data: b"{}".to_vec(), line: None }];
    handle(&outside, delivery(&put("7"))).await;
    let mut event = delivery(&put("8"));
    // The same stream, read by a consumer with a throughput of its own.
    let arn = "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream/consumer/app:1545084650";
    event["Records"][0]["eventSourceARN"] = json!(arn);
    assert_eq!(handle(&outside, event.clone()).await, json!({ "batchItemFailures": [] }));
    event["Records"][0]["eventSourceARN"] = json!("arn:aws:kinesis:us-east-2:210987654321:stream/lambda-stream");
    let failures = json!({ "batchItemFailures": [{ "itemIdentifier": "8" }] });
    assert_eq!(handle(&outside, event).await, failures);
    assert_eq!(outside.texts("landing").await.len(), 2);
}
