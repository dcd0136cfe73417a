//! Batches by schedule: each occurrence is loaded once, when it is complete, whatever is missed, repeated or fails.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join;
use serde_json::{Value, json};
use stepwell_pipeline::ErrorKind;

use crate::{
    deployment::Deployment,
    outside::{WAYS_AT_ONCE, Way},
};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A schedule at six in the morning of Zurich, of the day before.
fn daily(more: &str) -> String {
    format!(
        "{{ match: \"in/**/*.csv\", schedule: {{ cron: \"0 6 * * *\", time_zone: Europe/Zurich, \
         prefix: \"in/{{yesterday:%Y/%m/%d}}/\"{more} }} }}"
    )
}

async fn ticks(deployment: &Deployment, from: &str, until: &str, step: TimeDelta) {
    let mut now = at(from);
    while now <= at(until) {
        assert!(deployment.tick(now).await, "{now}");
        now += step;
    }
}

async fn put(deployment: &Deployment, keys: &[&str]) {
    for key in keys {
        deployment.upload(key, 3, 0).await;
    }
}

/// The members of each batch, without the folder `in/`, and its revision.
async fn batches(deployment: &Deployment) -> Vec<(String, u64, Vec<String>)> {
    let lists = deployment.lists().await;
    let shown = lists.into_iter().map(|(key, list)| {
        let name = key.trim_start_matches("batches/p/in/").trim_end_matches(".json").to_owned();
        let members = list.members.iter().map(|member| member.key.trim_start_matches("in/").to_owned()).collect();
        (name, list.revision, members)
    });
    shown.collect()
}

fn batch(name: &str, revision: u64, members: &[&str]) -> (String, u64, Vec<String>) {
    (name.to_owned(), revision, members.iter().map(|member| (*member).to_owned()).collect())
}

const MINUTE: TimeDelta = TimeDelta::minutes(1);
const HOUR: TimeDelta = TimeDelta::hours(1);

#[tokio::test]
async fn a_period_is_loaded_when_its_time_has_come_and_not_before() {
    let deployment = Deployment::calm();
    deployment.push(&daily("")).await;
    let keys = ["in/2026/11/20/b.csv", "in/2026/11/20/x/a.csv", "in/2026/11/20/y/a.csv", "in/2026/11/21/c.csv"];
    put(&deployment, &keys).await;
    put(&deployment, &["in/2026/11/20/notes.txt", "in/2026/11/2/a.csv"]).await;
    deployment.upload("in/2026/11/20/empty.csv", 0, 0).await;
    ticks(&deployment, "2026-11-21T04:50:00Z", "2026-11-21T04:59:59Z", MINUTE).await;
    assert_eq!(batches(&deployment).await, []);
    ticks(&deployment, "2026-11-21T05:00:00Z", "2026-11-21T05:10:00Z", MINUTE).await;
    // The same base name in two folders is two members.
    let expected = [batch("2026/11/20", 0, &["2026/11/20/b.csv", "2026/11/20/x/a.csv", "2026/11/20/y/a.csv"])];
    assert_eq!(batches(&deployment).await, expected);
    assert_eq!(deployment.started().len(), 1);
}

#[tokio::test]
async fn a_new_schedule_begins_with_what_is_due_next() {
    for (first_tick, begun) in [("2026-11-21T05:00:10Z", true), ("2026-11-21T05:01:10Z", false)] {
        let deployment = Deployment::calm();
        deployment.push(&daily("")).await;
        put(&deployment, &["in/2026/11/18/a.csv", "in/2026/11/19/a.csv", "in/2026/11/20/a.csv"]).await;
        ticks(&deployment, first_tick, "2026-11-21T09:00:00Z", HOUR).await;
        let expected = [batch("2026/11/20", 0, &["2026/11/20/a.csv"])];
        assert_eq!(batches(&deployment).await, if begun { &expected[..] } else { &[] }, "{first_tick}");
    }
}

