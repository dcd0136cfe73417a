//! The whole campaign by one command.

use std::process::ExitCode;

use stepwell_faults::{Case, Lab, campaign, scenario::SCENARIOS};

fn main() -> ExitCode {
    let lab = match Lab::new() { Ok(lab) => lab, Err(error) => { eprintln!("{error}"); return ExitCode::FAILURE } };
    if let Some(case) = std::env::args().nth(1) {
        let case: Case = match case.parse() { Ok(case) => case, Err(error) => { eprintln!("{error}"); return ExitCode::FAILURE } };
        let outcome = lab.run(&case);
        for (n, call) in outcome.calls.iter().enumerate() { println!("{n:4} {call}"); }
        println!("{:?} {:?}", outcome.violation, outcome.fired);
        return ExitCode::SUCCESS;
    }
    for scenario in SCENARIOS.iter() {
        let started = std::time::Instant::now();
        let findings = campaign::singles(&lab, scenario);
        println!("{}: {} cases, {} faults, {} violations, {:?} {:?}", scenario.name, findings.cases, findings.faults, findings.violations.len(), started.elapsed(), lab.invocations());
        for (case, violation) in findings.violations.iter().take(8) { println!("  {case}: {violation}"); }
    }
    ExitCode::SUCCESS
}
