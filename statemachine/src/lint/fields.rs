//! The form of a definition: which fields there are, and what they may hold.

use super::{
    Report,
    document::{Kind, Node},
    machine::{Language, Machine, Place, Scope, State, StateType},
    meant, nearest,
};
use crate::language::{COMPARISONS, LONGEST_NAME, MOST};

const COMMON: &[&str] = &["Type", "Comment", "QueryLanguage"];
const TASK: &[&str] = &["Resource", "Credentials", "TimeoutSeconds", "HeartbeatSeconds", "Retry", "Catch", "Assign"];
const MAP: &[&str] = &[
    "ItemProcessor",
    "ItemReader",
    "ItemBatcher",
    "ItemSelector",
    "MaxConcurrency",
    "ToleratedFailureCount",
    "ToleratedFailurePercentage",
    "ResultWriter",
    "Label",
    "Retry",
    "Catch",
    "Assign",
];
const FILTERS: &[&str] = &["InputPath", "OutputPath"];
const RESULT: &[&str] = &["Parameters", "ResultSelector", "ResultPath", "InputPath", "OutputPath"];

const RETRIER: &[&str] =
    &["ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy", "Comment"];

/// The fields of a state beside the common ones.
fn fields(kind: StateType, language: Language) -> Vec<&'static str> {
    let lists: &[&[&str]] = match (kind, language) {
        (StateType::Task, Language::JsonPath) => {
            &[TASK, RESULT, &["TimeoutSecondsPath", "HeartbeatSecondsPath", "Next", "End"]]
        }
        (StateType::Task, Language::Jsonata) => &[TASK, &["Arguments", "Output", "Next", "End"]],
        (StateType::Pass, Language::JsonPath) => {
            &[FILTERS, &["Result", "Parameters", "ResultPath", "Assign", "Next", "End"]]
        }
        (StateType::Pass, Language::Jsonata) => &[&["Output", "Assign", "Next", "End"]],
        (StateType::Choice, Language::JsonPath) => &[FILTERS, &["Choices", "Default", "Assign"]],
        (StateType::Choice, Language::Jsonata) => &[&["Choices", "Default", "Assign", "Output"]],
        (StateType::Wait, Language::JsonPath) => {
            &[FILTERS, &["Seconds", "Timestamp", "SecondsPath", "TimestampPath", "Assign", "Next", "End"]]
        }
        (StateType::Wait, Language::Jsonata) => &[&["Seconds", "Timestamp", "Output", "Assign", "Next", "End"]],
        (StateType::Succeed, Language::JsonPath) => &[FILTERS],
        (StateType::Succeed, Language::Jsonata) => &[&["Output"]],
        (StateType::Fail, Language::JsonPath) => &[&["Error", "Cause", "ErrorPath", "CausePath"]],
        (StateType::Fail, Language::Jsonata) => &[&["Error", "Cause"]],
        (StateType::Parallel, Language::JsonPath) => {
            &[RESULT, &["Branches", "Retry", "Catch", "Assign", "Next", "End"]]
        }
        (StateType::Parallel, Language::Jsonata) => {
            &[&["Branches", "Arguments", "Output", "Retry", "Catch", "Assign", "Next", "End"]]
        }
        (StateType::Map, Language::JsonPath) => &[
            MAP,
            RESULT,
            &[
                "Iterator",
                "ItemsPath",
                "MaxConcurrencyPath",
                "ToleratedFailureCountPath",
                "ToleratedFailurePercentagePath",
                "Next",
                "End",
            ],
        ],
        (StateType::Map, Language::Jsonata) => &[MAP, &["Items", "Output", "Next", "End"]],
    };
    lists.iter().chain([&COMMON]).flat_map(|list| list.iter().copied()).collect()
}