#[tokio::test]
async fn missed_ticks_are_caught_up_and_repeated_ones_change_nothing() {
    let hourly = "{ match: \"in/**\", schedule: { cron: \"0 * * * *\", prefix: \"in/{last_hour:%Y-%m-%d/%H}/\" } }";
    let deployment = Deployment::calm();
    deployment.push(hourly).await;
    assert!(deployment.tick(at("2026-11-01T00:30:00Z")).await);
    for hour in 0..100 {
        let key = (at("2026-11-01T00:00:00Z") + TimeDelta::hours(hour)).format("in/%Y-%m-%d/%H/a.csv").to_string();
        deployment.upload(&key, 1, 0).await;
    }
    // Four days without a tick: one occurrence after the other, none at once with all.
    let now = at("2026-11-05T04:00:00Z");
    assert!(deployment.tick(now).await);
    assert_eq!(batches(&deployment).await.len(), 24);
    for _ in 0..6 {
        assert!(deployment.tick(now).await);
    }
    assert_eq!(batches(&deployment).await.len(), 100);
    assert_eq!(deployment.started().len(), 100);
    let calls = deployment.outside.line.calls();
    // A tick that comes again, and one that comes too late.
    assert!(deployment.tick(now).await && deployment.tick(at("2026-11-02T04:00:00Z")).await);
    assert_eq!(deployment.started().len(), 100);
    // The specs, the diary twice, what was gathered, what waits for a slot, which jobs are due.
    assert!(deployment.outside.line.calls() - calls <= 2 * 7, "a tick without work is cheap");
}

#[tokio::test]
async fn a_changed_schedule_begins_anew() {
    let deployment = Deployment::calm();
    deployment.push(&daily("")).await;
    ticks(&deployment, "2026-11-21T04:50:00Z", "2026-11-21T05:10:00Z", MINUTE).await;
    for hour in 0..24 {
        deployment.upload(&format!("in/2026-11-21/{hour:02}/a.csv"), 1, 0).await;
    }
    let hourly = "{ match: \"in/**\", schedule: { cron: \"0 * * * *\", prefix: \"in/{last_hour:%Y-%m-%d/%H}/\" } }";
    deployment.push(hourly).await;
    ticks(&deployment, "2026-11-21T14:30:00Z", "2026-11-21T16:30:00Z", TimeDelta::minutes(10)).await;
    let names: Vec<String> = batches(&deployment).await.into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["2026-11-21/14", "2026-11-21/15"]);
}

#[tokio::test]
async fn every_hour_on_the_clock_is_loaded_once_when_the_clock_changes() {
    for (day, from, until, hours) in [
        ("2026-03-29", "2026-03-28T22:30:00Z", "2026-03-29T06:30:00Z", 23),
        ("2026-10-25", "2026-10-24T21:30:00Z", "2026-10-25T07:30:00Z", 24),
    ] {
        let deployment = Deployment::calm();
        let hourly = "{ match: \"in/**\", schedule: { cron: \"0 * * * *\", time_zone: Europe/Zurich, \
                      prefix: \"in/{last_hour:%Y-%m-%d/%H}/\" } }";
        deployment.push(hourly).await;
        // Folders as a clock in Zurich names them.
        let shown: Vec<usize> = (0..24).filter(|hour| hours == 24 || *hour != 2).collect();
        for hour in &shown {
            deployment.upload(&format!("in/{day}/{hour:02}/a.csv"), 1, 0).await;
        }
        ticks(&deployment, from, until, TimeDelta::minutes(5)).await;
        let names: Vec<String> = batches(&deployment).await.into_iter().map(|(name, ..)| name).collect();
        let expected: Vec<String> = shown.iter().take(names.len()).map(|hour| format!("{day}/{hour:02}")).collect();
        assert!(names.len() >= 6, "{names:?}");
        assert_eq!(names, expected);
        assert_eq!(deployment.started().len(), names.len());
    }
}

