//! The lint, on machines that are each wrong in one way, on their twins that are nearly so, and on random ones.
//!
//! `bad-machines/<rule>[-<variant>].asl.json` breaks that rule; what is found, to the letter, stands beside it in
//! `.findings`. `good-machines/<rule>.asl.json` comes close and breaks nothing. With the variable `BLESS` set the
//! `.findings` are written anew, to be looked at in the change.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value, json};
use stepwell_statemachine::{
    ETL, lint,
    lint::{RULES, Severity},
};

fn machines(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

fn stem(file: &Path) -> &str {
    let name = file.file_name().and_then(|name| name.to_str()).expect("UTF-8");
    name.strip_suffix(".asl.json").expect("a definition")
}

/// The rule after which a machine is named.
fn rule_of(file: &Path) -> &'static str {
    let fits = RULES.iter().filter(|rule| stem(file).starts_with(rule.name));
    fits.max_by_key(|rule| rule.name.len()).map(|rule| rule.name).expect("a machine is named after its rule")
}

fn told(text: &str) -> String {
    lint(text).iter().map(|finding| format!("{finding}\n")).collect()
}

#[test]
fn bad_machines_are_told_as_expected() {
    let mut wrong = Vec::new();
    for file in machines("bad-machines") {
        let text = fs::read_to_string(&file).expect("a machine");
        let told = told(&text);
        let expected = file.with_file_name(format!("{}.findings", stem(&file)));
        if env::var_os("BLESS").is_some() {
            fs::write(&expected, &told).expect("the findings can be written");
        }
        let expected = fs::read_to_string(expected).expect("the expected findings");
        if told != expected {
            wrong.push(format!("{}:\n--- expected\n{expected}--- told\n{told}", stem(&file)));
        }
        if !told.contains(&format!("[{}]", rule_of(&file))) {
            wrong.push(format!("{} does not break its rule:\n{told}", stem(&file)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn good_machines_have_no_finding() {
    for file in machines("good-machines") {
        let text = fs::read_to_string(&file).expect("a machine");
        assert_eq!(told(&text), "", "{}", file.display());
    }
}

#[test]
fn every_rule_has_a_bad_machine_and_a_near_miss() {
    let rules: BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(rules.len(), RULES.len());
    for folder in ["bad-machines", "good-machines"] {
        let files = machines(folder);
        let shown: BTreeSet<_> = files.iter().map(|file| rule_of(file)).collect();
        assert_eq!(shown, rules, "{folder}");
    }
    assert!(RULES.is_sorted_by_key(|rule| rule.name.to_owned()), "RULES is by name");
}

#[test]
fn the_shipped_machine_has_no_finding_and_needs_its_allowances() {
    assert_eq!(told(ETL), "");
    let bare = ETL.replace("stepwell-lint:", "");
    let rules: Vec<_> = lint(&bare).iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, ["all-is-not-all", "retry-without-jitter"]);
}

#[test]
fn findings_stand_at_their_line_and_column() {
    let text = "\u{feff}{ \"StartAt\": \"ä\",\n  \"Comment\": \"ä\", \"Statse\": {} }";
    let found = lint(text);
    let places: Vec<_> = found.iter().map(|finding| (finding.rule, finding.line, finding.column)).collect();
    assert_eq!(places, [("missing-field", 1, 1), ("unknown-field", 2, 19)]);
    assert_eq!(found[1].message, "unknown field `Statse`; did you mean `States`?");
    assert_eq!(found[1].severity, Severity::Error);
}

#[test]
fn the_page_names_every_rule() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/state-machine-lint.md");
    let page = fs::read_to_string(page).expect("the page");
    for rule in RULES {
        assert!(page.contains(&format!("| `{}` | {} |", rule.name, rule.severity)), "{}", rule.name);
    }
}

/// A value that may stand anywhere: right, wrong or beside the point.
fn value() -> impl Strategy<Value = Value> {
    let texts = select(vec![
        "A",
        "B",
        "C",
        "$",
        "$.a",
        "$.a.b",
        "$$.Task.Token",
        "$x.y",
        "States.Format('{}', $.a)",
        "States.ALL",
        "States.TaskFailed",
        "E",
        "{% $states.input.a %}",
        "${p}",
        "arn:aws:states:::lambda:invoke",
        "$.a[0]['b']",
        "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "JSONata",
        "EXPRESS",
        "",
        "$..",
        "States.(",
        "ä'\\",
        "stepwell-lint: allow no-end: x",
    ]);
    let leaf = prop_oneof![
        4 => texts.prop_map(Value::from),
        1 => any::<i32>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        let fields = select(vec![
            "a",
            "a.$",
            "b",
            "Payload.$",
            "FunctionName",
            "ErrorEquals",
            "Next",
            "ResultPath",
            "MaxAttempts",
            "Variable",
            "IsPresent",
            "StringEquals",
            "And",
            "Not",
            "StartAt",
            "States",
            "A",
            "Type",
            "Error",
            "Assign",
            "Output",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((fields, inner), 0..5)
                .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

/// A state of some type whose fields mostly belong to it.
fn state() -> impl Strategy<Value = Value> {
    let kinds = select(vec!["Task", "Pass", "Choice", "Wait", "Succeed", "Fail", "Parallel", "Map", "Pas"]);
    let fields = select(vec![
        "Next",
        "End",
        "Resource",
        "Parameters",
        "Arguments",
        "ResultPath",
        "ResultSelector",
        "InputPath",
        "OutputPath",
        "Retry",
        "Catch",
        "Choices",
        "Default",
        "Result",
        "Assign",
        "Output",
        "QueryLanguage",
        "ItemsPath",
        "Iterator",
        "ItemProcessor",
        "Branches",
        "ItemSelector",
        "TimeoutSeconds",
        "ErrorPath",
        "Error",
        "Comment",
        "SecondsPath",
    ]);
    let target = select(vec!["A", "B", "C", "D"]);
    let handler = (select(vec!["States.ALL", "E", "F"]), target.clone(), prop::option::of(value()))
        .prop_map(|(error, next, path)| json!({ "ErrorEquals": [error], "Next": next, "ResultPath": path }));
    let rule = (value(), select(vec!["$.a", "$.a.b", "$"]), target.clone())
        .prop_map(|(value, path, next)| json!({ "Variable": path, "StringEquals": value, "Next": next }));
    (kinds, target, prop::collection::vec((fields, value()), 0..7), handler, rule).prop_map(
        |(kind, next, fields, handler, rule)| {
            let mut state = json!({ "Type": kind, "Next": next, "Catch": [handler], "Choices": [rule] });
            for (name, value) in fields {
                state[name] = value;
            }
            state
        },
    )
}

fn scope() -> impl Strategy<Value = Value> {
    prop::collection::vec(state(), 1..5).prop_map(|states| {
        let named: Map<_, _> = ["A", "B", "C", "D"].iter().map(|name| (*name).to_owned()).zip(states).collect();
        json!({ "StartAt": "A", "States": named })
    })
}

fn machine() -> impl Strategy<Value = Value> {
    (scope(), scope(), any::<bool>()).prop_map(|(mut outer, inner, nest)| {
        if nest {
            outer["States"]["A"] =
                json!({ "Type": "Parallel", "Branches": [inner.clone()], "ItemProcessor": inner, "Next": "B" });
        }
        outer
    })
}

proptest! {
    #[test]
    fn random_machines_are_told_the_same_twice(machine in machine()) {
        let text = serde_json::to_string_pretty(&machine).expect("JSON");
        let found = lint(&text);
        prop_assert_eq!(&found, &lint(&text));
        let lines = text.lines().count();
        prop_assert!(found.iter().all(|finding| (1..=lines).contains(&finding.line) && finding.column > 0));
    }

    #[test]
    fn random_values_and_texts_are_told_or_refused(value in value(), text in ".{0,200}") {
        lint(&value.to_string());
        lint(&text);
        lint(&format!("{{\"StartAt\": {text}}}"));
    }
}
