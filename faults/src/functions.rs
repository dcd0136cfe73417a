//! The functions that the state machine calls: the real stages, with the world as their outside.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use async_trait::async_trait;
use futures::FutureExt;
use serde::Serialize;
use serde_json::{Value, json};
use stepwell_pipeline::{
    StageError, handoff,
    progress::Unwatched,
    request::RunRequest,
    stage::{Buckets, Budget, Limits, StageContext},
};
use stepwell_statemachine::{Invoke, TaskError};

use crate::{
    call::{Call, Fault, FaultKind, Operation, Recovery},
    scenario::Scenario,
    state::{Aftermath, Changes, hash_of},
    store::Outside,
    world::{LAKE, LANDING, Moment, WORK, World},
};

/// The functions that the state machine names.
pub(crate) const FUNCTIONS: [&str; 4] = ["extract", "transform", "load", "notify"];

/// So many invocations are kept.
const REMEMBERED_MAX: usize = 400_000;

/// What invocations did. A stage does the same for the same input when the outside is the same and fails in the same
/// calls, so it need not do it again.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    invocations: Mutex<HashMap<u64, Arc<Invocation>>>,
    repeated: AtomicU64,
    done: AtomicU64,
}

#[derive(Debug)]
struct Invocation {
    calls: Vec<Arc<Call>>,
    faults: usize,
    changes: Changes,
    aftermath: Aftermath,
    began_micros: u64,
    ended_micros: u64,
    intruded: bool,
    rival_succeeded: bool,
    result: Result<Value, TaskError>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Invocation>>> {
        self.invocations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many invocations were done, and how many were repeated from memory.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.repeated.load(Ordering::Relaxed))
    }
}

/// The functions of one case.
pub(crate) struct Functions<'a> {
    world: World,
    memory: Option<&'a Memory>,
    hurried: bool,
    limits: Limits,
    settings: u64,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// What fails until the execution has failed.
    broken: Option<(String, TaskError)>,
    disturbed: Disturbed,
    /// What was called last, the errors that it gave in a row, and how many there were in the execution.
    called: u64,
    errors: Vec<String>,
    failures: usize,
}

impl Progress {
    fn failed(&mut self, error: &TaskError) {
        self.errors.push(error.error.clone());
        self.failures += 1;
    }
}

/// What befell `notify` since the last execution began.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(crate) struct Disturbed {
    /// Something.
    pub(crate) somehow: bool,
    /// Something after which nobody can know whether a notice went out.
    pub(crate) unknown_whether_told: bool,
}

/// No time at all: a round ends as soon as it can.
#[derive(Debug)]
struct Spent;

impl Budget for Spent {
    fn is_spent(&self) -> bool {
        true
    }
}

fn epoch() -> SystemTime {
    SystemTime::UNIX_EPOCH
}