#[tokio::test]
async fn thousands_of_objects_are_one_batch() {
    let deployment = Deployment::calm();
    deployment.push(&daily("")).await;
    for number in 0..2500 {
        deployment.upload(&format!("in/2026/11/20/{}/{number}.csv", number % 7), 1, 0).await;
    }
    ticks(&deployment, "2026-11-21T04:59:00Z", "2026-11-21T05:01:00Z", MINUTE).await;
    let lists = deployment.lists().await;
    assert_eq!(lists["batches/p/in/2026/11/20.json"].members.len(), 2500);
    deployment.assert_each_once("2,500 objects").await;
}

#[tokio::test]
async fn objects_that_come_late_are_loaded_with_the_next_occurrence() {
    let deployment = Deployment::calm();
    deployment.push(&daily(", revisit: 2")).await;
    put(&deployment, &["in/2026/11/20/a.csv", "in/2026/11/21/a.csv"]).await;
    let step = TimeDelta::minutes(30);
    ticks(&deployment, "2026-11-20T12:00:00Z", "2026-11-21T12:00:00Z", step).await;
    // One late, one anew; and one of before the schedule was there.
    put(&deployment, &["in/2026/11/20/b.csv", "in/2026/11/20/a.csv", "in/2026/11/18/a.csv"]).await;
    let before = deployment.lists().await["batches/p/in/2026/11/20.json"].members[0].etag.clone();
    ticks(&deployment, "2026-11-21T12:30:00Z", "2026-11-22T12:00:00Z", step).await;
    let both = ["2026/11/20/a.csv", "2026/11/20/b.csv"];
    let expected = [batch("2026/11/20", 1, &both), batch("2026/11/21", 0, &["2026/11/21/a.csv"])];
    assert_eq!(batches(&deployment).await, expected);
    assert_ne!(deployment.lists().await["batches/p/in/2026/11/20.json"].members[0].etag, before);
    // An empty day is no batch; an object that is gone changes none.
    deployment.remove("in/2026/11/20/a.csv").await;
    ticks(&deployment, "2026-11-22T12:30:00Z", "2026-11-23T12:00:00Z", step).await;
    assert_eq!(batches(&deployment).await, expected);
    // Two occurrences later is too late.
    put(&deployment, &["in/2026/11/20/c.csv", "in/2026/11/22/a.csv"]).await;
    ticks(&deployment, "2026-11-23T12:30:00Z", "2026-11-24T12:00:00Z", step).await;
    let [first, second] = expected;
    assert_eq!(batches(&deployment).await, [first, second, batch("2026/11/22", 0, &["2026/11/22/a.csv"])]);
}

#[tokio::test]
async fn occurrences_of_one_prefix_are_one_batch() {
    let deployment = Deployment::calm();
    let month = "{ match: \"in/**\", schedule: { cron: \"0 6 * * *\", prefix: \"in/{month:%Y-%m}/\" } }";
    deployment.push(month).await;
    put(&deployment, &["in/2026-11/a.csv"]).await;
    ticks(&deployment, "2026-11-10T05:00:00Z", "2026-11-12T05:00:00Z", HOUR).await;
    put(&deployment, &["in/2026-11/b.csv"]).await;
    ticks(&deployment, "2026-11-12T06:00:00Z", "2026-11-14T05:00:00Z", HOUR).await;
    assert_eq!(batches(&deployment).await, [batch("2026-11", 1, &["2026-11/a.csv", "2026-11/b.csv"])]);
    assert_eq!(deployment.started().len(), 2);
}

/// The objects that come hour by hour, with their bytes.
type Signs = &'static [(&'static str, &'static str)];

