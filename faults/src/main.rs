//! The whole campaign by one command.

use std::{
    process::ExitCode,
    sync::Mutex,
    time::{Duration, Instant},
};

use clap::Parser;
use stepwell_faults::{
    Case, Lab, LabMemory,
    campaign::{self, Explored, Findings, Ground},
    sabotage::Bug,
    scenario::{SCENARIOS, Scenario},
};

/// Injects faults into whole runs of Stepwell and holds what they leave against a model.
///
/// Runs every scenario with every single fault, every pair of faults, and random triples. A case that goes wrong is
/// printed as `scenario:call.fault.recovery,…`; with --case it runs alone.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Runs this case alone and shows its calls.
    #[arg(long, value_name = "CASE")]
    case: Option<String>,
    /// Takes only these scenarios.
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Of the pairs, runs one in so many; 0 for none. With 1, of those that are alike from some moment on only one.
    #[arg(long, default_value_t = 1, value_name = "SHARE")]
    pairs: usize,
    /// About so many random triples.
    #[arg(long, default_value_t = 1_000_000, value_name = "COUNT")]
    triples: usize,
    /// So many runs in which 1 to 50 % of the calls get a 503 SlowDown.
    #[arg(long, default_value_t = 10_000, value_name = "COUNT")]
    slow_downs: usize,
    /// Where chance begins.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    seed: u64,
    /// So many threads.
    #[arg(long, default_value_t = 2, value_name = "THREADS")]
    jobs: usize,
    /// Builds each deliberate bug in, one after the other, and says which case catches it.
    #[arg(long)]
    bugs: bool,
    /// Lists the scenarios.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Returns whether nothing went wrong.
fn run(arguments: &Arguments) -> Result<bool, String> {
    if arguments.list {
        for scenario in SCENARIOS.iter() {
            println!("{:18}{}", scenario.name, scenario.about);
        }
        return Ok(true);
    }
    let lab = Lab::new().map_err(|error| error.to_string())?;
    if arguments.bugs {
        return bugs(&lab, arguments.seed);
    }
    match &arguments.case {
        Some(case) => show(&lab, &case.parse()?),
        None => campaign(&lab, arguments),
    }
}

fn show(lab: &Lab, case: &Case) -> Result<bool, String> {
    let outcome = lab.run(case);
    for (number, call) in outcome.calls.iter().enumerate() {
        let faults = outcome.fired.iter().filter(|fault| fault.call as usize == number);
        let faults: String = faults.map(|fault| format!("  ← {}, {}", fault.kind, fault.recovery)).collect();
        println!("{number:4} {call}{faults}");
    }
    match outcome.violation {
        None => println!("{case}: as promised, after {} executions and redrives", outcome.executions),
        Some(violation) => {
            println!("{case}: {violation}");
            return Ok(false);
        }
    }
    Ok(true)
}

fn bugs(lab: &Lab, seed: u64) -> Result<bool, String> {
    std::panic::set_hook(Box::new(|_| {}));
    let scenarios: Vec<&'static Scenario> = SCENARIOS.iter().collect();
    let ground = Ground::survey(lab, &scenarios, &mut Findings::default());
    let mut all_caught = true;
    for bug in Bug::ALL {
        match campaign::hunt(lab, &ground, *bug, seed, BUG_CASES_MAX) {
            Some((case, violation)) => println!("{bug}: {}\n    --case '{case}': {violation}", bug.about()),
            None => {
                all_caught = false;
                println!("{bug}: {}\n    NOT CAUGHT", bug.about());
            }
        }
    }
    Ok(all_caught)
}

/// So many triples share their first fault.
const TRIPLES_A_PIECE: usize = 200;

/// So many single faults are tried for each deliberate bug.
const BUG_CASES_MAX: usize = 4000;

fn campaign(lab: &Lab, arguments: &Arguments) -> Result<bool, String> {
    // Panics are caught and told as violations.
    std::panic::set_hook(Box::new(|_| {}));
    let wanted = |scenario: &&'static Scenario| {
        arguments.scenario.is_empty() || arguments.scenario.iter().any(|name| name == scenario.name)
    };
    let scenarios: Vec<&'static Scenario> = SCENARIOS.iter().filter(wanted).collect();
    let mut all = Findings::default();
    let ground = Ground::survey(lab, &scenarios, &mut all);
    let singles = &ground.singles;
    let memory = LabMemory::default();
    let part = |name: &'static str, pieces: usize, work: &(dyn Fn(&Lab, usize) -> Findings + Sync)| {
        let meter = Meter::new(name, pieces);
        campaign::on_threads(&memory, arguments.jobs, pieces, work, |done, findings| meter.tell(done, findings))
            .inspect(|findings| meter.end(findings))
    };
    all.add(part("singles", singles.len(), &|lab, piece| campaign::single(lab, &singles[piece]))?);
    if arguments.pairs == 1 {
        let explored = Explored::by_singles(lab, &ground);
        let pairs = |lab: &Lab, piece: usize| campaign::all_pairs(lab, &singles[piece], &explored);
        all.add(part("pairs", singles.len(), &pairs)?);
    } else if arguments.pairs > 1 {
        let pairs = |lab: &Lab, piece: usize| campaign::pairs(lab, &singles[piece], arguments.pairs, piece);
        all.add(part("pairs", singles.len(), &pairs)?);
    }
    let seed = |piece: usize| arguments.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(piece as u64);
    let triples = |lab: &Lab, piece: usize| campaign::triples(lab, &ground, seed(piece), TRIPLES_A_PIECE);
    all.add(part("triples", arguments.triples.div_ceil(TRIPLES_A_PIECE), &triples)?);
    all.add(part("slow-downs", arguments.slow_downs, &|lab, piece| campaign::slow_down(lab, &ground, seed(piece)))?);
    println!(
        "{} cases, {} more that are alike, {} faults, {} executions and redrives, {} violations",
        all.cases,
        all.alike,
        all.faults,
        all.executions,
        all.violations.len()
    );
    Ok(all.violations.is_empty())
}

/// Tells of progress now and then, and of violations.
struct Meter {
    name: &'static str,
    pieces: usize,
    started: Instant,
    told: Mutex<(Instant, usize)>,
}

impl Meter {
    fn new(name: &'static str, pieces: usize) -> Self {
        Self { name, pieces, started: Instant::now(), told: Mutex::new((Instant::now(), 0)) }
    }

    fn tell(&self, done: usize, findings: &Findings) {
        const SHOWN_MAX: usize = 50;
        let Ok(mut told) = self.told.lock() else { return };
        for (case, violation) in findings.violations.iter().take(SHOWN_MAX).skip(told.1) {
            println!("  --case '{case}'\n      {violation}");
        }
        told.1 = findings.violations.len().max(told.1);
        if told.0.elapsed() > Duration::from_secs(10) {
            told.0 = Instant::now();
            eprintln!("{}: {done} of {}, {} cases", self.name, self.pieces, findings.cases);
        }
    }

    fn end(&self, findings: &Findings) {
        let Findings { cases, alike, faults, executions, invocations: (done, repeated), violations } = findings;
        println!(
            "{}: {cases} cases, {alike} more that are alike, {faults} faults, {executions} executions and redrives, {} invocations of which {done} \
             were done anew, {} violations, {:.0} s",
            self.name,
            done + repeated,
            violations.len(),
            self.started.elapsed().as_secs_f64()
        );
    }
}
