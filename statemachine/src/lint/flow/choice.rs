//! Which rules of a Choice an input may fit.

use serde_json::Value;

use super::effect::{Reader, look};
use crate::lint::{
    document::{Kind, Node},
    machine::State,
    path::Path,
    shape::{Look, Shape},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    Unknown,
    /// A path finds nothing: the execution fails.
    Fails,
}

/// Where the state may go on to with the input, each with whether that is in doubt.
pub(super) fn follow<'a>(state: &State<'a>, input: &Shape, reader: &mut Reader) -> Vec<(&'a str, bool)> {
    let mut targets = Vec::new();
    let mut doubtful = false;
    for rule in state.handlers("Choices") {
        let target = rule.fixed("Next");
        let mut missing = None;
        match answer(rule, input, &mut missing) {
            Answer::No => {}
            Answer::Yes => {
                targets.extend(target.map(|target| (target, doubtful)));
                return targets;
            }
            Answer::Fails if !doubtful => {
                if let Some(variable) = missing {
                    reader.miss("Variable", variable);
                }
                return targets;
            }
            Answer::Fails | Answer::Unknown => {
                doubtful = true;
                targets.extend(target.map(|target| (target, true)));
            }
        }
    }
    targets.extend(state.node.fixed("Default").map(|target| (target, doubtful)));
    targets
}

fn answer<'a>(rule: &'a Node, input: &Shape, missing: &mut Option<&'a Node>) -> Answer {
    if let Some(rules) = rule.get("And") {
        return all(rules.items(), Answer::No, Answer::Yes, input, missing);
    }
    if let Some(rules) = rule.get("Or") {
        return all(rules.items(), Answer::Yes, Answer::No, input, missing);
    }
    if let Some(rule) = rule.get("Not") {
        return match answer(rule, input, missing) {
            Answer::Yes => Answer::No,
            Answer::No => Answer::Yes,
            other => other,
        };
    }
    compare(rule, input, missing)
}

/// Answers in order, up to the first that decides.
fn all<'a>(
    rules: &'a [Node],
    deciding: Answer,
    otherwise: Answer,
    input: &Shape,
    missing: &mut Option<&'a Node>,
) -> Answer {
    let mut unknown = false;
    for rule in rules {
        match answer(rule, input, missing) {
            Answer::Unknown => unknown = true,
            Answer::Fails if unknown => return Answer::Unknown,
            answer if answer == deciding || answer == Answer::Fails => {
                return if unknown && answer != deciding { Answer::Unknown } else { answer };
            }
            _ => {}
        }
    }
    if unknown { Answer::Unknown } else { otherwise }
}

fn compare<'a>(rule: &'a Node, input: &Shape, missing: &mut Option<&'a Node>) -> Answer {
    let Some(variable) = rule.get("Variable").filter(|variable| !variable.is_open()) else { return Answer::Unknown };
    let Some(path) = variable.text().and_then(Path::read) else { return Answer::Unknown };
    let found = look(&path, input);
    if let Some(Kind::Bool(present)) = rule.get("IsPresent").map(|node| &node.kind) {
        return match found {
            Look::There(_) => decided(*present),
            Look::Missing => decided(!present),
            Look::Unknown => Answer::Unknown,
        };
    }
    let value = match found {
        Look::Missing => {
            *missing = missing.or(Some(variable));
            return Answer::Fails;
        }
        Look::There(Shape::Scalar(Some(value))) => value,
        Look::There(_) | Look::Unknown => return Answer::Unknown,
    };
    let test = |name: &str| rule.get(name).filter(|wanted| !wanted.is_open()).map(|wanted| &wanted.kind);
    match (test("StringEquals"), test("BooleanEquals"), test("NumericEquals"), &value) {
        (Some(Kind::Text(wanted)), ..) => decided(value.as_str() == Some(wanted)),
        (_, Some(Kind::Bool(wanted)), ..) => decided(value.as_bool() == Some(*wanted)),
        (.., Some(Kind::Number(wanted)), Value::Number(_)) => decided(value.as_f64() == Some(*wanted)),
        _ => Answer::Unknown,
    }
}

fn decided(yes: bool) -> Answer {
    if yes { Answer::Yes } else { Answer::No }
}
