//! Many small files: whatever fails, each is in one batch that is loaded, in its newest version.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::{join, join_all};
use serde_json::{Value, json};
use stepwell_pipeline::store::{self, ObjectRef};

use crate::{
    deployment::Deployment,
    outside::{WAYS_AT_ONCE, Way, delivery},
};

const SOURCE: &str = "{ match: \"in/*.json\", batch: { max_files: 3, max_wait: 5m } }";

/// After everything has waited long enough.
fn later() -> DateTime<Utc> {
    Utc::now() + TimeDelta::minutes(10)
}

/// Sends ticks, two processes at a time, until nothing waits.
async fn settle(deployment: &Deployment, case: &str) {
    for _ in 0..12 {
        let done = join(deployment.tick(later()), deployment.tick(later())).await;
        if done == (true, true) && deployment.waiting().await.is_empty() {
            return;
        }
    }
    panic!("{case}: {:?} still waits", deployment.waiting().await);
}

async fn deliver_all(deployment: &Deployment, events: &[&Value]) {
    join_all(events.iter().map(|event| deployment.deliver((*event).clone()))).await;
}

/// Uploads, newer versions, an object that is gone again, and events that come twice, late and in any order, while two
/// processes cut. Gives the calls that were made.
async fn case(faults: &BTreeMap<usize, Way>, seed: u64) -> usize {
    let name = format!("{faults:?}, seed {seed}");
    let deployment = Deployment::disturbed(faults, seed);
    deployment.push(SOURCE).await;
    let a1 = deployment.upload("in/a.json", 1, 1).await;
    let b1 = deployment.upload("in/b.json", 1, 2).await;
    let c1 = deployment.upload("in/c.json", 1, 3).await;
    let d1 = deployment.upload("in/d.json", 1, 4).await;
    deliver_all(&deployment, &[&a1, &b1, &c1, &d1]).await;
    // The first three are due at once; meanwhile one of them comes anew, and another event once more.
    let a2 = deployment.upload("in/a.json", 2, 5).await;
    join(join(deployment.tick(Utc::now()), deployment.tick(Utc::now())), deliver_all(&deployment, &[&a2, &b1])).await;
    let gone = deployment.upload("in/e.json", 1, 6).await;
    deliver_all(&deployment, &[&gone, &d1]).await;
    deployment.remove("in/e.json").await;
    // The newest version's event comes before that of the version before it.
    let d2 = deployment.upload("in/d.json", 2, 7).await;
    let d3 = deployment.upload("in/d.json", 3, 8).await;
    join(deployment.tick(later()), deliver_all(&deployment, &[&d3, &a1])).await;
    // An object that comes anew again and again while it is cut.
    let anew = async {
        for number in 0..3 {
            let event = deployment.upload("in/b.json", 2 + number, 9 + number).await;
            deployment.deliver(event).await;
        }
    };
    let cutting = async || {
        for _ in 0..3 {
            deployment.tick(later()).await;
        }
    };
    join(join(cutting(), cutting()), anew).await;
    settle(&deployment, &name).await;
    deployment.assert_each_once(&name).await;
    let before = deployment.lists().await;
    deliver_all(&deployment, &[&a1, &b1, &c1, &d1, &d2, &d3, &a2, &gone]).await;
    settle(&deployment, &name).await;
    assert_eq!(deployment.lists().await, before, "{name}: events that came again changed something");
    assert_eq!(deployment.take_letters(), [], "{name}");
    deployment.outside.line.calls()
}

#[tokio::test]
async fn each_object_is_in_one_batch_whatever_fails() {
    let mut seed = 1;
    for seed in 0..400 {
        case(&BTreeMap::new(), seed).await;
    }
    let calls = case(&BTreeMap::new(), 0).await;
    assert!(calls > 100, "{calls}");
    let mut cases = 0;
    for call in 0..calls {
        for way in WAYS_AT_ONCE {
            seed += 1;
            case(&BTreeMap::from([(call, way)]), seed).await;
            cases += 1;
        }
    }
    // Of the pairs and triples a share.
    for number in 0..2000 {
        seed += 1;
        let at = |step: usize| (number * step) % calls;
        let way = |step: usize| WAYS_AT_ONCE[number / step % WAYS_AT_ONCE.len()];
        let faults = [(at(7), way(1)), (at(31) + 1, way(5)), (at(97) + 2, way(25))];
        case(&faults.into_iter().take(2 + number % 2).collect(), seed).await;
        cases += 1;
    }
    assert!(cases > 2400, "{cases}");
}

