//! Backfills: every object that is wanted starts its execution once, whatever fails, dies, comes or goes meanwhile.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod disturbance;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use disturbance::{Disturbed, Line, WAYS, Way, target_fails};
use futures::FutureExt;
use object_store::ObjectStoreExt;
use serde_json::{Value, json};
use stepwell_pipeline::{
    ErrorKind, StageError, current,
    execution::{Described, Executions, Started},
    link::MemoryLinks,
    manifest::CommitManifest,
    progress::Unwatched,
    queue::MemoryQueue,
    request::RunRequest,
    run::{Run, Source},
    spec::CheckedSpec,
    stage::{Buckets, Budget, StageContext},
    store::{self, MemoryStores, ObjectRef, Stores},
};
use stepwell_trigger::{
    Ports,
    backfill::{Backfill, BackfillRequest, Clock, Ended, Watch, run, survey},
    handler,
};

/// Time that passes when somebody waits.
#[derive(Debug, Default)]
struct Virtual(Mutex<Duration>);

#[async_trait]
impl Clock for Virtual {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    async fn sleep(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

/// Step Functions: which executions were started when, and how often it was asked.
#[derive(Debug)]
struct Machine {
    clock: Arc<Virtual>,
    line: Arc<Line>,
    started: Mutex<BTreeMap<String, (RunRequest, Duration)>>,
    calls: Mutex<Vec<Duration>>,
    /// More calls than that within a second are throttled.
    per_second_max: usize,
}

#[async_trait]
impl Executions for Machine {
    async fn start(&self, name: &str, request: &RunRequest) -> Result<Started, StageError> {
        let done = async {
            let now = self.clock.now();
            let mut calls = self.calls.lock().unwrap();
            let recent = calls.iter().rev().take_while(|at| **at + Duration::from_secs(1) > now).count();
            if recent >= self.per_second_max {
                return Err(StageError::new(ErrorKind::Throttled, "rate exceeded"));
            }
            calls.push(now);
            let mut started = self.started.lock().unwrap();
            let known = started.entry(name.to_owned()).or_insert_with(|| (request.clone(), now));
            assert_eq!(known.0, *request, "one name for two executions");
            Ok(Started::Running)
        };
        self.line.call(target_fails, done).await
    }

    async fn describe(&self, _: &str) -> Result<Option<Described>, StageError> {
        Ok(None)
    }
}

/// As Lambda's runtime wants it.
fn sendable<F: Future + Send>(future: F) -> F {
    future
}

struct Silent;

impl Watch for Silent {
    fn advanced(&self, _: &Backfill, _: f64) {}
}

/// A deployment in memory.
struct World {
    stores: MemoryStores,
    clock: Arc<Virtual>,
    machine: Arc<Machine>,
    queue: Arc<MemoryQueue>,
    ports: Ports,
}

const SPEC: &str = "pipeline: sales\nsource: { match: \"in/**/*.csv\" }\nschema:\n  - { name: a, type: int8 }\n\
                    load: { target: parquet, path: lake/sales/ }\n";

impl World {
    async fn new() -> Self {
        let world = Self::with(MemoryStores::default(), Arc::default(), usize::MAX);
        world.put("work", "pipelines/sales.yaml", SPEC).await;
        world
    }

    fn with(stores: MemoryStores, line: Arc<Line>, per_second_max: usize) -> Self {
        let clock = Arc::new(Virtual::default());
        let machine = Arc::new(Machine {
            clock: clock.clone(),
            line: line.clone(),
            started: Mutex::default(),
            calls: Mutex::default(),
            per_second_max,
        });
        let queue = Arc::new(MemoryQueue::default());
        let context = StageContext::new(
            Arc::new(Disturbed(stores.clone(), line)),
            Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() },
            Arc::new(Unwatched),
        );
        let ports = Ports {
            context,
            executions: machine.clone(),
            queue: queue.clone(),
            links: Arc::new(MemoryLinks),
            events_queue: "events".to_owned(),
            receives_max: 5,
            running_max: None,
        };
        Self { stores, clock, machine, queue, ports }
    }

    async fn put(&self, bucket: &str, key: &str, text: &str) {
        store::put(&self.stores, &ObjectRef::new(bucket, key), text.to_owned()).await.unwrap();
    }

    async fn run(&self, request: &BackfillRequest) -> Result<(Backfill, Ended), StageError> {
        sendable(run(&self.ports, &*self.clock, &Silent, request)).await
    }

    /// The keys of the objects that executions were started for.
    fn keys(&self) -> Vec<String> {
        let started = self.machine.started.lock().unwrap();
        let mut keys: Vec<String> = started.values().map(|(request, _)| request.key.clone()).collect();
        keys.sort();
        keys
    }

    /// Commits an object as `load` would have, under the spec of that text.
    async fn commit(&self, key: &str, spec: &str) {
        let spec = CheckedSpec::parse("sales.yaml", spec).unwrap();
        let meta = self.stores.bucket("landing").unwrap().head(&key.into()).await.unwrap();
        let source = Source {
            bucket: "landing".into(),
            key: key.into(),
            version: None,
            etag: meta.e_tag.unwrap(),
            size: meta.size,
            modified_ms: 0,
            sequencer: Some("01".into()),
        };
        let run = Run::new("sales", &spec.digest, source);
        let document = current::document(&spec.table(&self.ports.context.buckets), &run);
        let manifest = CommitManifest {
            run,
            generation: 0,
            files: Vec::new(),
            records_loaded: 0,
            bytes_loaded: 0,
            replaced: Vec::new(),
            code_version: "1".into(),
        };
        store::put_json(&self.stores, &document, &manifest).await.unwrap();
    }
}

fn request() -> BackfillRequest {
    BackfillRequest {
        bucket: "landing".into(),
        prefix: "in/".into(),
        pipeline: "sales".into(),
        ..BackfillRequest::default()
    }
}

fn key(number: usize) -> String {
    format!("in/{:02}/{number:05}.csv", number % 7)
}

#[tokio::test]
async fn what_fits_and_is_not_committed_is_started_no_faster_than_the_rate() {
    let world = World::new().await;
    for number in 0..2_500 {
        world.put("landing", &key(number), "a\n1\n").await;
    }
    for number in 0..100 {
        world.commit(&key(number), SPEC).await;
    }
    world.put("landing", "in/01/notes.txt", "no").await;
    world.put("landing", "in/02/empty.csv", "").await;
    world.put("landing", "out/1.csv", "a\n1\n").await;
    let (state, ended) = world.run(&BackfillRequest { rate: Some(50.0), ..request() }).await.expect("done");
    assert_eq!((ended, state.done), (Ended::Done, true));
    let counts = state.counts;
    assert_eq!((counts.listed, counts.unfit, counts.empty, counts.committed), (2_502, 1, 1, 100));
    assert_eq!((counts.started, counts.skipped()), (2_400, 102));
    let mut expected: Vec<String> = (100..2_500).map(key).collect();
    expected.sort();
    assert_eq!(world.keys(), expected);
    let mut calls: Vec<Duration> = world.machine.calls.lock().unwrap().clone();
    calls.sort();
    for window in calls.windows(51) {
        let span = window[50] - window[0];
        assert!(span >= Duration::from_millis(990), "51 starts within {span:?}");
    }
    let request = world.machine.started.lock().unwrap().values().next().unwrap().0.clone();
    assert!(request.etag.is_some() && request.size == Some(4) && request.sequencer.is_none(), "{request:?}");
    assert_eq!(request.pipeline.as_deref(), Some("sales"));
}

/// The same request later tells that it is done; under another id what is not committed yet is started under new names.
#[tokio::test]
async fn a_backfill_that_is_done_stays_done() {
    let world = World::new().await;
    for number in 0..5 {
        world.put("landing", &key(number), "a\n1\n").await;
    }
    let (first, _) = world.run(&request()).await.expect("done");
    world.put("landing", "in/00/later.csv", "a\n1\n").await;
    let (second, ended) = world.run(&request()).await.expect("done already");
    assert_eq!((ended, &second), (Ended::Done, &first));
    assert_eq!(world.machine.started.lock().unwrap().len(), 5);
    world.commit(&key(3), SPEC).await;
    let (third, _) = world.run(&BackfillRequest { id: Some("again".into()), ..request() }).await.expect("done");
    assert_eq!((third.counts.started, third.counts.committed), (5, 1));
    assert_eq!(world.machine.started.lock().unwrap().len(), 10);
    let other = BackfillRequest { id: Some("again".into()), prefix: "in/00".into(), ..request() };
    let refused = world.run(&other).await.expect_err("another backfill");
    assert!(refused.report().contains("choose another id"), "{}", refused.report());
}

#[tokio::test]
async fn under_a_mended_spec_what_was_loaded_is_loaded_again_on_demand() {
    let world = World::new().await;
    for number in 0..3 {
        world.put("landing", &key(number), "a\n1\n").await;
    }
    world.commit(&key(0), SPEC).await;
    world.commit(&key(1), &SPEC.replace("int8", "int16")).await;
    let (state, _) = world.run(&request()).await.expect("done");
    assert_eq!((state.counts.committed, state.counts.started), (2, 1));
    // A newer version is not committed, whatever is.
    world.put("landing", &key(0), "a\n2\n").await;
    let (state, _) = world.run(&BackfillRequest { again: true, ..request() }).await.expect("done");
    assert_eq!((state.counts.committed, state.counts.started), (0, 3));
}

#[tokio::test]
async fn a_prefix_is_any_beginning_and_the_time_window_is_half_open() {
    let world = World::new().await;
    for key in ["in/a.csv", "in/ab.csv", "in/ab", "in/ab/c.csv", "in/aa.csv", "in/b.csv", "in/ab.csvx"] {
        world.put("landing", key, "a\n1\n").await;
    }
    let prefix = BackfillRequest { prefix: "in/ab".into(), ..request() };
    let (state, _) = world.run(&prefix).await.expect("done");
    assert_eq!((world.keys(), state.counts.listed), (vec!["in/ab.csv".to_owned(), "in/ab/c.csv".to_owned()], 4));
    let exact = BackfillRequest { prefix: "in/b.csv".into(), ..request() };
    let (state, _) = world.run(&exact).await.expect("done");
    assert_eq!((state.counts.listed, state.counts.started), (1, 1));

    let meta = world.stores.bucket("landing").unwrap().head(&"in/a.csv".into()).await.unwrap();
    let at = meta.last_modified;
    let text = |moment: chrono::DateTime<chrono::Utc>| Some(moment.to_rfc3339());
    let later = at + chrono::TimeDelta::seconds(1_000);
    for (from, to, started) in [
        (text(at), None, 1),
        (text(later), None, 0),
        (None, text(later), 1),
        (None, text(at - chrono::TimeDelta::seconds(1)), 0),
    ] {
        let window = BackfillRequest { prefix: "in/a.csv".into(), from, to, ..request() };
        let (state, _) = world.run(&window).await.expect("done");
        assert_eq!((state.counts.started, state.counts.outside), (started, 1 - started), "{window:?}");
    }
}

#[tokio::test]
async fn what_would_be_in_vain_is_refused_before_anything_is_written() {
    let world = World::new().await;
    for (wrong, words) in [
        (BackfillRequest { prefix: "out/".into(), ..request() }, "no key that begins with `out/` fits `match` `in/**"),
        (
            BackfillRequest { pipeline: "sale".into(), ..request() },
            "no pipeline is called `sale`; the nearest is `sales`",
        ),
        (BackfillRequest { id: Some("none".into()), ..BackfillRequest::default() }, "there is no backfill none"),
    ] {
        let error = world.run(&wrong).await.expect_err("refused");
        assert!(error.report().contains(words), "{}", error.report());
    }
    let documents = world.stores.bucket("work").unwrap().list_with_delimiter(None).await.unwrap();
    assert_eq!(documents.common_prefixes, [object_store::path::Path::from("pipelines")]);
}

#[tokio::test]
async fn throttled_it_slows_down_and_gets_all_done() {
    let world = World::with(MemoryStores::default(), Arc::default(), 5);
    world.put("work", "pipelines/sales.yaml", SPEC).await;
    for number in 0..300 {
        world.put("landing", &key(number), "a\n1\n").await;
    }
    let (state, _) = world.run(&BackfillRequest { rate: Some(100.0), ..request() }).await.expect("done");
    assert_eq!((state.counts.started, world.keys().len()), (300, 300));
    let took = world.clock.now();
    assert!(took >= Duration::from_secs(59), "five per second at most: {took:?}");
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_done_and_changes_nothing() {
    let world = World::new().await;
    for number in 0..1_200 {
        world.put("landing", &key(number), "a\n1\n").await;
    }
    world.commit(&key(0), SPEC).await;
    let found = survey(&world.ports, &*world.clock, &Silent, &request()).await.expect("looked at");
    let counts = found.backfill.counts;
    assert_eq!((counts.listed, counts.committed, counts.started), (1_200, 1, 1_199));
    assert_eq!((found.first_keys.len(), found.first_keys[0].as_str()), (10, "in/00/00007.csv"));
    assert_eq!(world.keys(), Vec::<String>::new());
    assert!(store::get(&world.stores, &Backfill::document("work", &found.backfill.id)).await.unwrap().is_none());
    assert_eq!(world.clock.now(), Duration::ZERO);
}

/// A budget that lasts for so many looks at it.
#[derive(Debug)]
struct Looks(AtomicUsize);

impl Budget for Looks {
    fn is_spent(&self) -> bool {
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
    }
}

/// Lambda and its queue: rounds that end before their time is up and send themselves on.
#[tokio::test]
async fn a_function_goes_on_by_messages_until_all_is_done() {
    let mut world = World::new().await;
    for number in 0..60 {
        world.put("landing", &key(number), "a\n1\n").await;
    }
    let mut messages =
        vec![json!({"backfill": {"bucket": "landing", "prefix": "in/", "pipeline": "sales", "rate": 1000}})];
    let mut rounds = 0;
    while let Some(message) = messages.pop() {
        rounds += 1;
        assert!(rounds < 100, "it goes on for ever");
        world.ports.context.budget = Arc::new(Looks(AtomicUsize::new(7)));
        let answer = sendable(handler(&world.ports, message.clone())).await.expect("handled");
        // Whatever comes twice does no harm.
        world.ports.context.budget = Arc::new(Looks(AtomicUsize::new(7)));
        if rounds % 3 == 0 {
            handler(&world.ports, message).await.expect("handled twice");
        }
        messages.extend(world.queue.take_sent().into_iter().map(|(body, _)| serde_json::from_str(&body).unwrap()));
        messages.truncate(2);
        if answer["backfill"]["done"] == true {
            assert_eq!(answer["backfill"]["counts"]["started"], 60);
        }
    }
    assert!(rounds > 5, "{rounds}");
    let mut expected: Vec<String> = (0..60).map(key).collect();
    expected.sort();
    assert_eq!(world.keys(), expected);
    // A message of a round that is over changes nothing and sends nothing.
    let id = request_id();
    handler(&world.ports, json!({"backfill": {"id": id, "round": 1}})).await.expect("stale");
    assert_eq!(world.queue.take_sent(), []);
}

fn request_id() -> String {
    let words = ["landing", "in/", "sales", "", "", ""];
    format!("sales-{}", stepwell_pipeline::run::short_hash(&words))
}

/// Without time to deal with a single object, a round says so instead of going on for ever.
#[tokio::test]
async fn a_round_that_gets_nowhere_is_an_error() {
    let mut world = World::with(MemoryStores::default(), Arc::default(), 0);
    world.put("work", "pipelines/sales.yaml", SPEC).await;
    world.put("landing", &key(1), "a\n1\n").await;
    world.ports.context.budget = Arc::new(Looks(AtomicUsize::new(2)));
    let error = world.run(&request()).await.expect_err("throttled all the time");
    assert_eq!(error.kind(), ErrorKind::OutOfTime);
    assert_eq!(world.queue.take_sent(), []);
}

/// However long each look at an object takes, the first of a round has the first turn.
#[tokio::test]
async fn a_slow_look_at_the_first_object_keeps_no_round_from_getting_further() {
    let line = Arc::new(Line::uneven());
    let mut world = World::with(MemoryStores::default(), line, usize::MAX);
    world.put("work", "pipelines/sales.yaml", SPEC).await;
    for number in 0..20 {
        world.put("landing", &key(number), "a\n1\n").await;
    }
    for rounds in 1.. {
        assert!(rounds < 30, "it goes on for ever");
        world.ports.context.budget = Arc::new(Looks(AtomicUsize::new(3)));
        let slow = BackfillRequest { rate: Some(2.0), ..request() };
        if world.run(&slow).await.expect("it gets further").1 == Ended::Done {
            break;
        }
    }
    assert_eq!(world.keys().len(), 20);
}

/// The later of two workers takes over; the earlier notices and leaves it alone.
#[tokio::test]
async fn of_two_workers_the_later_goes_on() {
    struct TakenOver<'a>(&'a World, AtomicUsize);

    impl Watch for TakenOver<'_> {
        fn advanced(&self, _: &Backfill, _: f64) {
            if self.1.fetch_add(1, Ordering::SeqCst) == 3 {
                // In the middle of the first worker's batch.
                let request = BackfillRequest { rate: Some(900.0), ..request() };
                let (state, ended) = self.0.run(&request).now_or_never().expect("in memory").expect("done");
                assert_eq!((ended, state.counts.started), (Ended::Done, 40));
            }
        }
    }