#[tokio::test]
async fn an_incomplete_batch_waits() {
    const MANIFEST: &str = "in/2026/11/20/manifest.json";
    let cases: [(&str, Signs, &[&str]); 5] = [
        (", complete_when: { object: _SUCCESS }", &[("in/2026/11/20/_SUCCESS", "")], &["a", "b"]),
        (", complete_when: { files: 3 }", &[("in/2026/11/20/c.csv", "x")], &["a", "b", "c"]),
        (
            ", complete_when: { manifest: manifest.json }",
            &[(MANIFEST, "{\"files\": [\"a.csv\", \"in/2026/11/20/c.csv\"]}"), ("in/2026/11/20/c.csv", "x")],
            &["a", "c"],
        ),
        (", complete_when: { manifest: manifest.json }", &[(MANIFEST, "[\"b.csv\"]")], &["b"]),
        (
            ", complete_when: { manifest: manifest.json }",
            &[(MANIFEST, "[]]"), (MANIFEST, "[\"a.txt\"]"), (MANIFEST, "[\"s3://landing/in/2026/11/20/a.csv\"]")],
            &["a"],
        ),
    ];
    for (complete_when, signs, members) in cases {
        let deployment = Deployment::calm();
        deployment.push(&daily(complete_when)).await;
        put(&deployment, &["in/2026/11/20/a.csv", "in/2026/11/20/b.csv", "in/2026/11/20/a.txt"]).await;
        ticks(&deployment, "2026-11-21T04:50:00Z", "2026-11-21T08:00:00Z", TimeDelta::minutes(10)).await;
        for (hour, (key, bytes)) in signs.iter().enumerate() {
            assert_eq!(batches(&deployment).await, [], "{complete_when} {key}");
            deployment.outside.put("landing", key, *bytes).await;
            assert!(deployment.tick(at("2026-11-21T09:00:00Z") + TimeDelta::hours(hour as i64)).await);
        }
        let members: Vec<String> = members.iter().map(|member| format!("2026/11/20/{member}.csv")).collect();
        assert_eq!(batches(&deployment).await, [("2026/11/20".to_owned(), 0, members)], "{complete_when}");
        assert_eq!(deployment.take_letters(), []);
    }
}

#[tokio::test]
async fn what_stays_incomplete_is_reported_once_and_can_be_sent_again() {
    let deployment = Deployment::calm();
    deployment.push(&daily(", complete_when: { files: 2 }, wait_max: 2h, revisit: 0")).await;
    put(&deployment, &["in/2026/11/20/a.csv"]).await;
    ticks(&deployment, "2026-11-21T04:50:00Z", "2026-11-21T06:50:00Z", TimeDelta::minutes(10)).await;
    assert_eq!(deployment.take_letters(), []);
    ticks(&deployment, "2026-11-21T07:00:00Z", "2026-11-21T12:00:00Z", TimeDelta::minutes(10)).await;
    let letters = deployment.take_letters();
    let [(body, cause)] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((cause.error.as_str(), cause.pipeline.as_deref()), ("SourceMissing", Some("p")));
    assert!(cause.message.contains("1 of 2 files are in s3://landing/in/2026/11/20/"), "{}", cause.message);
    let event: Value = serde_json::from_str(body).unwrap();
    assert_eq!(event, json!({ "schedule": { "pipeline": "p", "occurrence": "2026-11-21T06:00" } }));
    let error = deployment.send(event.clone()).await.unwrap().expect_err("still incomplete");
    assert_eq!(error.kind(), ErrorKind::SourceMissing);
    put(&deployment, &["in/2026/11/20/b.csv"]).await;
    let answer = deployment.send(event).await.unwrap().expect("complete");
    assert_eq!(answer["executions"].as_array().unwrap().len(), 1);
    let expected = [batch("2026/11/20", 0, &["2026/11/20/a.csv", "2026/11/20/b.csv"])];
    assert_eq!(batches(&deployment).await, expected);
}

#[tokio::test]
async fn an_occurrence_that_is_none_is_refused() {
    let deployment = Deployment::calm();
    deployment.push(&daily("")).await;
    for (request, kind, told) in [
        (
            json!({ "pipeline": "p", "occurrence": "2026-11-21T07:00" }),
            ErrorKind::InvalidInput,
            "no schedule that occurs",
        ),
        (json!({ "pipeline": "q", "occurrence": "2026-11-21T06:00" }), ErrorKind::NoPipeline, "the nearest is `p`"),
        (json!({ "pipeline": "p", "occurrence": "today" }), ErrorKind::InvalidInput, "no local time"),
    ] {
        let error = deployment.send(json!({ "schedule": request })).await.unwrap().expect_err("refused");
        assert_eq!(error.kind(), kind);
        assert!(error.report().contains(told), "{}", error.report());
    }
}

