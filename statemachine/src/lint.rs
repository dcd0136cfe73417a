//! The lint: what is wrong with any definition in the Amazon States Language, or will be once something fails.
//!
//! Unlike [`crate::StateMachine::parse`], which refuses at the first fault whatever the interpreter does not run, it
//! takes every state type, both query languages and every service integration, and tells all that it finds. It only
//! tells what is certain from the definition alone: an execution's input may be anything, and so may what a function
//! returns.

mod allowance;
mod catalogue;
mod document;
mod failure;
mod fields;
mod flow;
mod graph;
mod handlers;
mod machine;
mod path;
mod shape;
mod task;
mod texts;

use std::fmt;

use serde::Serialize;

pub use self::catalogue::RULES;
use self::{
    document::{Node, Positions},
    machine::{Machine, State},
};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It cannot work: the service refuses the definition, or executions that come there fail.
    Error,
    /// It works until something fails, or hides that something did.
    Warning,
    /// It could be better.
    Hint,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Hint => "hint",
        })
    }
}

/// One thing that the lint looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The name by which it is told and allowed.
    pub name: &'static str,
    /// How bad a breach is.
    pub severity: Severity,
    /// Why it matters.
    pub why: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// One place where a definition breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule's name.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The state, if it is in one.
    pub state: Option<String>,
    /// What is wrong.
    pub message: String,
    /// Why it matters.
    pub why: &'static str,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Finding {
    /// ``<line>:<column>: <severity>[<rule>]: state `<state>`: <message>``
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}[{}]: ", self.line, self.column, self.severity, self.rule)?;
        if let Some(state) = &self.state {
            write!(f, "state `{state}`: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that the definition breaks and does not allow itself, in the order of its text.
///
/// Placeholders `${name}` need not be filled in: what they become is taken to be right.
pub fn lint(definition: &str) -> Vec<Finding> {
    let root = match Node::read(definition) {
        Ok(root) => root,
        Err(malformed) => {
            let mut finding = Found::new("syntax", None, 0, malformed.message).told(&Positions::new(definition));
            (finding.line, finding.column) = (malformed.line.max(1), malformed.column.max(1));
            return vec![finding];
        }
    };
    let machine = Machine::read(&root);
    let mut report = Report { found: Vec::new() };
    fields::check(&machine, &mut report);
    graph::check(&machine, &mut report);
    handlers::check(&machine, &mut report);
    task::check(&machine, &mut report);
    texts::check(&machine, &mut report);
    failure::check(&machine, &mut report);
    flow::check(&machine, &mut report);
    let mut found = allowance::apply(&machine, report.found);
    found.sort_by(|a, b| (a.at, a.rule, &a.message).cmp(&(b.at, b.rule, &b.message)));
    found.dedup();
    let positions = Positions::new(definition);
    found.into_iter().map(|found| found.told(&positions)).collect()
}

/// A finding before its place is told in lines.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    rule: &'static str,
    state: Option<String>,
    at: usize,
    message: String,
    /// In place of the rule's own.
    remedy: Option<String>,
}

impl Found {
    fn new(rule: &'static str, state: Option<&str>, at: usize, message: impl Into<String>) -> Self {
        Self { rule, state: state.map(str::to_owned), at, message: message.into(), remedy: None }
    }

    fn told(self, positions: &Positions<'_>) -> Finding {
        let (line, column) = positions.find(self.at);
        let (severity, why, remedy) =
            catalogue::rule(self.rule).map_or((Severity::Error, "", ""), |rule| (rule.severity, rule.why, rule.remedy));
        Finding {
            rule: self.rule,
            severity,
            line,
            column,
            state: self.state,
            message: self.message,
            why,
            remedy: self.remedy.unwrap_or_else(|| remedy.to_owned()),
        }
    }
}

/// Gathers findings.
struct Report {
    found: Vec<Found>,
}

impl Report {
    fn machine(&mut self, rule: &'static str, at: usize, message: impl Into<String>) {
        self.found.push(Found::new(rule, None, at, message));
    }

    fn state(&mut self, rule: &'static str, state: &State<'_>, at: usize, message: impl Into<String>) {
        self.found.push(Found::new(rule, Some(state.name), at, message));
    }

    /// Changes what is to be done about the last finding.
    fn with_remedy(&mut self, remedy: impl Into<String>) {
        if let Some(last) = self.found.last_mut() {
            last.remedy = Some(remedy.into());
        }
    }
}

/// The name among `known` that was most likely meant, if any is near.
fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&word.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().max(word.len()) / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `; did you mean `…`?`, or nothing where no name is near.
fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}
