//! The outside as a case sees it: a state, the time, and the faults that are still to come.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    fmt,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde_json::Value;
use stepwell_pipeline::store::ObjectRef;
use stepwell_statemachine::{Clock, clock::TaskFuture, interpreter::TaskError};
use tokio::sync::Notify;

use crate::{
    call::{Call, Fault, FaultKind},
    invariant,
    sabotage::{self, Bug},
    scenario::Version,
    state::{Refusal, State, Write},
};

/// What a call takes, so that the time goes on.
const CALL_MICROS: u64 = 20_000;
/// No case needs so many calls.
const CALLS_MAX: u32 = 5_000;
/// The attempts of the AWS SDK's standard retry mode.
const CLIENT_ATTEMPTS: usize = 3;
const TIMES_OUT_LATE_MICROS: u64 = 200_000;
const KILLED_LATE_MICROS: u64 = 1_000_000;

/// The bucket where sources land.
pub(crate) const LANDING: &str = "landing";
/// The bucket of staged data.
pub(crate) const WORK: &str = "work";
/// The bucket of tables.
pub(crate) const LAKE: &str = "lake";

/// The outside, shared by everything that a case runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct World(Arc<Mutex<Inner>>);

/// What takes a state on from a time, and says whether it succeeded.
type Execute = dyn Fn(State, u64) -> BoxFuture<'static, (State, bool)> + Send + Sync;

/// An execution of another version that runs in between.
#[derive(Clone)]
pub(crate) struct Rival(pub(crate) Arc<Execute>);

impl fmt::Debug for Rival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rival")
    }
}

/// The moment at which a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The calls that were made before.
    pub calls: u32,
    /// What everything that follows hangs on, time of day aside: the same in two cases if the same follows.
    pub identity: u64,
}

/// Calls that fail by chance.
#[derive(Debug)]
struct Chance {
    percent: u32,
    rng: SmallRng,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) state: State,
    pub(crate) now_micros: u64,
    pub(crate) calls: u32,
    pub(crate) log: Option<Vec<Arc<Call>>>,
    pub(crate) faults: VecDeque<Fault>,
    pub(crate) fired: Vec<Fault>,
    /// Those that had befallen when the execution began.
    pub(crate) fired_before: usize,
    /// Where the course of things stands: all that what follows hangs on, beside the outside and the function's input.
    pub(crate) course: u64,
    /// If anybody asked for them.
    pub(crate) moments: Option<Vec<Moment>>,
    pub(crate) violation: Option<String>,
    /// What somebody uploads when a fault says so.
    pub(crate) intruder: Option<Version>,
    pub(crate) intruded: bool,
    /// Whether its own execution succeeded already.
    pub(crate) rival_succeeded: bool,
    pub(crate) rival: Option<Rival>,
    pub(crate) bug: Option<Bug>,
    pub(crate) last_written: Option<ObjectRef>,
    pub(crate) first_copied: Option<ObjectRef>,
    pub(crate) stale: BTreeMap<ObjectRef, bytes::Bytes>,
    /// Writes that a deliberate bug holds back.
    pub(crate) held_back: Vec<Write>,
    chance: Option<Chance>,
    chances_fired: u64,
    killed: bool,
    invocation: u64,
    kill: Arc<Notify>,
    seen: BTreeMap<String, Arc<Vec<String>>>,
}

/// How a call is to end.
pub(crate) enum Verdict {
    Do,
    /// First another execution runs to its end.
    Rival(Rival),
    Fail(FaultKind),
    /// The function that makes the call is no more.
    Never,
}

