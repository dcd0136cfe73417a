//! A scenario under way, with what people and rules do around it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::json;
use stepwell_pipeline::request::RunRequest;
use stepwell_statemachine::{Execution, ExecutionInfo, Invoke, Ports, Status};

use super::Lab;
use crate::{
    call::{FaultKind, Recovery},
    functions::{Functions, Memory},
    oracle,
    scenario::{self, Expected, Model, Scenario, Step, Version},
    state::{State, hash_of},
    world::{LAKE, Rival, WORK, World},
};

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
        sequencer: version.sequencer(),
        ..RunRequest::default()
    }
}

/// A scenario under way.
pub(super) struct Course<'a> {
    pub(super) lab: &'a Lab,
    pub(super) scenario: &'static Scenario,
    pub(super) memory: Option<Arc<Memory>>,
    pub(super) world: World,
    pub(super) functions: Functions<'a>,
    pub(super) versioned: bool,
    pub(super) has_weather: bool,
    pub(super) model: Model,
    /// Version ids in the landing bucket, by key and number.
    pub(super) version_ids: BTreeMap<(String, u32), Option<String>>,
    pub(super) newest: u32,
    /// The number of the step.
    pub(super) step: usize,
    pub(super) executions: u32,
    pub(super) succeeded: usize,
    pub(super) success_notice_disturbed: bool,
    pub(super) upload_disturbed: bool,
    pub(super) end: Option<usize>,
}

impl Course<'_> {
    /// Gives what went wrong, the executions, and how many calls were made before everything had succeeded.
    pub(super) async fn run(mut self, steps: &[Step]) -> (Option<String>, u32, Option<usize>) {
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
