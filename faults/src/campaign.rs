//! Campaigns: which cases are run.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use rand::{
    Rng, SeedableRng,
    rngs::SmallRng,
    seq::{IndexedRandom, SliceRandom},
};

use crate::{
    call::{Call, Fault, Recovery},
    case::{Case, Lab, LabMemory, Weather},
    sabotage::Bug,
    scenario::Scenario,
    world::Moment,
};

/// What a campaign found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// The cases that were run.
    pub cases: u64,
    /// The cases that were not, since from some moment on they are one that was.
    pub alike: u64,
    /// The faults that befell them.
    pub faults: u64,
    /// The executions and redrives of them.
    pub executions: u64,
    /// The invocations of functions that were really done, and those that were repeated from memory.
    pub invocations: (u64, u64),
    /// The cases that went wrong, and how.
    pub violations: Vec<(String, String)>,
}

impl Findings {
    /// Runs a case and takes down how it went; gives the calls that it made.
    pub fn run(&mut self, lab: &Lab, case: &Case) -> Vec<Arc<Call>> {
        let outcome = lab.run(case);
        self.cases += 1;
        self.faults += outcome.fired.len() as u64;
        self.executions += u64::from(outcome.executions);
        if let Some(violation) = outcome.violation {
            self.violations.push((case.to_string(), violation));
        }
        outcome.calls
    }

    /// Adds what another part of the campaign found.
    pub fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.alike += other.alike;
        self.faults += other.faults;
        self.executions += other.executions;
        self.invocations.0 += other.invocations.0;
        self.invocations.1 += other.invocations.1;
        self.violations.extend(other.violations);
    }
}

/// Every fault that can befall calls from one number on.
pub fn faults_from(calls: &[Arc<Call>], first: u32) -> impl Iterator<Item = Fault> + '_ {
    (0..).zip(calls).skip(first as usize).flat_map(|(call, made)| {
        let kinds = made.operation.fault_kinds(made.landing).into_iter();
        kinds.flat_map(move |kind| Recovery::ALL.iter().map(move |recovery| Fault { call, kind, recovery: *recovery }))
    })
}

/// Where a campaign begins: scenarios in which nothing goes wrong, and every single fault.
pub struct Ground {
    /// The scenarios, with the calls of each.
    pub scenarios: Vec<(&'static Scenario, Vec<Arc<Call>>)>,
    /// Every single fault.
    pub singles: Vec<Case>,
}

impl Ground {
    /// Runs the scenarios without faults.
    pub fn survey(lab: &Lab, scenarios: &[&'static Scenario], findings: &mut Findings) -> Self {
        let mut ground = Self { scenarios: Vec::new(), singles: Vec::new() };
        for scenario in scenarios {
            let calls = findings.run(lab, &Case { scenario, faults: Vec::new() });
            ground.singles.extend(faults_from(&calls, 0).map(|fault| Case { scenario, faults: vec![fault] }));
            ground.scenarios.push((scenario, calls));
        }
        ground
    }
}

/// Runs one case.
pub fn single(lab: &Lab, case: &Case) -> Findings {
    let mut findings = Findings::default();
    findings.run(lab, case);
    findings
}

/// Runs every case of two faults of which the first is that of a case; of them only each `share`th, from one on.
pub fn pairs(lab: &Lab, first: &Case, share: usize, begin: usize) -> Findings {
    let mut findings = Findings::default();
    let calls = lab.run(first).calls;
    let Some(fault) = first.faults.first() else { return findings };
    for second in faults_from(&calls, fault.call + 1).skip(begin % share).step_by(share) {
        findings.run(lab, &Case { scenario: first.scenario, faults: vec![*fault, second] });
    }
    findings
}

/// The moments after which every single further fault was tried, or is about to be.
#[derive(Debug, Default)]
pub struct Explored(Mutex<HashSet<u64>>);

impl Explored {
    /// The moments of scenarios in which nothing goes wrong: single faults are what was tried after them.
    pub fn by_singles(lab: &Lab, ground: &Ground) -> Self {
        let calm = ground.scenarios.iter().map(|(scenario, _)| Case { scenario, faults: Vec::new() });
        let moments = calm.flat_map(|case| lab.watch(&case).moments);
        Self(Mutex::new(moments.map(|moment| moment.identity).collect()))
    }

