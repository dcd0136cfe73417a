//! Campaigns: which cases are run.

use crate::{
    call::{Call, Fault, Recovery},
    case::{Case, Lab},
    scenario::Scenario,
};

/// What a campaign found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// The cases that were run.
    pub cases: u64,
    /// The faults that befell them.
    pub faults: u64,
    /// The cases that went wrong, and how.
    pub violations: Vec<(String, String)>,
}

impl Findings {
    /// Runs a case and takes down how it went; gives the calls that it made.
    pub fn run(&mut self, lab: &Lab, case: &Case) -> Vec<Call> {
        let outcome = lab.run(case);
        self.cases += 1;
        self.faults += outcome.fired.len() as u64;
        if let Some(violation) = outcome.violation {
            self.violations.push((case.to_string(), violation));
        }
        outcome.calls
    }

    /// Adds what another part of the campaign found.
    pub fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.faults += other.faults;
        self.violations.extend(other.violations);
    }
}

/// Every fault that can befall calls from one number on.
pub fn faults_from(calls: &[Call], first: u32) -> impl Iterator<Item = Fault> + '_ {
    (0..).zip(calls).skip(first as usize).flat_map(|(call, made)| {
        let kinds = made.operation.fault_kinds(made.landing).into_iter();
        kinds.flat_map(move |kind| Recovery::ALL.iter().map(move |recovery| Fault { call, kind, recovery: *recovery }))
    })
}

/// The calls of a scenario in which nothing goes wrong.
pub fn calls_of(lab: &Lab, findings: &mut Findings, scenario: &'static Scenario) -> Vec<Call> {
    findings.run(lab, &Case { scenario, faults: Vec::new() })
}

/// Every fault at every call of a scenario.
pub fn singles(lab: &Lab, scenario: &'static Scenario) -> Findings {
    let mut findings = Findings::default();
    let calls = calls_of(lab, &mut findings, scenario);
    for fault in faults_from(&calls, 0) {
        findings.run(lab, &Case { scenario, faults: vec![fault] });
    }
    findings
}