/// What a field of the one query language is called in the other.
fn counterpart(field: &str, language: Language) -> Option<&'static str> {
    Some(match (field, language) {
        ("Parameters", Language::Jsonata) => "Arguments",
        ("ResultSelector" | "OutputPath" | "ResultPath" | "Result", Language::Jsonata) => "Output",
        ("ItemsPath", Language::Jsonata) => "Items",
        ("TimeoutSecondsPath", Language::Jsonata) => "TimeoutSeconds",
        ("HeartbeatSecondsPath", Language::Jsonata) => "HeartbeatSeconds",
        ("SecondsPath", Language::Jsonata) => "Seconds",
        ("TimestampPath", Language::Jsonata) => "Timestamp",
        ("ErrorPath", Language::Jsonata) => "Error",
        ("CausePath", Language::Jsonata) => "Cause",
        ("Arguments", Language::JsonPath) => "Parameters",
        ("Output", Language::JsonPath) => "ResultSelector",
        ("Items", Language::JsonPath) => "ItemsPath",
        _ => return None,
    })
}

pub(super) fn check(machine: &Machine<'_>, report: &mut Report) {
    if !matches!(machine.root.kind, Kind::Object(_)) {
        let message = format!("a definition is an object, not {}", machine.root.what());
        report.machine("wrong-value", machine.root.at, message);
        return;
    }
    duplicates(machine.root, report);
    for scope in &machine.scopes {
        check_scope(scope, report);
        for state in &scope.states {
            check_state(state, report);
        }
    }
}

fn duplicates(node: &Node, report: &mut Report) {
    for (at, field) in node.fields().iter().enumerate() {
        if node.fields()[..at].iter().any(|earlier| earlier.name == field.name) {
            report.machine("duplicate-field", field.at, format!("the field `{}` is there twice", field.name));
        }
        duplicates(&field.value, report);
    }
    node.items().iter().for_each(|item| duplicates(item, report));
}

fn check_scope(scope: &Scope<'_>, report: &mut Report) {
    let known: &[&str] = match scope.place {
        Place::Top => &["Comment", "StartAt", "States", "Version", "TimeoutSeconds", "QueryLanguage"],
        Place::Branch => &["Comment", "StartAt", "States", "QueryLanguage"],
        Place::Processor => &["Comment", "StartAt", "States", "QueryLanguage", "ProcessorConfig"],
    };
    let node = scope.node;
    for field in node.fields().iter().filter(|field| !known.contains(&field.name.as_str())) {
        let hint = meant(&field.name, known.iter().copied());
        report.machine("unknown-field", field.at, format!("unknown field `{}`{hint}", field.name));
    }
    for name in ["StartAt", "States"] {
        if !node.has(name) {
            report.machine("missing-field", node.at, format!("the field `{name}` is missing"));
        }
    }
    if let Some(states) = node.get("States") {
        match &states.kind {
            Kind::Object(fields) if fields.is_empty() => {
                report.machine("wrong-value", states.at, "there are no states");
            }
            Kind::Object(_) | Kind::Placeholder => {}
            _ => report.machine("wrong-value", states.at, format!("`States` must be an object, not {}", states.what())),
        }
    }
    let mut wrong = Wrong { report, state: None };
    wrong.whole(node, "TimeoutSeconds", 1.0, MOST as f64, false);
    wrong.one_of(node, "QueryLanguage", &["JSONPath", "JSONata"]);
}

