//! A case: a scenario with some faults, run to its end and held against the model.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashSet},
    fmt,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use stepwell_pipeline::request::RunRequest;
use stepwell_statemachine::{ETL, Execution, ExecutionInfo, Invoke, Ports, StateMachine, Status};
use tokio::runtime::Runtime;

use crate::{
    call::{Call, Fault, FaultKind, Recovery},
    functions::{FUNCTIONS, Functions, Memory},
    oracle::{self, Oracle},
    sabotage::Bug,
    scenario::{self, Expected, Model, SCENARIOS, Scenario, Step, Version},
    state::{State, hash_of},
    world::{LAKE, Moment, Rival, WORK, World},
};

/// A scenario and the faults that befall it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What happens.
    pub scenario: &'static Scenario,
    /// What goes wrong, in the order of the calls.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<_> = self.faults.iter().map(Fault::to_string).collect();
        write!(f, "{}:{}", self.scenario.name, faults.join(","))
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, faults) = text.split_once(':').unwrap_or((text, ""));
        let scenario = scenario::find(name).ok_or_else(|| {
            let known: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            format!("there is no scenario `{name}`; there are {}", known.join(", "))
        })?;
        let faults = faults.split(',').filter(|fault| !fault.is_empty());
        let mut faults: Vec<Fault> = faults.map(str::parse).collect::<Result<_, _>>()?;
        faults.sort();
        Ok(Self { scenario, faults })
    }
}

/// How a case went.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The calls that were made.
    pub calls: Vec<Arc<Call>>,
    /// The faults that befell it.
    pub fired: Vec<Fault>,
    /// The executions and redrives.
    pub executions: u32,
    /// The calls that got a 503 by chance.
    pub slowed_down: u64,
    /// When functions were called, if anybody asked for it.
    pub moments: Vec<Moment>,
    /// What should not have been.
    pub violation: Option<String>,
}

/// Runs cases, one after the other.
pub struct Lab {
    runtime: Runtime,
    machine: Arc<StateMachine>,
    memory: Arc<Memory>,
    oracle: Oracle,
    /// What was found to be as promised.
    verified: RefCell<HashSet<u64>>,
    eager_seed: u64,
}

/// What labs share.
#[derive(Clone, Debug, Default)]
pub struct LabMemory(Arc<Memory>);

impl LabMemory {
    /// How many invocations of functions were done, and how many were repeated from memory.
    pub fn counts(&self) -> (u64, u64) {
        self.0.counts()
    }
}

/// What befalls a case beside its faults.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// The percentage of calls that get a 503 SlowDown, and where chance begins.
    pub slow_down: Option<(u32, u64)>,
    /// Whether every invocation is really done, though an equal one was.
    pub forgetful: bool,
    /// A bug that is built in.
    pub bug: Option<Bug>,
}

