//! Never more executions than allowed run at the same time, none is lost and all come to run, whatever fails, whoever
//! dies and however many invocations of the function come between each other's calls.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod outside;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use outside::{
    Cases, Faults, Invocation, Line, Outside, Turn, Turns, WAYS, Way,
    clock::{now_ms, pass_ms},
    delivery, failed,
};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};
use stepwell_pipeline::{
    ErrorKind, StageError,
    execution::{Described, ExecutionState, Executions, Started},
    queue::DeathCause,
    request::RunRequest,
    store::{self, MemoryStores, ObjectRef},
};

/// As in the template: so many invocations are given messages at the same time, and so many messages each.
const INVOCATIONS_MAX: usize = 5;
const BATCH: usize = 10;

#[derive(Debug)]
struct Execution {
    request: RunRequest,
    started_ms: u64,
    is_running: bool,
}

/// Step Functions.
#[derive(Debug)]
struct Machine {
    running_max: usize,
    executions: Mutex<BTreeMap<String, Execution>>,
    /// The execution of this key can never be started.
    refused: Option<&'static str>,
}

impl Machine {
    fn running(&self) -> Vec<String> {
        self.running_since(u64::MAX)
    }

    fn running_since(&self, moment_ms: u64) -> Vec<String> {
        let executions = self.executions.lock().unwrap();
        let running = executions.iter().filter(|(_, execution)| execution.is_running);
        running.filter(|(_, execution)| execution.started_ms <= moment_ms).map(|(name, _)| name.clone()).collect()
    }

    fn end(&self, name: &str) {
        self.executions.lock().unwrap().get_mut(name).unwrap().is_running = false;
    }
}

#[async_trait]
impl Executions for Machine {
    async fn start(&self, name: &str, request: &RunRequest) -> Result<Started, StageError> {
        if self.refused == Some(&request.key) {
            return Err(StageError::new(ErrorKind::AccessDenied, "refused"));
        }
        let mut executions = self.executions.lock().unwrap();
        let execution = executions.entry(name.to_owned()).or_insert_with(|| Execution {
            request: request.clone(),
            started_ms: now_ms(),
            is_running: true,
        });
        let started = if execution.is_running { Started::Running } else { Started::AlreadyDone };
        let running = executions.values().filter(|execution| execution.is_running).count();
        assert!(running <= self.running_max, "{running} run where {} may", self.running_max);
        Ok(started)
    }

    async fn describe(&self, name: &str) -> Result<Option<Described>, StageError> {
        let executions = self.executions.lock().unwrap();
        // What it tells may be seconds old.
        let known = executions.get(name).filter(|execution| execution.started_ms + 5_000 <= now_ms());
        let state = |is_running| match is_running {
            true => ExecutionState::Running,
            false => ExecutionState::Succeeded(Value::Null),
        };
        Ok(known.map(|execution| Described {
            state: state(execution.is_running),
            started_ms: execution.started_ms,
            ended_ms: None,
        }))
    }
}

/// A message of the events queue.
#[derive(Clone, Debug)]
struct Message {
    id: usize,
    body: String,
}

/// What an invocation was given: messages, or a tick.
type Given = Vec<Message>;

struct World {
    random: SmallRng,
    outside: Outside<Machine>,
    queue: Vec<Message>,
    messages_sent: usize,
    live: Vec<Invocation<Given>>,
    next_tick_ms: u64,
    /// No execution ends sooner.
    run_ms_min: u64,
    /// Ends are told of not at all or twice, and writes land late.
    are_ends_disturbed: bool,
}

impl World {
    async fn new(seed: u64, running_max: usize, faults: impl Into<Faults>) -> Self {
        let machine = Machine { running_max, executions: Mutex::default(), refused: None };
        let line = Line::new(faults, Turns::EachCall);
        let mut outside = Outside::with(MemoryStores::default(), Arc::new(machine), line);
        outside.ports.running_max = Some(running_max);
        outside.push("p", "{ match: \"in/*\" }").await;
        Self {
            random: SmallRng::seed_from_u64(seed),
            outside,
            queue: Vec::new(),
            messages_sent: 0,
            live: Vec::new(),
            next_tick_ms: now_ms(),
            run_ms_min: 0,
            are_ends_disturbed: true,
        }
    }