    /// Whether nobody was at the moment yet; from now on somebody was.
    fn enter(&self, moment: Moment) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(moment.identity)
    }
}

/// Runs every case of two faults of which the first is that of a case, up to the moment from which on it is like one that
/// was run.
pub fn all_pairs(lab: &Lab, first: &Case, explored: &Explored) -> Findings {
    let mut findings = Findings::default();
    let Some(fault) = first.faults.first() else { return findings };
    let outcome = lab.watch(first);
    let after = outcome.moments.iter().filter(|moment| moment.calls > fault.call);
    let alike = after.copied().find(|moment| !explored.enter(*moment));
    let end = alike.map_or(outcome.calls.len(), |moment| moment.calls as usize);
    for second in faults_from(&outcome.calls[..end], fault.call + 1) {
        findings.run(lab, &Case { scenario: first.scenario, faults: vec![*fault, second] });
    }
    findings.alike = faults_from(&outcome.calls, end as u32).count() as u64;
    findings
}

/// So many cases of three faults share their first two.
const THIRDS: usize = 25;

/// Runs about so many cases of three faults drawn by chance; the same seed draws the same. They share their first fault, and
/// some the second: the more of them do, the less is done anew.
pub fn triples(lab: &Lab, ground: &Ground, seed: u64, cases: usize) -> Findings {
    let mut findings = Findings::default();
    let mut rng = SmallRng::seed_from_u64(seed);
    let Some(single) = ground.singles.choose(&mut rng) else { return findings };
    let after = |case: &Case| case.faults.last().map_or(0, |fault| fault.call + 1);
    let seconds: Vec<Fault> = faults_from(&lab.run(single).calls, after(single)).collect();
    for _ in 0..cases.div_ceil(THIRDS) {
        let mut pair = single.clone();
        pair.faults.extend(seconds.choose(&mut rng));
        let thirds: Vec<Fault> = faults_from(&lab.run(&pair).calls, after(&pair)).collect();
        for _ in 0..THIRDS {
            let Some(third) = thirds.choose(&mut rng) else { break };
            let mut case = pair.clone();
            case.faults.push(*third);
            findings.run(lab, &case);
        }
    }
    findings
}

/// Runs a scenario while a share of 1 to 50 % of the calls gets a 503 SlowDown by chance.
pub fn slow_down(lab: &Lab, ground: &Ground, seed: u64) -> Findings {
    let mut rng = SmallRng::seed_from_u64(seed);
    let Some((scenario, _)) = ground.scenarios.choose(&mut rng) else { return Findings::default() };
    let percent = rng.random_range(1..=50);
    slow_down_at(lab, scenario, percent, seed)
}

/// Runs a scenario while so many of a hundred calls get a 503 SlowDown.
pub fn slow_down_at(lab: &Lab, scenario: &'static Scenario, percent: u32, seed: u64) -> Findings {
    let case = Case { scenario, faults: Vec::new() };
    let outcome = lab.run_in(&case, Weather { slow_down: Some((percent, seed)), ..Weather::default() });
    let mut findings = Findings {
        cases: 1,
        faults: outcome.slowed_down,
        executions: u64::from(outcome.executions),
        ..Findings::default()
    };
    if let Some(violation) = outcome.violation {
        findings.violations.push((format!("{}:slow-down.{percent}.{seed}", scenario.name), violation));
    }
    findings
}

/// Looks for a case that catches a deliberate bug: the scenarios without faults, then single faults and pairs drawn by
/// chance, so many at most.
pub fn hunt(lab: &Lab, ground: &Ground, bug: Bug, seed: u64, cases_max: usize) -> Option<(Case, String)> {
    let weather = Weather { bug: Some(bug), ..Weather::default() };
    let caught = |case: Case| lab.run_in(&case, weather).violation.map(|violation| (case, violation));
    let calm = ground.scenarios.iter().map(|(scenario, _)| Case { scenario, faults: Vec::new() });
    if let Some(found) = calm.into_iter().find_map(caught) {
        return Some(found);
    }
    let mut singles: Vec<&Case> = ground.singles.iter().collect();
    let mut rng = SmallRng::seed_from_u64(seed);
    singles.shuffle(&mut rng);
    singles.into_iter().take(cases_max).find_map(|case| caught(case.clone()))
}

/// Does so many pieces of work on so many threads, each with a lab of its own, and tells of progress.
///
/// # Errors
/// What keeps a lab from being set up.
pub fn on_threads(
    memory: &LabMemory,
    jobs: usize,
    pieces: usize,
    work: impl Fn(&Lab, usize) -> Findings + Sync,
    progress: impl Fn(usize, &Findings) + Sync,
) -> Result<Findings, String> {
    let before = memory.counts();
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Findings::default());
    let worker = || {
        let lab = Lab::beside(memory).map_err(|error| error.to_string())?;
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if piece >= pieces {
                return Ok::<_, String>(());
            }
            let found = work(&lab, piece);
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all.add(found);
            progress(piece + 1, &all);
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked".to_owned())?)
    })?;
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (done, repeated) = memory.counts();
    all.invocations = (done - before.0, repeated - before.1);
    Ok(all)
}
