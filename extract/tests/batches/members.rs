//! What the members of a batch may be.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use stepwell_extract::extract;
use stepwell_pipeline::{
    batch::{BatchList, PinnedBatch},
    progress::Progress,
    request::RunRequest,
    stage::{Stage, StageContext},
    store::{self, ObjectRef},
};

use crate::{
    support::{context, gzip, ids, list, manifest, member, parquet, reasons, run, text, to_the_end, zstd},
    zip,
};

#[tokio::test]
async fn members_are_read_in_their_order_however_they_are_packed() {
    let archive = zip::zip(&[("a.csv", b"id,item\n5,a\n"), ("b/a.csv", b"id,item\nx,a\n6,b\n")]);
    let members = [
        ("in/one/day.csv", b"id,item\n1,a\n2,b\n".to_vec()),
        ("in/two/day.csv", b"id,item\n3,a\n".to_vec()),
        ("in/day.csv.gz", gzip(b"id,item\n4,a\nbad,b\n")),
        ("in/day.zip", archive),
        ("in/day.csv.zst", zstd(b"item,id\na,7\n")),
    ];
    let bytes: usize = members.iter().map(|(_, bytes)| bytes.len()).sum();
    let (context, extracted) = run(&members).await;
    let extracted = extracted.expect("extracted");
    let manifest = manifest(&context, &extracted).await;
    assert_eq!(ids(&context, &manifest).await, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!((manifest.records_read, manifest.records_accepted, manifest.records_rejected), (9, 7, 2));
    assert_eq!((manifest.bytes_read, extracted.bytes_read), (bytes as u64, bytes as u64));
    let places: Vec<_> =
        reasons(&context, &manifest).await.into_iter().map(|reject| (reject.object, reject.line)).collect();
    assert_eq!(
        places,
        [("s3://landing/in/day.csv.gz".to_owned(), 3), ("s3://landing/in/day.zip#b/a.csv".to_owned(), 2)]
    );
    let rejects = manifest.rejects.expect("there are rejects");
    assert_eq!(text(&context, &rejects.records).await, "id,item\nbad,b\nx,a\n");
    assert!(rejects.further.is_empty());
}

#[tokio::test]
async fn every_member_has_its_own_format_and_each_format_its_own_rejects() {
    let members = [
        ("in/1.parquet", parquet(&[1, 0, 2])),
        ("in/2.csv", b"id,item\n3,a\nx,b\n".to_vec()),
        ("in/3.ndjson", b"{\"id\": 4}\n{\"id\": \"no\"}\n".to_vec()),
        ("in/4.json", b"[{\"id\": 5}, {\"id\": \"no\"}, {\"id\": \"never\"}]".to_vec()),
        ("in/5.parquet", parquet(&[6])),
        ("in/6.tsv", b"id\titem\ny\ta\n7\tb\n".to_vec()),
        ("in/7.csv", b"id,item\n8,a\nz,b\n".to_vec()),
    ];
    let (context, extracted) = run(&members).await;
    let manifest = manifest(&context, &extracted.expect("extracted")).await;
    assert_eq!(ids(&context, &manifest).await, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!((manifest.records_read, manifest.records_rejected), (15, 7));
    let rejects = manifest.rejects.expect("there are rejects");
    let mut files = Vec::new();
    for key in rejects.records() {
        files.push((key.rsplit('/').next().unwrap().to_owned(), text(&context, key).await));
    }
    let expected = [
        ("rejects.ndjson", "{\"id\":null,\"item\":\"item 0\"}\n{\"id\": \"no\"}\n"),
        ("rejects-2.csv", "id,item\nx,b\nz,b\n"),
        ("rejects-3.json", "[\n{\"id\": \"no\"},\n{\"id\": \"never\"}\n]\n"),
        ("rejects-4.tsv", "id\titem\ny\ta\n"),
    ];
    assert_eq!(files, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
}

#[tokio::test]
async fn rejects_stand_below_the_header_that_they_had_and_can_be_loaded_as_they_are() {
    let members = [
        ("in/1.csv", b"id,item\nx,a\n1,b\n".to_vec()),
        ("in/2.csv", b"item,id\nc,y\n".to_vec()),
        ("in/3.csv", b"id,item\nz,d\n".to_vec()),
        ("in/4.csv", b"id\n2\n".to_vec()),
    ];
    let (context, extracted) = run(&members).await;
    let first = manifest(&context, &extracted.expect("extracted")).await;
    let rejects = first.rejects.clone().expect("there are rejects");
    let mut again = Vec::new();
    for key in rejects.records() {
        let name = format!("in/{}", key.rsplit('/').next().unwrap());
        again.push((name, text(&context, key).await.replace('x', "10").replace('y', "11").replace('z', "12")));
    }
    assert_eq!(again[0].1, "id,item\n10,a\n12,d\n");
    assert_eq!(again[1].1, "item,id\nc,11\n");
    assert_eq!(again.len(), 2);
    let mended: Vec<(&str, Vec<u8>)> = again.iter().map(|(key, text)| (key.as_str(), text.clone().into())).collect();
    let (context, extracted) = run(&mended).await;
    let manifest = manifest(&context, &extracted.expect("extracted")).await;
    assert_eq!(ids(&context, &manifest).await, [10, 12, 11]);
}

#[tokio::test]
async fn members_that_hold_nothing_are_passed_over() {
    let members = [
        ("in/0.csv", Vec::new()),
        ("in/1.csv", b"id,item\n1,a\n".to_vec()),
        ("in/2.csv", Vec::new()),
        ("in/3.csv.gz", gzip(b"")),
        ("in/4.csv", b"id,item\n".to_vec()),
        ("in/5.csv", b"id,item\n2,b\n".to_vec()),
        ("in/6.csv", Vec::new()),
    ];
    let (context, extracted) = run(&members).await;
    let manifest = manifest(&context, &extracted.expect("extracted")).await;
    assert_eq!(ids(&context, &manifest).await, [1, 2]);
    assert_eq!(manifest.records_read, 2);
}

/// It may be that all members of an older list were taken back: what they brought has to go.
#[tokio::test]
async fn a_batch_of_nothing_is_a_run_of_no_records() {
    for members in [vec![], vec![("in/0.csv", Vec::new()), ("in/1.csv.gz", gzip(b""))]] {
        let (context, extracted) = run(&members).await;
        let extracted = extracted.expect("extracted");
        assert_eq!((extracted.records_read, extracted.records_rejected), (0, 0));
        let manifest = manifest(&context, &extracted).await;
        assert!(manifest.parts.is_empty() && manifest.rejects.is_none());
    }
}

#[tokio::test]
async fn the_list_orders_the_runs_also_of_those_who_name_only_the_list() {
    let context = context();
    let one = member(&context, "in/1.csv", "id\n1\n").await;
    let two = member(&context, "in/2.csv", "id\n2\n").await;
    let mut runs = Vec::new();
    for (revision, members) in [(0, vec![one.clone()]), (1, vec![one, two])] {
        let request = list(&context, revision, members).await;
        let run = to_the_end(&context, request).await.expect("extracted").0.run;
        assert_eq!(run.pipeline, "orders");
        assert_eq!(run.source.sequencer, Some(BatchList::sequencer(revision)));
        runs.push(run);
    }
    assert_ne!(runs[0].id, runs[1].id);
}

#[tokio::test]
async fn the_pinned_list_is_kept_for_those_who_come_when_there_is_a_newer_one() {
    let context = context();
    let one = member(&context, "in/1.csv", "id\n1\n").await;
    let request = list(&context, 0, vec![one.clone()]).await;
    let (first, _) = to_the_end(&context, request.clone()).await.expect("extracted");
    let two = member(&context, "in/2.csv", "id\n2\n").await;
    list(&context, 1, vec![one, two]).await;
    let key = ObjectRef::new("work", PinnedBatch::key(&first.run.id));
    let pinned: PinnedBatch = store::get_json(&*context.stores, &key).await.unwrap().unwrap();
    assert_eq!((pinned.list.revision, pinned.list.members.len()), (0, 1));
    assert_eq!(pinned.source, first.run.source);
    // As a redrive asks, or a repetition under a mended spec.
    let etag = Some(format!("\"{}\"", first.run.source.etag));
    let again = RunRequest { etag, pipeline: Some("orders".into()), ..request };
    let again = extract(&context, again).await.expect("extracted").done().expect("in one round");
    assert_eq!(again.run, first.run);
}

#[derive(Debug, Default)]
struct Watched {
    bytes_ahead: AtomicU64,
    bytes: AtomicU64,
    records: AtomicU64,
}

impl Progress for Watched {
    fn started(&self, _: Stage, bytes: Option<u64>) {
        self.bytes_ahead.store(bytes.unwrap_or_default(), Ordering::Relaxed);
    }

    fn advanced(&self, _: Stage, bytes: u64, records: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    fn finished(&self, _: Stage, _: bool) {}
}

#[tokio::test]
async fn progress_is_that_of_all_members() {
    let watched = Arc::new(Watched::default());
    let context = StageContext { progress: watched.clone(), ..context() };
    let mut members = Vec::new();
    for (key, bytes) in [
        ("in/1.csv", b"id\n1\n2\n".to_vec()),
        ("in/2.csv", Vec::new()),
        ("in/3.csv.gz", gzip(b"id\n3\n")),
        ("in/4.csv", b"id\n4\n".to_vec()),
    ] {
        members.push(member(&context, key, bytes).await);
    }
    let bytes: u64 = members.iter().map(|member| member.size).sum();
    let request = list(&context, 0, members).await;
    to_the_end(&context, request).await.expect("extracted");
    let seen = [&watched.bytes_ahead, &watched.bytes, &watched.records].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(seen, [bytes, bytes, 4]);
}
