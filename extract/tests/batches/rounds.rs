//! A batch that takes several rounds gives, byte for byte, what it gives in one.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use stepwell_extract::extract;
use stepwell_pipeline::{
    handoff::Round,
    stage::{Budget, Limits, StageContext},
};

use crate::{
    support::{context, gzip, ids, left, list, manifest, member, parquet, to_the_end, zstd},
    zip,
};

/// Is spent at the asked-for question, counted from 1 over all rounds, or at every one.
#[derive(Debug, Default)]
struct SpentAt {
    question: Option<usize>,
    always: bool,
    asked: AtomicUsize,
}

impl Budget for SpentAt {
    fn is_spent(&self) -> bool {
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        self.always || self.question == Some(number)
    }
}

fn csv(ids: std::ops::Range<i32>) -> Vec<u8> {
    let mut text = String::from("id,item\n");
    for id in ids {
        if id % 13 == 5 {
            writeln!(text, "no {id},\"a \"\"bad\"\" one\"").unwrap();
        } else {
            writeln!(text, "{id},\"item {id},\nwith a line end\"").unwrap();
        }
    }
    text.into_bytes()
}

fn ndjson(ids: std::ops::Range<i32>) -> Vec<u8> {
    let lines = ids.map(|id| match id % 7 {
        3 => format!("{{\"id\": \"no {id}\"}}\n"),
        _ => format!("{{\"id\": {id}, \"item\": \"item {id}\"}}\n"),
    });
    lines.collect::<String>().into_bytes()
}

/// Members of every kind.
fn mixed() -> Vec<(String, Vec<u8>)> {
    let swapped = String::from_utf8(csv(700..760)).unwrap().replacen("id,item", "item,id", 1);
    let ids: Vec<i32> = (500..560).map(|id| if id % 9 == 0 { 0 } else { id }).collect();
    let json = format!("[{}]", String::from_utf8(ndjson(600..660)).unwrap().trim_end().replace('\n', ",\n"));
    let members = [
        ("in/a/1.csv", csv(0..100)),
        ("in/a/2.csv", Vec::new()),
        ("in/b/1.csv", csv(100..130)),
        ("in/c.csv.gz", gzip(&csv(200..300))),
        ("in/d.zip", zip::zip(&[("one.csv", &csv(300..370)), ("two.ndjson", &ndjson(370..430))])),
        ("in/e.csv.gz", gzip(b"")),
        ("in/f.ndjson.zst", zstd(&ndjson(430..500))),
        ("in/g.parquet", parquet(&ids)),
        ("in/h.json", json.into_bytes()),
        ("in/i.csv", swapped.into_bytes()),
        ("in/j.csv", csv(800..803)),
    ];
    members.map(|(key, bytes)| (key.to_owned(), bytes)).to_vec()
}

/// So many that no part of theirs would ever be full.
fn tiny(count: i32) -> Vec<(String, Vec<u8>)> {
    (0..count).map(|number| (format!("in/{number:05}.csv"), csv(number..number + 1))).collect()
}

async fn run(
    members: &[(String, Vec<u8>)],
    limits: Limits,
    budget: SpentAt,
) -> (BTreeMap<String, Vec<u8>>, usize, usize, Vec<i32>) {
    let budget = Arc::new(budget);
    let context = StageContext { budget: budget.clone(), limits, ..context() };
    let mut pinned = Vec::new();
    for (key, bytes) in members {
        pinned.push(member(&context, key, bytes.clone()).await);
    }
    let request = list(&context, 3, pinned).await;
    let (extracted, rounds) = to_the_end(&context, request).await.unwrap_or_else(|error| panic!("{}", error.report()));
    let ids = ids(&context, &manifest(&context, &extracted).await).await;
    (left(&context, &extracted).await, budget.asked.load(Ordering::Relaxed), rounds, ids)
}

fn same(question: usize, cut: &BTreeMap<String, Vec<u8>>, whole: &BTreeMap<String, Vec<u8>>) {
    let names = |objects: &BTreeMap<String, Vec<u8>>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(cut), names(whole), "at {question}");
    for (name, bytes) in whole {
        assert!(cut[name] == *bytes, "at {question}: {name} differs");
    }
}

async fn any_cut_gives_the_same(members: &[(String, Vec<u8>)], limits: Limits, questions_min: usize) {
    let (whole, questions, rounds, _) = run(members, limits, SpentAt::default()).await;
    assert_eq!(rounds, 1);
    assert!(questions >= questions_min, "only {questions} places to end a round");
    for question in 1..=questions {
        let (cut, _, rounds, _) =
            run(members, limits, SpentAt { question: Some(question), ..SpentAt::default() }).await;
        assert_eq!(rounds, 2, "at {question}");
        same(question, &cut, &whole);
    }
    let (cut, _, rounds, _) = run(members, limits, SpentAt { always: true, ..SpentAt::default() }).await;
    assert_eq!(rounds, questions + 1);
    same(0, &cut, &whole);
}

#[tokio::test]
async fn of_members_of_every_kind() {
    let limits = Limits { part_bytes: 1, batch_records: 16, ..Limits::default() };
    any_cut_gives_the_same(&mixed(), limits, 30).await;
    any_cut_gives_the_same(&mixed(), Limits { part_members: 2, ..limits }, 30).await;
    any_cut_gives_the_same(&mixed(), Limits { part_bytes: 3000, part_members: 3, range_bytes: 50, ..limits }, 8).await;
}

#[tokio::test]
async fn of_members_too_small_to_fill_a_part() {
    let limits = Limits { part_members: 7, ..Limits::default() };
    any_cut_gives_the_same(&tiny(64), limits, 9).await;
    let (_, _, _, ids) = run(&tiny(64), limits, SpentAt { always: true, ..SpentAt::default() }).await;
    assert_eq!(ids, (0..64).filter(|id| id % 13 != 5).collect::<Vec<_>>());
    let empties: Vec<_> = (0..20).map(|number| (format!("in/{number:05}.csv.gz"), gzip(b""))).collect();
    any_cut_gives_the_same(&[empties, tiny(9)].concat(), limits, 1).await;
}

#[tokio::test]
async fn a_round_goes_on_with_its_own_list_when_there_is_a_newer_one() {
    let budget = Arc::new(SpentAt { question: Some(1), ..SpentAt::default() });
    let context = StageContext { budget, limits: Limits { part_members: 2, ..Limits::default() }, ..context() };
    let mut members = Vec::new();
    for (key, bytes) in tiny(5) {
        members.push(member(&context, &key, bytes).await);
    }
    let request = list(&context, 0, members.clone()).await;
    let Round::More(again) = extract(&context, request).await.expect("extracted") else { panic!("in one round") };
    list(&context, 1, members[..1].to_vec()).await;
    let (extracted, _) = to_the_end(&context, again).await.expect("extracted");
    assert_eq!(ids(&context, &manifest(&context, &extracted).await).await, [0, 1, 2, 3, 4]);
}