impl<'a> Functions<'a> {
    pub(crate) fn new(world: &World, scenario: &Scenario, memory: Option<&'a Memory>) -> Self {
        let limits = if scenario.in_pieces {
            Limits {
                part_bytes: 1,
                batch_records: 2,
                group_parts: 1,
                range_bytes: 40,
                upload_bytes: 400,
                ..Limits::default()
            }
        } else {
            Limits::default()
        };
        Self {
            world: world.clone(),
            memory,
            hurried: scenario.hurried,
            limits,
            settings: hash_of(&(scenario.hurried, scenario.in_pieces, scenario.versioned)),
            progress: Mutex::default(),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets everything work again.
    pub(crate) fn mend(&self) {
        let mut progress = self.progress();
        *progress = Progress { disturbed: progress.disturbed, ..Progress::default() };
    }

    /// What befell `notify` since the last time that somebody asked.
    pub(crate) fn take_disturbed(&self) -> Disturbed {
        std::mem::take(&mut self.progress().disturbed)
    }

    fn is_unknown_whether_told(&self, fault: &Fault) -> bool {
        let inner = self.world.lock();
        let Some(call) = inner.log.as_ref().and_then(|log| log.get(fault.call as usize)) else { return false };
        let is_before = matches!(fault.kind, FaultKind::FailsBefore | FaultKind::SlowDown | FaultKind::KilledBefore);
        call.target.key.starts_with("notices/sent/") || (call.operation == Operation::Publish && !is_before)
    }

    /// Takes down that a function is called, if anybody asked for it.
    fn note_moment(&self) {
        let mut inner = self.world.lock();
        if inner.moments.is_none() {
            return;
        }
        let progress = self.progress();
        let has = |kinds: &[FaultKind]| inner.fired.iter().any(|fault| kinds.contains(&fault.kind));
        let identity = hash_of(&(
            (inner.state.identity(inner.now_micros, true), inner.state.told(), self.settings, inner.course),
            (inner.intruded, inner.rival_succeeded, inner.intruder.as_ref().map(hash_of)),
            (progress.called, &progress.errors, progress.failures, progress.disturbed),
            inner.fired[inner.fired_before..].last().map(|fault| fault.recovery),
            // What they leave is removed by the next load of the key only, and so is held against the model later.
            (has(&[FaultKind::TimesOut, FaultKind::KilledDuring]), has(&[FaultKind::RivalRuns])),
        ));
        let moment = Moment { calls: inner.calls, identity };
        inner.moments.get_or_insert_default().push(moment);
    }

    async fn remembered(&self, function: &str, payload: &Value) -> (Result<Value, TaskError>, Vec<Fault>) {
        let Some(memory) = self.memory else { return self.invoke_now(function, payload).await.1 };
        let basis = {
            let inner = self.world.lock();
            let intrusion = (inner.intruded, inner.rival_succeeded, inner.intruder.as_ref().map(hash_of));
            let is_notify = function == "notify";
            let identity = inner.state.identity(inner.now_micros, is_notify);
            // The stages do not get to know which execution they serve.
            let seen = if is_notify { Some(payload) } else { payload.get("input") };
            hash_of(&(identity, intrusion, self.settings, function, seen.map(Value::to_string)))
        };
        let upcoming: Vec<(u32, FaultKind)> = {
            let inner = self.world.lock();
            inner.faults.iter().map(|fault| (fault.call - inner.calls, fault.kind)).collect()
        };
        for count in 0..=upcoming.len() {
            let found = memory.lock().get(&hash_of(&(basis, &upcoming[..count]))).cloned();
            if let Some(found) = found
                && upcoming.get(count).is_none_or(|(call, _)| *call as usize >= found.calls.len())
            {
                memory.repeated.fetch_add(1, Ordering::Relaxed);
                return (found.result.clone(), self.repeat(&found));
            }
        }
        let (invocation, ended) = self.invoke_now(function, payload).await;
        memory.done.fetch_add(1, Ordering::Relaxed);
        if let Some(invocation) = invocation {
            let mut invocations = memory.lock();
            if invocations.len() >= REMEMBERED_MAX {
                invocations.clear();
            }
            invocations.insert(hash_of(&(basis, &upcoming[..invocation.faults])), Arc::new(invocation));
        }
        ended
    }

    fn repeat(&self, found: &Invocation) -> Vec<Fault> {
        let mut inner = self.world.lock();
        let now = inner.now_micros + (found.ended_micros - found.began_micros);
        inner.now_micros = now;
        inner.state.repeat(&found.changes, &found.aftermath, (found.ended_micros, now));
        inner.state.take_changes();
        inner.calls += u32::try_from(found.calls.len()).unwrap_or(u32::MAX);
        inner.intruded = found.intruded;
        inner.rival_succeeded = found.rival_succeeded;
        if let Some(log) = &mut inner.log {
            log.extend(found.calls.iter().cloned());
        }
        let fired: Vec<Fault> = inner.faults.drain(..found.faults).collect();
        inner.fired.extend(&fired);
        fired
    }

    /// Invokes a function; gives what is to be remembered of it unless it broke what must hold, and its faults.
    async fn invoke_now(
        &self,
        function: &str,
        payload: &Value,
    ) -> (Option<Invocation>, (Result<Value, TaskError>, Vec<Fault>)) {
        let (invocation, kill) = self.world.begin_invocation();
        let (began_micros, fired_before, calls_before, uploads_before) = {
            let mut inner = self.world.lock();
            inner.state.take_changes();
            let logged = inner.log.get_or_insert_default().len();
            (inner.now_micros, inner.fired.len(), logged, inner.state.upload_ids())
        };
        let outside = Arc::new(Outside::new(&self.world, invocation));
        let [landing, work, lake] = [LANDING, WORK, LAKE].map(str::to_owned);
        let mut context = StageContext::new(outside.clone(), Buckets { landing, work, lake }, Arc::new(Unwatched));
        context.limits = self.limits;
        context.now = epoch;
        if self.hurried {
            context.budget = Arc::new(Spent);
        }
        let input = payload.get("input").cloned().unwrap_or_default();
        let result = tokio::select! {
            biased;
            result = AssertUnwindSafe(call(function, &context, &outside, input)).catch_unwind() => {
                let panicked = |_| {
                    self.world.lock().violation.get_or_insert(format!("{function} panicked"));
                    Err(raised("Internal", "panicked"))
                };
                result.unwrap_or_else(panicked)
            }
            () = kill.notified() => Err(raised("Sandbox.Timedout", "the function's time ran out")),
        };
        drop(context);
        self.world.end_invocation();
        let mut inner = self.world.lock();
        let fired = inner.fired[fired_before..].to_vec();
        let changes = inner.state.take_changes();
        let calls = inner.log.as_ref().map(|log| log[calls_before..].to_vec()).unwrap_or_default();
        let invocation = inner.violation.is_none().then(|| Invocation {
            calls,
            faults: fired.len(),
            changes,
            aftermath: inner.state.aftermath(&uploads_before),
            began_micros,
            ended_micros: inner.now_micros,
            intruded: inner.intruded,
            rival_succeeded: inner.rival_succeeded,
            result: result.clone(),
        });
        (invocation, (result, fired))
    }
}

#[async_trait]
impl Invoke for Functions<'_> {
    async fn invoke(&self, function: &str, payload: Value) -> Result<Value, TaskError> {
        let action = payload.pointer("/input/action").and_then(Value::as_str).unwrap_or_default();
        let task = format!("{function} {action}");
        {
            let mut progress = self.progress();
            let called = hash_of(&(function, timeless(&payload).to_string()));
            if progress.called != called {
                progress.called = called;
                progress.errors.clear();
            }
            if let Some((_, error)) = progress.broken.clone().filter(|(broken, _)| *broken == task) {
                progress.failed(&error);
                return Err(error);
            }
        }
        self.note_moment();
        let (result, fired) = self.remembered(function, &payload).await;
        let unknown_whether_told = fired.iter().any(|fault| self.is_unknown_whether_told(fault));
        let mut progress = self.progress();
        progress.disturbed.somehow |= function == "notify" && !fired.is_empty();
        progress.disturbed.unknown_whether_told |= unknown_whether_told;
        match &result {
            Ok(_) => progress.errors.clear(),
            Err(error) => progress.failed(error),
        }
        if let (Err(error), Some(last)) = (&result, fired.last())
            && last.recovery != Recovery::Retry
        {
            progress.broken = Some((task, error.clone()));
        }
        result
    }
}

/// What a function is given, without the times at which its execution began and was redriven.
fn timeless(payload: &Value) -> Value {
    match payload {
        Value::Object(fields) => {
            let others = fields.iter().filter(|(name, _)| !["StartTime", "RedriveTime"].contains(&name.as_str()));
            Value::Object(others.map(|(name, value)| (name.clone(), timeless(value))).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(timeless).collect()),
        other => other.clone(),
    }
}

async fn call(function: &str, context: &StageContext, outside: &Outside, input: Value) -> Result<Value, TaskError> {
    let result = match function {
        "extract" => answer(async { stepwell_extract::extract(context, RunRequest::parse(&input)?).await }.await),
        "transform" => answer(async { stepwell_transform::transform(context, handoff::parse(&input)?).await }.await),
        "load" => answer(async { stepwell_load::load(context, handoff::parse(&input)?).await }.await),
        _ => {
            let told = stepwell_notify::handler(context, outside, input).await;
            return told.map_err(|error| raised(error.name(), &error.message()));
        }
    };
    result.map_err(|error| raised(error.kind().name(), &error.report()))
}

fn answer<T: Serialize>(result: Result<T, StageError>) -> Result<Value, StageError> {
    Ok(json!(result?))
}

/// An error as Lambda gives it to the state machine.
fn raised(error: &str, message: &str) -> TaskError {
    let cause = json!({ "errorType": error, "errorMessage": message }).to_string();
    TaskError { error: error.to_owned(), cause }
}
