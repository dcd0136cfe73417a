//! Ways between states: targets that exist, states that can be reached and can end.

use super::{
    Report,
    document::Node,
    machine::{Machine, Scope, StateType, reached},
    meant,
};

pub(super) fn check(machine: &Machine<'_>, report: &mut Report) {
    for scope in &machine.scopes {
        check_targets(scope, report);
        check_reach(scope, report);
        for state in scope.states.iter().filter(|state| state.is(StateType::Choice)) {
            if !state.node.has("Default") && !is_complete(state.node) {
                report.state("choice-without-default", state, state.at, "has no `Default`");
            }
        }
    }
    check_names(machine, report);
}

fn check_targets(scope: &Scope<'_>, report: &mut Report) {
    let known = || scope.states.iter().map(|state| state.name);
    if let Some(start) = scope.node.get("StartAt").filter(|start| !start.is_open())
        && let Some(name) = start.text()
        && scope.node.has("States")
        && scope.find(name).is_none()
    {
        let hint = meant(name, known());
        report.machine(
            "unknown-state",
            start.at,
            format!("`StartAt` names the state `{name}`, which is not there{hint}"),
        );
    }
    for state in &scope.states {
        for edge in state.edges().iter().filter(|edge| scope.find(edge.target).is_none()) {
            let hint = meant(edge.target, known());
            let message = format!("goes on to the state `{}`, which is not there{hint}", edge.target);
            report.state("unknown-state", state, edge.at, message);
        }
    }
}

fn check_reach(scope: &Scope<'_>, report: &mut Report) {
    // What a wrong or open target leads to is not known; what was said of the target is enough.
    let Some(start) = scope.start() else { return };
    let states = scope.states.len();
    let open = |node: &Node| ["Next", "Default"].iter().any(|name| node.get(name).is_some_and(Node::is_open));
    let unknown = |at: usize| {
        let state = &scope.states[at];
        let handlers = ["Choices", "Catch"].iter().flat_map(|field| state.handlers(field));
        state.kind.is_none()
            || open(state.node)
            || ["Choices", "Catch"].iter().any(|name| state.node.get(name).is_some_and(Node::is_open))
            || handlers.into_iter().any(open)
            || state.edges().iter().any(|edge| scope.find(edge.target).is_none())
    };
    let any_unknown = (0..states).any(unknown);
    let from_start = reached(vec![start], |at| scope.successors(at, true), states);
    let ends = (0..states).filter(|at| scope.states[*at].ends() || unknown(*at)).collect();
    let before = |at| (0..states).filter(|from| scope.successors(*from, true).contains(&at)).collect();
    let ending = reached(ends, before, states);
    for (at, state) in scope.states.iter().enumerate() {
        if !from_start[at] && !any_unknown {
            report.state("unreachable-state", state, state.at, "cannot be reached");
        } else if from_start[at] && !ending[at] && !state.edges().is_empty() {
            report.state("no-end", state, state.at, "leads to no end");
        }
    }
}

/// Whether the rules take a value and its opposite.
fn is_complete(choice: &Node) -> bool {
    let rules = choice.get("Choices").map(Node::items).unwrap_or_default();
    let is = |rule: &Node, test: &str, value: bool| matches!(rule.get(test).map(|node| &node.kind), Some(super::document::Kind::Bool(given)) if *given == value);
    ["BooleanEquals", "IsPresent", "IsNull"].iter().any(|test| {
        rules.iter().any(|yes| {
            let same = |no: &&Node| yes.fixed("Variable").is_some() && yes.fixed("Variable") == no.fixed("Variable");
            is(yes, test, true) && rules.iter().filter(same).any(|no| is(no, test, false))
        })
    })
}

fn check_names(machine: &Machine<'_>, report: &mut Report) {
    let mut seen: Vec<(usize, &str)> = Vec::new();
    for (scope, state) in machine.states() {
        if seen.iter().any(|(other, name)| *other != scope && *name == state.name) {
            report.state("duplicate-state", state, state.at, "another state has this name");
        }
        seen.push((scope, state.name));
    }
}