impl Lab {
    /// A lab that has seen nothing yet.
    ///
    /// # Errors
    /// What keeps the runtime from starting or the state machine from being read.
    pub fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let functions = ["Extract", "Transform", "Load", "Notify"].map(|stage| format!("{stage}FunctionArn"));
        let functions = functions.into_iter().zip(FUNCTIONS.map(str::to_owned));
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread().build()?,
            machine: Arc::new(StateMachine::parse(ETL, &BTreeMap::from_iter(functions))?),
            memory: Arc::default(),
            oracle: Oracle::default(),
            verified: RefCell::default(),
            eager_seed: eager_seed(),
        })
    }

    /// Another lab, for another thread, with the same memory.
    ///
    /// # Errors
    /// As [`Lab::new`].
    pub fn beside(memory: &LabMemory) -> Result<Self, Box<dyn std::error::Error>> {
        Ok(Self { memory: memory.0.clone(), ..Self::new()? })
    }

    /// Runs a case.
    pub fn run(&self, case: &Case) -> Outcome {
        self.run_in(case, Weather::default())
    }

    /// Runs a case and takes down when functions were called.
    pub fn watch(&self, case: &Case) -> Outcome {
        self.run_as(case, Weather::default(), Some(Vec::new()))
    }

    /// Runs a case in bad weather.
    pub fn run_in(&self, case: &Case, weather: Weather) -> Outcome {
        self.run_as(case, weather, None)
    }

    fn run_as(&self, case: &Case, weather: Weather, moments: Option<Vec<Moment>>) -> Outcome {
        let scenario = case.scenario;
        let world = World::new(State::new(if scenario.versioned { &[crate::world::LANDING] } else { &[] }));
        {
            let mut inner = world.lock();
            inner.bug = weather.bug;
            inner.faults = case.faults.iter().copied().collect();
            inner.log = Some(Vec::new());
            inner.moments = moments;
        }
        if let Some((percent, seed)) = weather.slow_down {
            world.slow_down(percent, seed);
        }
        let is_clear = !weather.forgetful && weather.slow_down.is_none() && weather.bug.is_none();
        let memory = is_clear.then(|| self.memory.clone());
        let course = Course {
            lab: self,
            scenario,
            memory: memory.clone(),
            functions: Functions::new(&world, scenario, memory.as_deref()),
            versioned: scenario.versioned,
            has_weather: weather.slow_down.is_some(),
            model: Model::default(),
            version_ids: BTreeMap::new(),
            newest: 0,
            step: 0,
            executions: 0,
            succeeded: 0,
            success_notice_disturbed: false,
            upload_disturbed: false,
            end: None,
            world: world.clone(),
        };
        let (violation, executions, end) = self.runtime.block_on(course.run(&scenario.steps));
        let mut inner = world.lock();
        let mut calls = inner.log.take().unwrap_or_default();
        if let Some(end) = end {
            calls.truncate(end);
        }
        let mut moments = inner.moments.take().unwrap_or_default();
        moments.retain(|moment| (moment.calls as usize) < calls.len());
        let fired = std::mem::take(&mut inner.fired);
        drop(inner);
        Outcome { calls, fired, executions, slowed_down: world.slowed_down(), moments, violation }
    }
}

/// A seed with which the interpreter's random waits are next to nothing, so that late writes meet retries.
fn eager_seed() -> u64 {
    let is_eager = |seed: &u64| {
        let mut rng = StdRng::seed_from_u64(*seed);
        (0..2).all(|_| rng.random_range(0.0..=1.0) < 0.01)
    };
    (0..1_000_000).find(is_eager).unwrap_or_default()
}

fn execution_info(name: String) -> ExecutionInfo {
    ExecutionInfo {
        id: format!("arn:aws:states:eu-central-1:000000000000:execution:stepwell:{name}"),
        name,
        role_arn: String::new(),
        machine_id: String::new(),
        machine_name: String::new(),
    }
}

/// The request that the event of an upload makes.
fn request(version: &Version, id: Option<String>) -> RunRequest {
    let place = version.place();
    RunRequest {
        bucket: place.bucket,
        key: place.key,
        version: id,
        etag: Some(version.etag()),
        sequencer: Some(version.sequencer()),
        ..RunRequest::default()
    }
}

/// A scenario under way.
struct Course<'a> {
    lab: &'a Lab,
    scenario: &'static Scenario,
    memory: Option<Arc<Memory>>,
    world: World,
    functions: Functions<'a>,
    versioned: bool,
    has_weather: bool,
    model: Model,
    /// Version ids in the landing bucket, by key and number.
    version_ids: BTreeMap<(String, u32), Option<String>>,
    newest: u32,
    /// The number of the step.
    step: usize,
    executions: u32,
    succeeded: usize,
    success_notice_disturbed: bool,
    upload_disturbed: bool,
    end: Option<usize>,
}