fn check_state(state: &State<'_>, report: &mut Report) {
    let node = state.node;
    if state.name.chars().count() > LONGEST_NAME {
        let message = format!("the name has more than {LONGEST_NAME} characters");
        report.state("wrong-value", state, state.at, message);
    }
    let Some(kind) = state.kind else {
        match node.get("Type") {
            None => report.state("missing-field", state, node.at, "the field `Type` is missing"),
            Some(kind) if kind.is_open() => {}
            Some(kind) => {
                let name = kind.text().unwrap_or(kind.what());
                let hint = meant(name, StateType::NAMES);
                report.state("wrong-value", state, kind.at, format!("there is no state type `{name}`{hint}"));
            }
        }
        return;
    };
    let known = fields(kind, state.language);
    for field in node.fields().iter().filter(|field| !known.contains(&field.name.as_str())) {
        let hint = match counterpart(&field.name, state.language).filter(|name| known.contains(name)) {
            Some(name) if state.language == Language::Jsonata => format!("; with JSONata it is `{name}`"),
            Some(name) => format!("; with JSONPath it is `{name}`"),
            None => meant(&field.name, known.iter().copied()),
        };
        let message = format!("a {} has no field `{}`{hint}", kind.name(), field.name);
        report.state("unknown-field", state, field.at, message);
    }
    required(state, kind, report);
    exclusive(state, kind, report);
    values(state, kind, report);
}

fn required(state: &State<'_>, kind: StateType, report: &mut Report) {
    let alternatives: &[&[&str]] = match kind {
        StateType::Task => &[&["Resource"]],
        StateType::Choice => &[&["Choices"]],
        StateType::Wait => &[&["Seconds", "Timestamp", "SecondsPath", "TimestampPath"]],
        StateType::Parallel => &[&["Branches"]],
        StateType::Map => &[&["ItemProcessor", "Iterator"]],
        StateType::Pass | StateType::Succeed | StateType::Fail => &[],
    };
    for names in alternatives {
        if !names.iter().any(|name| state.node.has(name)) {
            let message = format!("the field `{}` is missing", names[0]);
            report.state("missing-field", state, state.at, message);
        }
    }
    if !matches!(kind, StateType::Choice | StateType::Succeed | StateType::Fail) {
        match (state.node.has("Next"), state.ends()) {
            (false, false) => report.state("next-or-end", state, state.at, "has neither `Next` nor `End`"),
            (true, true) => report.state("next-or-end", state, state.at, "has both `Next` and `End`"),
            _ => {}
        }
    }
    for rule in state.node.get("Choices").map(Node::items).unwrap_or_default() {
        check_rule(state, rule, true, report);
    }
    for (field, known) in [("Retry", RETRIER), ("Catch", catcher_fields(state.language))] {
        for handler in state.handlers(field) {
            check_handler(state, field, handler, known, report);
        }
    }
}

fn catcher_fields(language: Language) -> &'static [&'static str] {
    match language {
        Language::JsonPath => &["ErrorEquals", "Next", "Comment", "Assign", "ResultPath"],
        Language::Jsonata => &["ErrorEquals", "Next", "Comment", "Assign", "Output"],
    }
}

fn check_handler(state: &State<'_>, field: &str, handler: &Node, known: &[&str], report: &mut Report) {
    for unknown in handler.fields().iter().filter(|given| !known.contains(&given.name.as_str())) {
        let hint = meant(&unknown.name, known.iter().copied());
        let message = format!("`{field}` has no field `{}`{hint}", unknown.name);
        report.state("unknown-field", state, unknown.at, message);
    }
    let needed: &[&str] = if field == "Catch" { &["ErrorEquals", "Next"] } else { &["ErrorEquals"] };
    for name in needed.iter().filter(|name| !handler.has(name)) {
        report.state("missing-field", state, handler.at, format!("`{field}`: the field `{name}` is missing"));
    }
    if let Some(names) = handler.get("ErrorEquals") {
        let texts = names.items().iter().all(|name| name.text().is_some() || name.is_open());
        if !names.is_open() && (names.items().is_empty() || !texts) {
            let message = format!("`{field}`: `ErrorEquals` must be a filled array of texts");
            report.state("wrong-value", state, names.at, message);
        }
    }
}