#[tokio::test]
async fn ten_thousand_files_cost_few_executions_and_few_requests() {
    const FILES: usize = 10_000;
    let deployment = Deployment::calm();
    deployment.push("{ match: \"in/*.json\", batch: {} }").await;
    let mut bodies = Vec::new();
    for number in 0..FILES {
        let event = deployment.upload(&format!("in/{number}.json"), 10 * 1024, number).await;
        bodies.push(event.to_string());
    }
    // As many messages as one call of the function is given.
    for batch in bodies.chunks(10) {
        let event = delivery(batch.iter().map(String::as_str).enumerate(), 1);
        assert_eq!(deployment.send(event).await.unwrap().unwrap(), json!({ "batchItemFailures": [] }));
    }
    let line = &deployment.outside.line;
    let (kept, calls) = (line.counts(0, None), line.calls());
    assert_eq!(kept["PUT"], FILES, "{kept:?}");
    assert!(deployment.tick(Utc::now()).await);
    assert_eq!(deployment.started().len(), 10);
    let cut = line.counts(calls, None);
    // Of each file: its marker, whether it is a member, how it is now, and that it is a member.
    assert_eq!(cut["HEAD"], FILES, "{cut:?}");
    assert!((2 * FILES..2 * FILES + 100).contains(&cut["GET"]), "{cut:?}");
    assert!((FILES..FILES + 100).contains(&cut["PUT"]), "{cut:?}");
    assert_eq!(cut["DELETE"], 10, "{cut:?}");
    assert_eq!(cut["START"], 10, "{cut:?}");
    deployment.assert_each_once("10,000 files").await;
    assert!(deployment.tick(later()).await);
    assert_eq!(deployment.started().len(), 10);
}

#[tokio::test]
async fn a_batch_waits_for_its_time_and_is_no_larger_than_allowed() {
    let deployment = Deployment::calm();
    deployment.push("{ match: \"in/*.json\", batch: { max_bytes: 100, max_wait: 5m } }").await;
    for (number, bytes) in [40, 40, 10].into_iter().enumerate() {
        let event = deployment.upload(&format!("in/{number}.json"), bytes, number).await;
        deployment.deliver(event).await;
    }
    assert!(deployment.tick(Utc::now() + TimeDelta::minutes(4)).await);
    assert_eq!(deployment.lists().await.len(), 0);
    let event = deployment.upload("in/9.json", 90, 9).await;
    deployment.deliver(event).await;
    assert!(deployment.tick(Utc::now()).await);
    let lists = deployment.lists().await;
    assert_eq!(lists.keys().collect::<Vec<_>>(), ["batches/p/0000000001.json"]);
    assert_eq!(lists["batches/p/0000000001.json"].members.len(), 3);
    assert!(deployment.tick(later()).await);
    assert_eq!(deployment.lists().await["batches/p/0000000002.json"].members[0].key, "in/9.json");
    deployment.assert_each_once("sizes").await;
}

#[tokio::test]
async fn a_newer_version_takes_the_place_of_the_older_in_its_batch() {
    let deployment = Deployment::calm();
    deployment.push(SOURCE).await;
    let old = deployment.upload("in/a.json", 1, 1).await;
    let other = deployment.upload("in/b.json", 1, 2).await;
    deliver_all(&deployment, &[&old, &other]).await;
    assert!(deployment.tick(later()).await);
    let new = deployment.upload("in/a.json", 2, 3).await;
    deployment.deliver(new).await;
    assert!(deployment.tick(later()).await);
    let lists = deployment.lists().await;
    let list = &lists["batches/p/0000000001.json"];
    let members: Vec<_> =
        list.members.iter().map(|member| (member.key.as_str(), member.size, member.sequencer.as_deref())).collect();
    assert_eq!(lists.len(), 1);
    assert_eq!(list.revision, 1);
    assert_eq!(members, [("in/a.json", 2, Some("0000000000000003")), ("in/b.json", 1, Some("0000000000000002"))]);
    assert_eq!(deployment.started().len(), 2);
}