    fn send(&mut self, body: &Value) {
        let message = Message { id: self.messages_sent, body: body.to_string() };
        self.messages_sent += 1;
        // S3 and SQS promise no order.
        let at = self.random.random_range(self.queue.len().saturating_sub(20)..=self.queue.len());
        self.queue.insert(at, message);
    }

    fn upload(&mut self, number: usize) {
        let mut event: Value = serde_json::from_str(include_str!("fixtures/eventbridge.json")).unwrap();
        event["detail"]["object"]["key"] = json!(format!("in/{number}.csv"));
        self.send(&event);
    }

    fn deliver(&mut self) {
        let batch: Vec<Message> = self.queue.drain(..self.queue.len().min(BATCH)).collect();
        let event = delivery(batch.iter().map(|message| (message.id, message.body.as_str())), 1);
        self.live.push(self.outside.begin(batch, event));
    }

    fn tick(&mut self) {
        self.next_tick_ms = now_ms() + 60_000;
        self.live.push(self.outside.begin(Vec::new(), json!({ "tick": "2026-01-01T00:00:00Z" })));
    }

    fn end_one(&mut self) {
        let running = self.outside.executions.running_since(now_ms() - self.run_ms_min);
        if running.is_empty() {
            return;
        }
        let name = &running[self.random.random_range(0..running.len())];
        self.outside.executions.end(name);
        let event = json!({
            "detail-type": "Step Functions Execution Status Change",
            "detail": { "status": "SUCCEEDED", "name": name },
        });
        let told = if self.are_ends_disturbed { [0, 1, 1, 1, 2][self.random.random_range(0..5)] } else { 1 };
        for _ in 0..told {
            self.send(&event);
        }
    }

    /// Lets one of the invocations go on.
    fn poll_one(&mut self) {
        let at = self.random.random_range(0..self.live.len());
        let turn = self.live[at].poll();
        let again: Vec<Message> = match &turn {
            Turn::GoesOn => return,
            Turn::Died | Turn::Ended(Err(_)) => self.live.swap_remove(at).of,
            Turn::Ended(Ok(answer)) => {
                let failed = failed(answer);
                let given = self.live.swap_remove(at).of;
                given.into_iter().filter(|message| failed.contains(&message.id.to_string())).collect()
            }
        };
        self.queue.extend(again);
    }

    /// Something happens.
    fn step(&mut self) {
        pass_ms(self.random.random_range(0..40));
        if now_ms() >= self.next_tick_ms {
            self.tick();
        }
        let has_room = self.live.iter().filter(|invocation| !invocation.of.is_empty()).count() < INVOCATIONS_MAX;
        match self.random.random_range(0..100) {
            0..8 if has_room && !self.queue.is_empty() => self.deliver(),
            8..14 => self.end_one(),
            14..15 if self.are_ends_disturbed => self.outside.line.land_one(&mut self.random),
            _ if !self.live.is_empty() => self.poll_one(),
            _ if has_room && !self.queue.is_empty() => self.deliver(),
            _ => pass_ms(1_000),
        }
    }

    async fn waiting(&self) -> usize {
        self.outside.keys("work", "waiting").await.len()
    }

    async fn slots(&self) -> usize {
        let document = ObjectRef::new("work", "slots.json");
        let slots: Option<Value> = store::get_json(&self.outside.stores, &document).await.unwrap();
        slots.map_or(0, |slots| slots["running"].as_object().unwrap().len())
    }

    /// Whether everything has come to its end.
    async fn is_done(&self) -> bool {
        let is_idle = self.queue.is_empty() && self.live.is_empty() && self.outside.executions.running().is_empty();
        is_idle && !self.outside.line.has_late() && self.waiting().await == 0 && self.slots().await == 0
    }