    let world = World::new().await;
    for number in 0..40 {
        world.put("landing", &key(number), "a\n1\n").await;
    }
    let watch = TakenOver(&world, AtomicUsize::new(0));
    let result = run(&world.ports, &*world.clock, &watch, &request()).await;
    let error = result.expect_err("taken over");
    assert!(error.report().contains("another worker took over"), "{}", error.report());
    assert_eq!(world.machine.started.lock().unwrap().len(), 40, "the names are the same");
}

/// Objects come and go before and after the position while the worker is at it.
#[tokio::test]
async fn a_listing_that_changes_meanwhile_loses_nothing_that_stays() {
    let mut world = World::new().await;
    for number in 0..400 {
        world.put("landing", &format!("in/x/{number:05}.csv"), "a\n1\n").await;
    }
    let landing = world.stores.bucket("landing").unwrap();
    let mut gone = BTreeSet::new();
    for round in 0.. {
        world.ports.context.budget = Arc::new(Looks(AtomicUsize::new(40)));
        let (state, ended) = world.run(&request()).await.expect("a round");
        if ended == Ended::Done {
            assert!(round > 3, "{round} rounds");
            break;
        }
        // The position itself, one before it and one after it go; one before it and one after it come.
        let after: usize = state.after.as_deref().and_then(|key| key[5..10].parse().ok()).unwrap();
        for number in [after, after.saturating_sub(5), after + 20] {
            gone.insert(format!("in/x/{number:05}.csv"));
            landing.delete(&format!("in/x/{number:05}.csv").into()).await.ok();
        }
        world.put("landing", &format!("in/a/{round}.csv"), "a\n1\n").await;
        world.put("landing", &format!("in/x/{:05}-new.csv", after + 30), "a\n1\n").await;
    }
    let keys: BTreeSet<String> = world.keys().into_iter().collect();
    for number in 0..400 {
        let key = format!("in/x/{number:05}.csv");
        assert!(keys.contains(&key) || gone.contains(&key), "{key} was missed");
    }
    assert_eq!(keys.len(), world.machine.started.lock().unwrap().len(), "none twice");
    assert!(keys.iter().any(|key| key.ends_with("-new.csv")), "what comes beyond the position is loaded");
}

