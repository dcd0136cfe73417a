//! Data flow: what each state may be given, and the paths that then find nothing.
//!
//! An abstract interpretation over [`Shape`]s. Each state has a set of inputs, one for each way into it that differs;
//! a path is told if some way certainly lacks it. Ways that went through a Choice whose answer is not known count only
//! together: that very choice may be what keeps them from the path.

mod choice;
mod effect;

use std::collections::BTreeMap;

use self::effect::Effect;
use super::{
    Report, failure,
    machine::{Machine, Scope, State, StateType},
    shape::Shape,
};

/// More ways than these into a state are taken together as one of which nothing is known.
const WAYS: usize = 12;

/// After so many steps nothing is told of the scope.
const STEPS: usize = 4_000;

/// An input that a state may be given.
#[derive(Clone, Debug)]
struct Way {
    shape: Shape,
    /// It went through a Choice whose answer is not known.
    doubtful: bool,
    /// The state it comes from, and whether by a Catch.
    from: Option<(usize, bool)>,
}

/// A path that finds nothing in one of the ways: where it stands, as what, and in what.
type Miss = (usize, String);

pub(super) fn check(machine: &Machine<'_>, report: &mut Report) {
    if !machine.scopes.is_empty() {
        let start = Way { shape: Shape::Any, doubtful: false, from: None };
        follow(machine, 0, vec![start], report);
    }
}

fn follow(machine: &Machine<'_>, number: usize, starts: Vec<Way>, report: &mut Report) {
    let scope = &machine.scopes[number];
    let Some(ways) = ways(scope, starts) else { return };
    for (state, ways) in scope.states.iter().zip(&ways).filter(|(_, ways)| !ways.is_empty()) {
        tell(scope, state, ways, report);
        if state.is(StateType::Fail) {
            report.found.extend(failure::check_fail(state, ways.iter().map(|way| &way.shape)));
        }
        if !state.inner.is_empty() {
            let mut starts = Vec::new();
            for way in ways {
                let shape = Effect::of(state, &way.shape).inner;
                add(&mut starts, Way { shape, doubtful: way.doubtful, from: None });
            }
            for inner in &state.inner {
                follow(machine, *inner, starts.clone(), report);
            }
        }
    }
}

/// The ways into each state; `None` if there are too many to follow.
fn ways(scope: &Scope<'_>, starts: Vec<Way>) -> Option<Vec<Vec<Way>>> {
    let mut ways: Vec<Vec<Way>> = vec![Vec::new(); scope.states.len()];
    let mut open = Vec::new();
    for start in starts {
        if let Some(at) = scope.start()
            && add(&mut ways[at], start.clone())
        {
            open.push((at, start));
        }
    }
    for _ in 0..STEPS {
        let Some((at, way)) = open.pop() else { return Some(ways) };
        let effect = Effect::of(&scope.states[at], &way.shape);
        for onward in effect.onward {
            let Some(target) = scope.find(onward.target) else { continue };
            let doubtful = onward.doubtful || (way.doubtful && !onward.independent);
            let next = Way { shape: onward.shape.pruned(), doubtful, from: Some((at, onward.caught)) };
            if add(&mut ways[target], next.clone()) {
                open.push((target, next));
            }
        }
    }
    None
}

/// Adds a way unless it is there; whether there is something new to follow.
fn add(ways: &mut Vec<Way>, mut way: Way) -> bool {
    if let Some(same) = ways.iter_mut().find(|same| same.shape == way.shape) {
        let clearer = same.doubtful && !way.doubtful;
        same.doubtful &= way.doubtful;
        return clearer;
    }
    if ways.len() >= WAYS {
        way.shape = Shape::Any;
        if ways.iter().any(|same| same.shape == Shape::Any) {
            return false;
        }
    }
    ways.push(way);
    true
}

fn tell(scope: &Scope<'_>, state: &State<'_>, ways: &[Way], report: &mut Report) {
    let mut missed: BTreeMap<Miss, Vec<&Way>> = BTreeMap::new();
    for way in ways {
        let mut misses = Effect::of(state, &way.shape).missing;
        misses.dedup();
        for miss in misses {
            missed.entry(miss).or_default().push(way);
        }
    }
    for ((at, path), without) in missed {
        let always = without.len() == ways.len();
        let Some(way) = without.iter().find(|way| always || !way.doubtful) else { continue };
        let from = match way.from {
            _ if always => String::new(),
            None => " when the execution begins".to_owned(),
            Some((from, false)) => format!(" on the way from `{}`", scope.states[from].name),
            Some((from, true)) => format!(" on the way from the Catch of `{}`", scope.states[from].name),
        };
        report.state("missing-path", state, at, format!("{path} finds nothing{from}"));
    }
}