    async fn run_to_the_end(&mut self, steps_max: usize, case: &str) {
        for step in 0.. {
            self.step();
            if step % 100 == 99 && self.is_done().await {
                return;
            }
            assert!(
                step < steps_max,
                "{case}: {} wait, {} slots, {} run, {} messages",
                self.waiting().await,
                self.slots().await,
                self.outside.executions.running().len(),
                self.queue.len()
            );
        }
    }

    fn keys_run(&self) -> BTreeSet<String> {
        let executions = self.outside.executions.executions.lock().unwrap();
        let keys: BTreeSet<String> = executions.values().map(|execution| execution.request.key.clone()).collect();
        assert_eq!(keys.len(), executions.len(), "an object ran twice");
        keys
    }

    fn assert_all_ran(&self, uploads: usize, case: &str) {
        let wanted: BTreeSet<String> = (0..uploads).map(|number| format!("in/{number}.csv")).collect();
        assert_eq!(self.keys_run(), wanted, "{case}");
        assert_eq!(self.outside.queue.take_buried(), [], "{case}");
    }
}

#[tokio::test]
async fn bursts_of_1000_uploads_never_exceed_the_limit_and_drain_whatever_fails() {
    for seed in 0..12 {
        let mut random = SmallRng::seed_from_u64(seed);
        let running_max = [1, 3, 10, 40][random.random_range(0..4)];
        // From hardly ever to so often that most invocations die.
        let one_in = [2_000, 200, 50, 20][random.random_range(0..4)];
        let case = format!("seed {seed}, {running_max} may run, one call in {one_in} fails");
        let mut world = World::new(seed, running_max, Faults::one_in(one_in, !seed)).await;
        let mut uploads = 0;
        while uploads < 1_000 {
            let burst = random.random_range(1..=400).min(1_000 - uploads);
            (uploads..uploads + burst).for_each(|number| world.upload(number));
            uploads += burst;
            (0..random.random_range(0..20_000)).for_each(|_| world.step());
        }
        (0..20_000).for_each(|_| world.step());
        world.outside.line.mend();
        world.run_to_the_end(10_000_000, &case).await;
        world.assert_all_ran(1_000, &case);
    }
}

#[tokio::test]
async fn the_calls_of_a_burst_are_few() {
    let mut world = World::new(1, 20, Faults::default()).await;
    world.are_ends_disturbed = false;
    (0..1_000).for_each(|number| world.upload(number));
    world.run_to_the_end(10_000_000, "no faults").await;
    world.assert_all_ran(1_000, "no faults");
    let counts = world.outside.line.counts(0, Some("pipelines"));
    println!("{counts:?}");
    // Each request is written, read, started and removed; the slots change far less than once for each.
    assert!(counts["START"] < 1_050 && counts["DELETE"] < 1_050, "{counts:?}");
    assert!(counts["PUT"] < 2_200 && counts["LIST"] < 1_200 && counts["GET"] < 5_000, "{counts:?}");
}

/// Three uploads of which one may run; faults at the calls of those numbers. Gives the number of calls.
async fn small_case(faults: &BTreeMap<usize, Way>) -> usize {
    let mut world = World::new(7, 1, faults).await;
    let case = format!("{faults:?}");
    (0..3).for_each(|number| world.upload(number));
    (0..2_000).for_each(|_| world.step());
    let calls = world.outside.line.calls();
    world.outside.line.mend();
    world.run_to_the_end(200_000, &case).await;
    world.assert_all_ran(3, &case);
    calls
}

#[tokio::test]
async fn each_call_may_fail_in_every_way_and_so_may_two() {
    let tried = Cases::run(&WAYS, 35, small_case).await;
    assert!(tried.calls >= 30, "{tried:?}");
}