/// Each call goes wrong in each way, alone and in pairs; the worker starts again each time that it dies.
#[tokio::test]
async fn every_object_is_started_once_whatever_fails() {
    let stores = MemoryStores::default();
    let world = World::with(stores.clone(), Arc::default(), usize::MAX);
    world.put("work", "pipelines/sales.yaml", SPEC).await;
    for number in 0..5 {
        world.put("landing", &key(number), "a\n1\n").await;
    }
    world.commit(&key(2), SPEC).await;
    let calls = case(&stores, &BTreeMap::new()).await;
    let mut cases = 0;
    for first in 0..calls {
        for way in WAYS {
            let faults = BTreeMap::from([(first, way)]);
            let calls = case(&stores, &faults).await;
            cases += 1;
            // Of pairs every fifth, another one for each first fault.
            for second in (first + 1..calls).skip(cases % 5).step_by(5) {
                for other in WAYS {
                    let mut faults = faults.clone();
                    faults.insert(second, other);
                    case(&stores, &faults).await;
                    cases += 1;
                }
            }
        }
    }
    assert!(calls >= 15 && cases > 500, "{calls} calls, {cases} cases");
}

/// Runs a backfill with these faults until it is done. Gives the calls that were made.
async fn case(stores: &MemoryStores, faults: &BTreeMap<usize, Way>) -> usize {
    let line = Arc::new(Line::with(faults.clone()));
    let world = World::with(stores.clone(), line.clone(), usize::MAX);
    let document = Backfill::document("work", &request_id());
    store::delete(stores, &document).await.unwrap();
    let mut attempts = 0;
    let request = request();
    let state = loop {
        attempts += 1;
        assert!(attempts <= 4, "{faults:?}: it never ends");
        let ended = tokio::select! {
            biased;
            ended = world.run(&request) => ended,
            () = line.killed.notified() => continue,
        };
        match ended {
            Ok((state, Ended::Done)) => break state,
            // Before it began: whoever asked for it asks again.
            Err(error) if error.kind().is_transient() => {}
            other => panic!("{faults:?}: {other:?}"),
        }
    };
    let mut expected: Vec<String> = [0, 1, 3, 4].map(key).into();
    expected.sort();
    assert_eq!(world.keys(), expected, "{faults:?}");
    assert_eq!((state.counts.listed, state.counts.started, state.counts.committed), (5, 4, 1), "{faults:?}");
    let saved: Value = store::get_json(stores, &document).await.unwrap().unwrap();
    assert_eq!(saved["done"], true, "{faults:?}");
    line.calls()
}