#[tokio::test]
async fn uploads_of_a_scheduled_pipeline_start_nothing() {
    let deployment = Deployment::calm();
    deployment.push(&daily(", complete_when: { object: _SUCCESS }")).await;
    for key in ["in/2026/11/20/a.csv", "in/2026/11/20/_SUCCESS"] {
        let event = deployment.upload(key, 1, 1).await;
        assert_eq!(deployment.send(event).await.unwrap().expect("handled"), json!({ "executions": [] }), "{key}");
    }
    let stray = deployment.upload("in/2026/11/20/a.txt", 1, 1).await;
    let error = deployment.send(stray).await.unwrap().expect_err("nobody wants it");
    assert_eq!(error.kind(), ErrorKind::NoPipeline);
    assert_eq!(deployment.started().len(), 0);
}

/// Three days with an object that comes late and a day that stays incomplete, two ticks at a time. Gives the calls made.
async fn case(faults: &BTreeMap<usize, Way>, seed: u64) -> usize {
    let name = format!("{faults:?}, seed {seed}");
    let deployment = Deployment::disturbed(faults, seed);
    deployment.push(&daily(", complete_when: { object: _SUCCESS }, wait_max: 3h")).await;
    for _ in 0..3 {
        deployment.tick(at("2026-11-20T12:00:00Z")).await;
    }
    put(&deployment, &["in/2026/11/20/a.csv", "in/2026/11/20/b.csv", "in/2026/11/20/_SUCCESS"]).await;
    let several = async |now: &str| {
        for _ in 0..4 {
            join(deployment.tick(at(now)), deployment.tick(at(now))).await;
        }
    };
    several("2026-11-21T05:00:00Z").await;
    put(&deployment, &["in/2026/11/20/c.csv", "in/2026/11/21/a.csv"]).await;
    several("2026-11-22T05:00:00Z").await;
    several("2026-11-22T09:00:00Z").await;
    let expected = [batch("2026/11/20", 1, &["2026/11/20/a.csv", "2026/11/20/b.csv", "2026/11/20/c.csv"])];
    assert_eq!(batches(&deployment).await, expected, "{name}");
    assert_eq!(deployment.started().len(), 2, "{name}");
    // A report may come twice where a process died or two were at it, but of nothing else.
    let letters = deployment.take_letters();
    assert!(!letters.is_empty(), "{name}");
    for (body, _) in letters {
        assert!(body.contains("2026-11-22T06:00"), "{name}: {body}");
    }
    put(&deployment, &["in/2026/11/21/_SUCCESS", "in/2026/11/22/a.csv", "in/2026/11/22/_SUCCESS"]).await;
    several("2026-11-23T05:00:00Z").await;
    deployment.assert_each_once(&name).await;
    deployment.outside.line.calls()
}

#[tokio::test]
async fn each_occurrence_is_loaded_once_whatever_fails() {
    for seed in 0..100 {
        case(&BTreeMap::new(), seed).await;
    }
    let calls = case(&BTreeMap::new(), 0).await;
    assert!(calls > 100, "{calls}");
    let mut seed = 1;
    for call in 0..calls {
        for way in WAYS_AT_ONCE {
            seed += 1;
            case(&BTreeMap::from([(call, way)]), seed).await;
        }
    }
    for number in 0..2000 {
        seed += 1;
        let way = |step: usize| WAYS_AT_ONCE[number / step % WAYS_AT_ONCE.len()];
        let faults = [((number * 7) % calls, way(1)), ((number * 31) % calls, way(5))];
        case(&faults.into_iter().collect(), seed).await;
    }
}