impl World {
    /// The outside in a state.
    pub(crate) fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(Inner { state, ..Inner::default() })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the state.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&State) -> T) -> T {
        at(&self.lock().state)
    }

    /// Changes the state as somebody outside does.
    pub(crate) fn change(&self, how: impl FnOnce(&mut State)) {
        how(&mut self.lock().state);
    }

    /// Lets the time go on.
    pub(crate) fn advance(&self, time: Duration) {
        self.lock().advance(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// Lets calls fail with 503 SlowDown by chance.
    pub(crate) fn slow_down(&self, percent: u32, seed: u64) {
        self.lock().chance = Some(Chance { percent, rng: SmallRng::seed_from_u64(seed) });
    }

    /// How many calls failed by chance.
    pub(crate) fn slowed_down(&self) -> u64 {
        self.lock().chances_fired
    }

    /// Begins an invocation; calls of earlier ones come to nothing from now on.
    pub(crate) fn begin_invocation(&self) -> (u64, Arc<Notify>) {
        let mut inner = self.lock();
        inner.invocation += 1;
        inner.killed = false;
        inner.kill = Arc::default();
        inner.held_back.clear();
        (inner.invocation, inner.kill.clone())
    }

    /// Ends an invocation: whatever it left running does nothing any more.
    pub(crate) fn end_invocation(&self) {
        self.lock().invocation += 1;
    }
}

impl Inner {
    pub(crate) fn advance(&mut self, micros: u64) {
        self.now_micros += micros;
        let now = self.now_micros;
        self.state.land(now);
        self.check();
    }

    /// Counts a call and says how it is to end.
    pub(crate) fn begin(&mut self, invocation: u64, call: impl FnOnce() -> Call) -> Verdict {
        if self.killed || invocation != self.invocation {
            return Verdict::Never;
        }
        self.advance(CALL_MICROS);
        sabotage::before_call(self);
        let number = self.calls;
        if number >= CALLS_MAX {
            self.violation.get_or_insert_with(|| "it never ends".to_owned());
            self.kill();
            return Verdict::Never;
        }
        self.calls += 1;
        if let Some(log) = &mut self.log {
            log.push(interned(call()));
        }
        if let Some(chance) = &mut self.chance {
            // The client itself makes a few quick attempts before it gives up.
            let hits = (0..CLIENT_ATTEMPTS).take_while(|_| chance.rng.random_range(0..100) < chance.percent).count();
            self.chances_fired += hits as u64;
            if hits == CLIENT_ATTEMPTS {
                return Verdict::Fail(FaultKind::SlowDown);
            }
        }
        match self.faults.front().copied().filter(|fault| fault.call == number) {
            None => Verdict::Do,
            Some(fault) => {
                self.faults.pop_front();
                self.fired.push(fault);
                match fault.kind {
                    FaultKind::SourceReplaced => {
                        self.replace_source();
                        Verdict::Do
                    }
                    FaultKind::RivalRuns => {
                        let is_first = !self.intruded;
                        self.replace_source();
                        match self.rival.clone().filter(|_| is_first) {
                            Some(rival) => Verdict::Rival(rival),
                            None => Verdict::Do,
                        }
                    }
                    kind => Verdict::Fail(kind),
                }
            }
        }
    }

    fn replace_source(&mut self) {
        if let Some(version) = self.intruder.clone()
            && !self.intruded
        {
            self.state.put(&version.place(), version.bytes());
            self.intruded = true;
        }
    }

    /// Does a write and holds the table against what must always hold.
    pub(crate) fn write(&mut self, write: Write) -> Result<String, Refusal> {
        let done = self.state.apply(&write, self.now_micros);
        if let Write::Put { at, .. } = write {
            self.last_written = Some(at);
        }
        self.check();
        done
    }

    fn check(&mut self) {
        if self.violation.is_none() {
            self.violation = invariant::broken(&self.state, &mut self.seen);
        }
    }

    /// Lets a write come to pass later.
    pub(crate) fn delay(&mut self, kind: FaultKind, write: Write) {
        let late = if kind == FaultKind::TimesOut { TIMES_OUT_LATE_MICROS } else { KILLED_LATE_MICROS };
        let due = self.now_micros + late;
        self.state.delay(due, write);
    }

    /// Ends the function that is running.
    pub(crate) fn kill(&mut self) {
        self.killed = true;
        self.kill.notify_one();
    }
}

/// Calls that were made before, each kept once.
static CALLS: LazyLock<Mutex<HashSet<Arc<Call>>>> = LazyLock::new(Mutex::default);

fn interned(call: Call) -> Arc<Call> {
    const KEPT_MAX: usize = 100_000;
    let mut calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = calls.get(&call) {
        return known.clone();
    }
    if calls.len() >= KEPT_MAX {
        calls.clear();
    }
    let call = Arc::new(call);
    calls.insert(call.clone());
    call
}

/// The time of the world: a wait is over at once.
#[async_trait]
impl Clock for World {
    fn now(&self) -> DateTime<Utc> {
        let micros = i64::try_from(self.lock().now_micros).unwrap_or(i64::MAX);
        DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    async fn sleep(&self, time: Duration) {
        self.advance(time);
    }

    async fn timeout(&self, _: Duration, task: TaskFuture<'_>) -> Option<Result<Value, TaskError>> {
        Some(task.await)
    }
}
