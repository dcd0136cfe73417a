//! Allowances: findings that the definition itself says are meant, with the reason.
//!
//! JSON has no comments and the service refuses unknown fields, so that they stand in the field `Comment`:
//! `stepwell-lint: allow <rule>: <reason>`, several one after the other.

use super::{
    Found,
    catalogue::{self, RULES},
    document::Node,
    machine::Machine,
    meant,
};

const MARKER: &str = "stepwell-lint:";

struct Allowance<'a> {
    /// `None`: the whole machine.
    state: Option<&'a str>,
    rule: &'a str,
    at: usize,
}

/// What is left of the findings, and what is wrong with the allowances.
pub(super) fn apply(machine: &Machine<'_>, mut found: Vec<Found>) -> Vec<Found> {
    let mut wrong = Vec::new();
    let mut allowances = read(None, machine.root, &mut wrong);
    for (_, state) in machine.states() {
        allowances.extend(read(Some(state.name), state.node, &mut wrong));
    }
    for Allowance { state, rule, at } in allowances {
        let before = found.len();
        found.retain(|found| found.rule != rule || state.is_some_and(|state| found.state.as_deref() != Some(state)));
        if found.len() == before {
            let message = format!("`{rule}` is allowed, but nothing of the kind is found");
            wrong.push(Found::new("bad-allowance", state, at, message));
        }
    }
    found.extend(wrong);
    found
}

fn read<'a>(state: Option<&'a str>, node: &'a Node, wrong: &mut Vec<Found>) -> Vec<Allowance<'a>> {
    let Some(comment) = node.get("Comment") else { return Vec::new() };
    let mut allowances = Vec::new();
    for text in comment.text().unwrap_or_default().split(MARKER).skip(1) {
        let mut refuse = |message: String| wrong.push(Found::new("bad-allowance", state, comment.at, message));
        let Some(allowed) = text.trim().strip_prefix("allow ") else {
            refuse(format!("`{MARKER}` is not followed by `allow <rule>: <reason>`"));
            continue;
        };
        let (rule, reason) = allowed.split_once(':').unwrap_or((allowed, ""));
        let rule = rule.trim();
        match catalogue::rule(rule) {
            None => refuse(format!(
                "`{rule}` is no rule that could be allowed{}",
                meant(rule, RULES.iter().map(|rule| rule.name))
            )),
            Some(_) if reason.trim().is_empty() => refuse(format!("`{rule}` is allowed without a reason")),
            Some(_) => allowances.push(Allowance { state, rule, at: comment.at }),
        }
    }
    allowances
}
