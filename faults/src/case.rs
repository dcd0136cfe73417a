//! A case: a scenario with some faults, run to its end and held against the model.

mod course;

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashSet},
    fmt,
    str::FromStr,
    sync::Arc,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use stepwell_statemachine::{ETL, StateMachine};
use tokio::runtime::Runtime;

use self::course::Course;
use crate::{
    call::{Call, Fault},
    functions::{FUNCTIONS, Functions, Memory},
    oracle::Oracle,
    sabotage::Bug,
    scenario::{self, Model, SCENARIOS, Scenario},
    state::State,
    world::{Moment, World},
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