#[tokio::test]
async fn requests_that_wait_are_drained_when_the_limit_goes_or_sinks() {
    for limit in [None, Some(1)] {
        let mut world = World::new(3, 1_000, Faults::default()).await;
        world.outside.ports.running_max = Some(5);
        (0..50).for_each(|number| world.upload(number));
        while world.outside.executions.running().len() < 5 || !world.queue.is_empty() {
            let at = world.live.len();
            if at == 0 { world.deliver() } else { world.poll_one() }
        }
        while !world.live.is_empty() {
            world.poll_one();
        }
        assert_eq!((world.outside.executions.running().len(), world.waiting().await), (5, 45));
        world.outside.ports.running_max = limit;
        if limit.is_none() {
            world.tick();
            while !world.live.is_empty() {
                world.poll_one();
            }
            assert_eq!((world.outside.executions.running().len(), world.waiting().await), (50, 0));
            // The slots from before are found to be free once there is a limit again.
            world.outside.ports.running_max = Some(5);
        }
        world.run_to_the_end(1_000_000, "another limit").await;
        world.assert_all_ran(50, "another limit");
    }
}

#[tokio::test]
async fn what_can_never_be_started_goes_to_the_dead_letters_and_its_slot_to_the_next() {
    let mut world = World::new(3, 1, Faults::default()).await;
    let machine = Machine { refused: Some("in/1.csv"), running_max: 1, executions: Mutex::default() };
    world.outside.replace_executions(machine);
    (0..4).for_each(|number| world.upload(number));
    world.run_to_the_end(1_000_000, "refused").await;
    assert_eq!(world.keys_run(), ["in/0.csv", "in/2.csv", "in/3.csv"].map(str::to_owned).into());
    let buried = world.outside.queue.take_buried();
    let (body, cause) = buried.first().unwrap();
    assert_eq!(buried.len(), 1);
    let pipeline = body.contains("\"start\"").then(|| "p".to_owned());
    assert_eq!(cause, &DeathCause { error: "AccessDenied".into(), message: "refused".into(), pipeline });

    // Sent again as it is, once the cause is removed.
    let executions = std::mem::take(&mut *world.outside.executions.executions.lock().unwrap());
    world.outside.replace_executions(Machine { refused: None, running_max: 1, executions: Mutex::new(executions) });
    let body = serde_json::from_str(body).unwrap();
    world.send(&body);
    world.run_to_the_end(1_000_000, "sent again").await;
    world.assert_all_ran(4, "sent again");
}

#[tokio::test]
async fn without_faults_nothing_waits_for_a_tick() {
    for seed in 0..40 {
        let running_max = [1, 2, 5, 30][usize::try_from(seed % 4).unwrap()];
        let mut world = World::new(seed, running_max, Faults::default()).await;
        world.are_ends_disturbed = false;
        world.next_tick_ms = u64::MAX;
        world.run_ms_min = 6_000;
        // Most come one by one, so that there is nobody else to start them.
        for number in 0..100 {
            world.upload(number);
            (0..if number < 50 { 0 } else { 600 }).for_each(|_| world.step());
        }
        world.run_to_the_end(1_000_000, &format!("seed {seed}")).await;
        world.assert_all_ran(100, &format!("seed {seed}"));
    }
}

#[tokio::test]
async fn a_request_that_finds_no_room_while_the_last_execution_ends_is_not_left_behind() {
    for seed in 0..3_000 {
        let mut world = World::new(seed, 1, Faults::default()).await;
        world.are_ends_disturbed = false;
        world.next_tick_ms = u64::MAX;
        world.upload(0);
        world.deliver();
        while !world.live.is_empty() {
            world.poll_one();
        }
        // Its end is told at the moment when the next upload comes.
        world.end_one();
        world.run_ms_min = 6_000;
        world.deliver();
        world.upload(1);
        world.deliver();
        world.run_to_the_end(20_000, &format!("seed {seed}")).await;
        world.assert_all_ran(2, &format!("seed {seed}"));
    }
}