impl Course<'_> {
    /// Gives what went wrong, the executions, and how many calls were made before everything had succeeded.
    async fn run(mut self, steps: &[Step]) -> (Option<String>, u32, Option<usize>) {
        let violation = self.steps(steps).await.err();
        (violation, self.executions, self.end)
    }

    async fn steps(&mut self, steps: &[Step]) -> Result<(), String> {
        let mut last = None;
        for (number, step) in steps.iter().enumerate() {
            self.step = number;
            match step {
                Step::Publish(spec) => {
                    let at =
                        stepwell_pipeline::store::ObjectRef::new(WORK, format!("pipelines/{}.yaml", spec.pipeline));
                    self.world.change(|state| state.put(&at, spec.text().into()));
                    self.model.publish(spec.clone());
                }
                Step::Upload(version) => {
                    self.world.change(|state| state.put(&version.place(), version.bytes()));
                    self.uploaded(version);
                }
                Step::Run { pipeline, version } => {
                    let expected = self.model.run(pipeline, version).ok_or("the scenario runs what has no spec")?;
                    self.run_version(pipeline, version, expected).await?;
                    last = Some((*pipeline, version.clone(), expected));
                }
            }
        }
        self.world.advance(Duration::from_secs(60));
        if let Err(violation) = self.compare() {
            self.clean_up(violation).await?;
        }
        self.end = self.world.lock().log.as_ref().map(Vec::len);
        // Whatever faults are left have no call to befall: the rest must do nothing.
        self.world.lock().faults.clear();
        if let Some((pipeline, version, expected)) = last {
            self.settle(pipeline, &version, expected).await?;
        }
        Ok(())
    }

    /// A write that comes to pass after a newer version's execution has cleaned up, and a load that failed for good after
    /// that, leave files until the next load of the key.
    async fn clean_up(&mut self, violation: String) -> Result<(), String> {
        let fired = self.world.lock().fired.clone();
        let is_any = |kinds: &[FaultKind]| fired.iter().any(|fault| kinds.contains(&fault.kind));
        let is_late = is_any(&[FaultKind::TimesOut, FaultKind::KilledDuring]) || !self.model.failed.is_empty();
        match self.model.newest() {
            Some((pipeline, version)) if is_late && is_any(&[FaultKind::RivalRuns]) => {
                self.world.lock().faults.clear();
                let expected = self.model.run(pipeline, &version).ok_or("the scenario runs what has no spec")?;
                self.execute(&version, expected).await?;
                self.compare()
            }
            _ => Err(violation),
        }
    }

    fn uploaded(&mut self, version: &Version) {
        let id = self.world.look(|state| state.object(&version.place()).and_then(|object| object.version.clone()));
        self.version_ids.insert((version.key.clone(), version.number), id);
        self.newest = self.newest.max(version.number);
    }

    /// Runs a version until it ends as expected; then what somebody uploaded meanwhile.
    async fn run_version(
        &mut self,
        pipeline: &'static str,
        version: &Version,
        expected: Expected,
    ) -> Result<(), String> {
        let intruder = scenario::intruder(version, self.newest);
        let rival = self.rival(&intruder);
        {
            let mut inner = self.world.lock();
            inner.intruder = Some(intruder.clone());
            inner.intruded = false;
            inner.rival_succeeded = false;
            inner.rival = Some(rival);
        }
        self.execute(version, expected).await?;
        let intruded = std::mem::take(&mut self.world.lock().intruded);
        let has_run = std::mem::take(&mut self.world.lock().rival_succeeded);
        self.world.lock().intruder = None;
        if intruded {
            self.uploaded(&intruder);
            let expected = self.model.run(pipeline, &intruder).ok_or("the scenario runs what has no spec")?;
            if !has_run {
                self.execute(&intruder, expected).await?;
            }
        }
        Ok(())
    }

    /// The execution of a version that runs in between.
    fn rival(&self, version: &Version) -> Rival {
        let (machine, memory) = (self.lab.machine.clone(), self.memory.clone());
        let (scenario, version, bug) = (self.scenario, version.clone(), self.world.lock().bug);
        Rival(Arc::new(move |state, now_micros| {
            let (machine, memory, version) = (machine.clone(), memory.clone(), version.clone());
            Box::pin(async move {
                let world = World::new(state);
                {
                    let mut inner = world.lock();
                    inner.now_micros = now_micros;
                    inner.bug = bug;
                }
                let id = world.look(|state| state.object(&version.place()).and_then(|object| object.version.clone()));
                let functions = Functions::new(&world, scenario, memory.as_deref());
                let ports = Ports { invoke: &functions, clock: &world, observer: &(), seed: 0 };
                let ended =
                    machine.start(execution_info("rival".to_owned()), json!(request(&version, id)), ports).await;
                (world.look(State::clone), ended.status == Status::Succeeded)
            })
        }))
    }

    /// Starts an execution and does what people do until it has ended as expected.
    async fn execute(&mut self, version: &Version, expected: Expected) -> Result<(), String> {
        let request = self.request(version);
        let mut fired = self.fired();
        self.note_course(version, expected, None);
        let mut execution = self.start(&request).await;
        let mut was_redriven = false;
        loop {
            self.ended(&execution).await?;
            if self.is_settled(&execution, expected)? {
                return Ok(());
            }
            let fault = self.world.lock().fired[fired..].last().copied();
            fired = self.fired();
            let recovery = match fault {
                Some(fault) => fault.recovery,
                None if self.has_weather => Recovery::Redrive,
                None => self.unprovoked(&execution, was_redriven)?,
            };
            was_redriven = recovery != Recovery::Replay;
            if self.executions > 200 {
                return Err("it never ends".to_owned());
            }
            execution = if was_redriven {
                execution.trace.clear();
                self.executions += 1;
                self.note_course(version, expected, Some(execution.redrive_count));
                let redriven = self.lab.machine.redrive(execution, self.ports()).await;
                redriven.map_err(|error| format!("it cannot be redriven: {error}"))?
            } else {
                self.note_course(version, expected, None);
                self.start(&request).await
            };
        }
    }

    /// Takes down where the course of things stands when an execution begins or is redriven.
    fn note_course(&self, version: &Version, expected: Expected, redrives: Option<u32>) {
        let of_executions = (self.executions, self.succeeded, self.success_notice_disturbed, redrives);
        let mut inner = self.world.lock();
        inner.course =
            hash_of(&(self.scenario.name, self.step, version, expected, &self.model, self.newest, of_executions));
        inner.fired_before = inner.fired.len();
    }

    /// An execution failed that no fault befell: may it?
    fn unprovoked(&self, execution: &Execution, was_redriven: bool) -> Result<Recovery, String> {
        let told = self.world.look(|state| {
            state
                .notices()
                .iter()
                .rev()
                .find(|notice| notice.failed_execution().is_some())
                .map(|notice| notice.notice.text.clone())
        });
        let advises_redrive = told.is_some_and(|text| text.to_lowercase().contains("press redrive"));
        let is_last_resort = execution.stopped_at.as_ref().is_some_and(|at| at.state == "Failed");
        if was_redriven && (is_last_resort || !advises_redrive) {
            return Ok(Recovery::Replay);
        }
        Err(format!(
            "an execution fails though nothing went wrong in it: {}: {}",
            execution.error.as_deref().unwrap_or_default(),
            execution.cause.as_deref().unwrap_or_default()
        ))
    }

    fn is_settled(&mut self, execution: &Execution, expected: Expected) -> Result<bool, String> {
        if execution.status == Status::Succeeded {
            return match expected {
                Expected::TooManyRejects => Err("it succeeded, though it has too many rejects".to_owned()),
                Expected::Current | Expected::Superseded => Ok(true),
            };
        }
        let error = execution.error.as_deref().unwrap_or_default();
        let intruded = self.world.lock().intruded;
        if intruded && !self.versioned && error == "SourceChanged" {
            self.model.forget_last_run();
            return Ok(true);
        }
        Ok(expected == Expected::TooManyRejects && error == "TooManyRejects")
    }

    async fn start(&mut self, request: &RunRequest) -> Execution {
        self.executions += 1;
        let name = format!("execution-{}", self.executions);
        self.lab.machine.start(execution_info(name), json!(request), self.ports()).await
    }

    fn ports(&self) -> Ports<'_> {
        Ports { invoke: &self.functions, clock: &self.world, observer: &(), seed: self.lab.eager_seed }
    }

    fn fired(&self) -> usize {
        self.world.lock().fired.len()
    }

    fn request(&self, version: &Version) -> RunRequest {
        request(version, self.version_ids.get(&(version.key.clone(), version.number)).cloned().flatten())
    }

    /// Tells `notify` that an execution ended, as the rule on changes of status does: Lambda tries three times.
    async fn tell_status(&self, execution: &Execution) {
        let ended = json!({
            "executionArn": execution.info.id,
            "name": execution.info.name,
            "status": execution.status,
            "input": execution.input.to_string(),
            "error": execution.error,
            "cause": execution.cause,
            "redriveCount": execution.redrive_count,
        });
        let course = self.world.lock().course;
        for attempt in 0..3 {
            self.world.lock().course = hash_of(&(course, "told", attempt));
            let payload = json!({
                "execution_id": execution.info.id,
                "input": { "action": "execution_ended", "ended": ended },
            });
            if self.functions.invoke("notify", payload).await.is_ok() {
                return;
            }
            self.functions.mend();
        }
    }

    /// Looks at what an execution that has ended left behind.
    async fn ended(&mut self, execution: &Execution) -> Result<(), String> {
        if let Some(violation) = self.world.lock().violation.take() {
            return Err(violation);
        }
        self.functions.mend();
        self.world.advance(Duration::from_secs(60));
        if let Some(violation) = self.world.lock().violation.take() {
            return Err(violation);
        }
        if execution.status == Status::Succeeded {
            self.succeeded += 1;
            self.success_notice_disturbed |= self.functions.take_disturbed().somehow || self.has_weather;
            let told = self
                .world
                .look(|state| state.notices().iter().filter(|notice| notice.failed_execution().is_none()).count());
            if told != self.succeeded && !self.success_notice_disturbed {
                return Err(format!("{} executions succeeded, but {told} notices say so", self.succeeded));
            }
            return Ok(());
        }
        let redrives = u64::from(execution.redrive_count);
        self.tell_status(execution).await;
        let told = self.world.look(|state| {
            let of_it = |notice: &&Arc<crate::state::Published>| {
                notice.failed_execution() == Some((execution.info.name.as_str(), redrives))
            };
            state.notices().iter().filter(of_it).count()
        });
        let may_be_twice = self.functions.take_disturbed().unknown_whether_told || self.has_weather;
        if told == 1 || (told > 1 && may_be_twice) {
            return Ok(());
        }
        Err(format!("{} notices tell that {} failed after {redrives} redrives", told, execution.info.name))
    }

    /// Compares what the destination holds with the model.
    fn compare(&mut self) -> Result<(), String> {
        let fired = self.world.lock().fired.clone();
        self.upload_disturbed = oracle::may_leave_uploads(&fired) || self.has_weather;
        let inner = self.world.lock();
        let basis = hash_of(&(
            inner.state.identity(inner.now_micros, true),
            &self.model,
            self.upload_disturbed,
            inner.state.uploads().count(),
        ));
        if self.memory.is_some() && self.lab.verified.borrow().contains(&basis) {
            return Ok(());
        }
        self.lab.oracle.check(&inner.state, &self.model, self.upload_disturbed)?;
        if self.memory.is_some() {
            self.lab.verified.borrow_mut().insert(basis);
        }
        Ok(())
    }

    /// A further execution for the same input must change nothing.
    async fn settle(&mut self, pipeline: &'static str, version: &Version, expected: Expected) -> Result<(), String> {
        let lake = |course: &Self| {
            course.world.look(|state| {
                state.objects(LAKE, "").map(|(key, object)| (key.to_owned(), object.etag.clone())).collect::<Vec<_>>()
            })
        };
        let is_gone = !self.versioned
            && self.world.look(|state| state.object(&version.place()).is_none_or(|found| found.etag != version.etag()));
        if is_gone || self.has_weather {
            return Ok(());
        }
        let basis = {
            let inner = self.world.lock();
            hash_of(&("replayed", inner.state.identity(inner.now_micros, true), &self.model, pipeline, version))
        };
        if self.memory.is_some() && self.lab.verified.borrow().contains(&basis) {
            return Ok(());
        }
        let expected = match self.model.run(pipeline, version) {
            Some(now) if expected != Expected::TooManyRejects => now,
            _ => expected,
        };
        let before = lake(self);
        self.execute(version, expected).await.map_err(|violation| format!("replayed, {violation}"))?;
        if lake(self) != before {
            return Err("a replay changes the table".to_owned());
        }
        self.compare().map_err(|violation| format!("after a replay, {violation}"))?;
        if self.memory.is_some() {
            self.lab.verified.borrow_mut().insert(basis);
        }
        Ok(())
    }
}