#[tokio::test]
async fn an_event_that_tells_little_is_enough() {
    let deployment = Deployment::calm();
    deployment.push(SOURCE).await;
    for gone in [false, true] {
        let mut event = deployment.upload("in/a.json", 7, 1).await;
        event["detail"]["object"] = json!({ "key": "in/a.json" });
        if gone {
            deployment.remove("in/a.json").await;
        }
        deployment.deliver(event).await;
    }
    let empty = deployment.upload("in/empty.json", 0, 2).await;
    deployment.deliver(empty).await;
    deployment.upload("in/a.json", 7, 1).await;
    assert_eq!(deployment.waiting().await.len(), 1);
    assert!(deployment.tick(later()).await);
    let lists = deployment.lists().await;
    assert_eq!(lists["batches/p/0000000001.json"].members.len(), 1);
    assert_eq!(lists["batches/p/0000000001.json"].members[0].size, 7);
}

#[tokio::test]
async fn an_object_that_cannot_be_looked_at_is_reported_and_holds_up_no_other() {
    let deployment = Deployment::calm();
    deployment.push(SOURCE).await;
    let good = deployment.upload("in/a.json", 1, 1).await;
    deployment.deliver(good).await;
    deployment.outside.put("landing", "in/denied.json", "x").await;
    deployment.outside.line.deny("in/denied.json");
    let mut denied = deployment.upload("in/a.json", 1, 2).await;
    denied["detail"]["object"]["key"] = json!("in/denied.json");
    deployment.deliver(denied.clone()).await;
    assert!(deployment.tick(later()).await);
    assert_eq!(deployment.lists().await["batches/p/0000000001.json"].members.len(), 1);
    let letters = deployment.take_letters();
    let [(body, cause)] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((cause.error.as_str(), cause.pipeline.as_deref()), ("AccessDenied", Some("p")));
    // Sent again, it is the same upload.
    let again: Value = serde_json::from_str(body).unwrap();
    assert_eq!(deployment.waiting().await.len(), 0);
    deployment.deliver(again).await;
    let kept = deployment.waiting().await;
    deployment.deliver(denied).await;
    assert_eq!((deployment.waiting().await, kept.len()), (kept, 1));
}

#[tokio::test]
async fn an_event_that_comes_again_does_not_make_its_object_wait_anew() {
    let deployment = Deployment::calm();
    deployment.push(SOURCE).await;
    let event = deployment.upload("in/a.json", 1, 1).await;
    deployment.deliver(event.clone()).await;
    let marker = ObjectRef::new("work", deployment.waiting().await.remove(0));
    let since = store::head(&deployment.outside.stores, &marker).await.unwrap().unwrap().last_modified;
    deployment.deliver(event).await;
    assert_eq!(store::head(&deployment.outside.stores, &marker).await.unwrap().unwrap().last_modified, since);
}

#[tokio::test]
async fn a_key_that_cannot_be_addressed_is_refused_at_once() {
    let deployment = Deployment::calm();
    deployment.push("{ match: \"in/**\", batch: {} }").await;
    let mut event = deployment.upload("in/a.json", 1, 1).await;
    event["detail"]["object"]["key"] = json!("in//a.json");
    let error = deployment.send(event).await.unwrap().expect_err("refused");
    assert_eq!(error.kind(), stepwell_pipeline::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn uploads_outlive_the_section_and_the_spec() {
    let deployment = Deployment::calm();
    deployment.push(SOURCE).await;
    let event = deployment.upload("in/a.json", 1, 1).await;
    deployment.deliver(event).await;
    let spec = ObjectRef::new("work", "pipelines/p.yaml");
    store::delete(&deployment.outside.stores, &spec).await.unwrap();
    assert!(deployment.tick(later()).await);
    assert_eq!(deployment.lists().await.len(), 0);
    deployment.push("{ match: \"in/*.json\" }").await;
    assert!(deployment.tick(Utc::now()).await);
    deployment.assert_each_once("without the section").await;
    assert_eq!(deployment.lists().await.len(), 1);
}