fn check_rule(state: &State<'_>, rule: &Node, top: bool, report: &mut Report) {
    if !matches!(rule.kind, Kind::Object(_)) {
        return;
    }
    if top && !rule.has("Next") {
        report.state("missing-field", state, rule.at, "a rule of `Choices` has no `Next`");
    }
    let around: &[&str] = if top { &["Next", "Comment", "Assign", "Output"] } else { &["Comment"] };
    if state.language == Language::Jsonata {
        for field in rule.fields().iter().filter(|field| !around.contains(&field.name.as_str())) {
            if field.name != "Condition" {
                let message = format!("a JSONata rule has no field `{}`, only `Condition`", field.name);
                report.state("unknown-field", state, field.at, message);
            }
        }
        if !rule.has("Condition") {
            report.state("missing-field", state, rule.at, "a rule of `Choices` has no `Condition`");
        }
        return;
    }
    for field in rule.fields() {
        let name = field.name.as_str();
        let nested = ["And", "Or", "Not"].contains(&name);
        if nested {
            let inner = if name == "Not" { std::slice::from_ref(&field.value) } else { field.value.items() };
            inner.iter().for_each(|rule| check_rule(state, rule, false, report));
        } else if name != "Variable" && !around.contains(&name) && !is_comparison(name) {
            let message = if name == "Next" {
                "only the outermost rule has a `Next`".to_owned()
            } else {
                let known = COMPARISONS.iter().copied().chain(["Variable", "And", "Or", "Not", "Next"]);
                format!("there is no comparison `{name}`{}", meant(name, known))
            };
            report.state("unknown-field", state, field.at, message);
        }
    }
    let tests = rule.fields().iter().filter(|field| is_comparison(&field.name)).count();
    let nested = ["And", "Or", "Not"].iter().filter(|name| rule.has(name)).count();
    if nested == 0 && !rule.has("Variable") {
        report.state(
            "missing-field",
            state,
            rule.at,
            "a rule of `Choices` has neither `Variable` nor `And`, `Or`, `Not`",
        );
    } else if nested + tests > 1 {
        report.state("exclusive-fields", state, rule.at, "a rule of `Choices` has more than one comparison");
    } else if nested + tests == 0 && rule.fields().iter().all(|field| nearest(&field.name, COMPARISONS).is_none()) {
        report.state("missing-field", state, rule.at, "a rule of `Choices` has no comparison");
    }
}

fn is_comparison(name: &str) -> bool {
    COMPARISONS.contains(&name)
        || name.strip_suffix("Path").is_some_and(|name| COMPARISONS.contains(&name) && !name.starts_with("Is"))
}

fn exclusive(state: &State<'_>, kind: StateType, report: &mut Report) {
    let groups: &[&[&str]] = match kind {
        StateType::Wait => &[&["Seconds", "Timestamp", "SecondsPath", "TimestampPath"]],
        StateType::Fail => &[&["Error", "ErrorPath"], &["Cause", "CausePath"]],
        StateType::Task => &[&["TimeoutSeconds", "TimeoutSecondsPath"], &["HeartbeatSeconds", "HeartbeatSecondsPath"]],
        StateType::Map => &[
            &["ItemProcessor", "Iterator"],
            &["ItemSelector", "Parameters"],
            &["MaxConcurrency", "MaxConcurrencyPath"],
            &["ToleratedFailureCount", "ToleratedFailureCountPath"],
            &["ToleratedFailurePercentage", "ToleratedFailurePercentagePath"],
        ],
        _ => &[],
    };
    for group in groups {
        let given: Vec<_> = group.iter().filter_map(|name| state.node.field(name)).collect();
        if let [first, second, ..] = given.as_slice() {
            let message = format!("`{}` and `{}` exclude each other", first.name, second.name);
            report.state("exclusive-fields", state, second.at, message);
        }
    }
    if kind == StateType::Map {
        for (old, new) in [("Iterator", "ItemProcessor"), ("Parameters", "ItemSelector")] {
            if let Some(field) = state.node.field(old).filter(|_| state.language == Language::JsonPath) {
                report.state("deprecated-field", state, field.at, format!("`{old}` is now `{new}`"));
            }
        }
    }
}

fn values(state: &State<'_>, kind: StateType, report: &mut Report) {
    let node = state.node;
    let jsonata = state.language == Language::Jsonata;
    let mut wrong = Wrong { report, state: Some(state) };
    wrong.one_of(node, "QueryLanguage", &["JSONPath", "JSONata"]);
    wrong.whole(node, "TimeoutSeconds", 1.0, MOST as f64, jsonata);
    wrong.whole(node, "HeartbeatSeconds", 1.0, MOST as f64, jsonata);
    wrong.whole(node, "Seconds", 0.0, MOST as f64, jsonata);
    wrong.whole(node, "MaxConcurrency", 0.0, f64::MAX, jsonata);
    for name in ["Next", "Default", "Resource", "Comment"] {
        wrong.is(node, name, "a text", |value| matches!(value.kind, Kind::Text(_)));
    }
    wrong.is(node, "End", "`true`", |value| matches!(value.kind, Kind::Bool(_)));
    for name in ["Retry", "Catch", "Choices", "Branches"] {
        let filled = name == "Branches" || name == "Choices";
        let shape = if filled { "a filled array of objects" } else { "an array of objects" };
        wrong.is(node, name, shape, |value| {
            let objects = value.items().iter().all(|item| matches!(item.kind, Kind::Object(_) | Kind::Placeholder));
            matches!(&value.kind, Kind::Array(items) if objects && !(filled && items.is_empty()))
        });
    }
    for retrier in state.handlers("Retry") {
        wrong.whole(retrier, "IntervalSeconds", 1.0, MOST as f64, false);
        wrong.whole(retrier, "MaxAttempts", 0.0, MOST as f64, false);
        wrong.whole(retrier, "MaxDelaySeconds", 1.0, 31_622_399.0, false);
        wrong.is(
            retrier,
            "BackoffRate",
            "a number of at least 1",
            |value| matches!(value.kind, Kind::Number(rate) if rate >= 1.0),
        );
        wrong.one_of(retrier, "JitterStrategy", &["FULL", "NONE"]);
    }
    if kind == StateType::Task
        && let (Some(heartbeat), Some(timeout)) = (node.number("HeartbeatSeconds"), node.number("TimeoutSeconds"))
        && heartbeat >= timeout
    {
        let message = format!("`HeartbeatSeconds` is {heartbeat} and `TimeoutSeconds` is {timeout}");
        report.state("heartbeat-not-below-timeout", state, state.at, message);
    }
}

/// Tells values that a field cannot have.
struct Wrong<'r, 's, 'a> {
    report: &'r mut Report,
    state: Option<&'s State<'a>>,
}

impl Wrong<'_, '_, '_> {
    fn is(&mut self, node: &Node, name: &str, what: &str, fits: impl Fn(&Node) -> bool) {
        if let Some(value) = node.get(name).filter(|value| !value.is_open() && !fits(value)) {
            let message = format!("`{name}` must be {what}");
            match self.state {
                Some(state) => self.report.state("wrong-value", state, value.at, message),
                None => self.report.machine("wrong-value", value.at, message),
            }
        }
    }

    fn whole(&mut self, node: &Node, name: &str, least: f64, most: f64, expressions: bool) {
        let what = match most {
            f64::MAX => format!("a whole number of at least {least}"),
            most => format!("a whole number from {least} to {most}"),
        };
        self.is(node, name, &what, |value| match &value.kind {
            Kind::Number(number) => number.fract() == 0.0 && (least..=most).contains(number),
            Kind::Text(text) => expressions && text.trim_start().starts_with("{%"),
            _ => false,
        });
    }

    fn one_of(&mut self, node: &Node, name: &str, known: &[&str]) {
        let what = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
        self.is(node, name, &what, |value| value.text().is_some_and(|text| known.contains(&text)));
    }
}
