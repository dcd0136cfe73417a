//! Which objects a pipeline takes.

use stepwell_pipeline::spec::{CheckedSpec, FieldValue};

use super::GOOD;

const MATCH: &str = "pipeline: p\nsource:\n  match:\n    key: \"in/*.csv\"\n    min_bytes: 10\n    max_bytes: 1000\n    suffix: [.csv]\n    where:\n      kind: [orders, 7, NO]\n  format: csv\nschema:\n  - { name: kind, type: string }\nload: { target: parquet, path: lake/p/ }\n";

#[test]
fn a_match_with_conditions_is_understood() {
    let spec = CheckedSpec::parse("p.yaml", MATCH).expect("a good spec");
    assert!(spec.match_glob.fits("in/a.csv") && !spec.match_glob.fits("out/a.csv"));
    assert_eq!(spec.conditions.bytes, 10..=1000);
    let [condition] = &spec.conditions.fields[..] else { panic!("{:?}", spec.conditions) };
    assert_eq!(condition.name, "kind");
    let text = |text: &str| FieldValue::Text(text.to_owned());
    assert_eq!(condition.values, [text("orders"), FieldValue::Number(7.into()), text("NO")]);

    let exact = MATCH.replace("min_bytes: 10\n", "min_bytes: 1000\n");
    assert_eq!(CheckedSpec::parse("p.yaml", &exact).expect("one size").conditions.bytes, 1000..=1000);

    let spec = CheckedSpec::parse("p.yaml", GOOD).expect("a good spec");
    assert_eq!(spec.conditions.bytes, 0..=u64::MAX);
    assert_eq!(spec.conditions.fields, []);
}

#[test]
fn mistakes_in_a_match_have_their_lines_and_the_nearest_name() {
    let cases: &[(&str, &str, &str)] = &[
        ("min_bytes:", "min_byte:", "p.yaml:5: unknown key `min_byte`; did you mean `min_bytes`?"),
        ("    key: \"in/*.csv\"\n", "", "key `key` is missing"),
        ("\"in/*.csv\"", "\"in/[.csv\"", "p.yaml:4: `in/[.csv` is no glob"),
        ("min_bytes: 10", "min_bytes: 10 MB", "p.yaml:5: "),
        ("min_bytes: 10", "min_bytes: 1001", "p.yaml:6: `max_bytes` 1000 is less than `min_bytes` 1001"),
        ("max_bytes: 1000", "max_bytes: 0", "p.yaml:6: no object fits `max_bytes: 0`"),
        ("[.csv]", "[]", "p.yaml:7: `suffix` lists what keys may end in"),
        ("[.csv]", "['']", "p.yaml:7: `suffix` lists what keys may end in"),
        ("      kind: [orders, 7, NO]\n", "      {}\n", "`where` asks for nothing"),
        ("kind: [orders, 7, NO]", "kind: []", "p.yaml:9: `where`: `kind` lists no value"),
        ("kind: [orders, 7, NO]", "kind: { a: b }", "expected a text, a number, `true` or `false`, or a list of those"),
        ("kind: [orders, 7, NO]", "kind: [[a]]", "expected a text, a number, `true` or `false`"),
        ("kind: [orders, 7, NO]", "kind:", "p.yaml:9: "),
        ("kind: [orders, 7, NO]", "knid: a", "p.yaml:9: `where`: unknown column `knid`; did you mean `kind`?"),
        (
            "format: csv",
            "format: parquet",
            "p.yaml:9: `where` looks into text (csv, tsv, json, ndjson), not into `parquet`",
        ),
        ("\"in/*.csv\"", "in/*.csv.zip", "p.yaml:9: `where` looks into plain, gzip and zstd text, not into `.zip`"),
        ("kind: [orders, 7, NO]\n  format: csv", "a..b: 1\n  format: json", "p.yaml:9: `where`: `a..b` is no path"),
    ];
    for (right, wrong, expected) in cases {
        assert!(MATCH.contains(right), "{right}");
        let errors = CheckedSpec::parse("p.yaml", &MATCH.replacen(right, wrong, 1)).expect_err(wrong).to_string();
        assert!(errors.contains(expected), "{wrong}\n  expected {expected}\n  got      {errors}");
    }
    let errors = CheckedSpec::parse("p.yaml", &GOOD.replace("\"flights/*.csv*\"", "[a, b]")).expect_err("a list");
    assert!(errors.to_string().contains("a glob such as \"in/*.csv\", or a mapping with `key`"), "{errors}");
}

#[test]
fn the_json_schema_knows_both_forms_of_a_match() {
    let schema = stepwell_pipeline::spec::json_schema();
    let matched = &schema["$defs"]["SourceSpec"]["properties"]["match"];
    let forms = matched["anyOf"].as_array().expect("two forms");
    assert_eq!((forms.len(), &forms[0]["type"]), (2, &"string".into()), "{matched:#}");
    let properties = forms[1]["properties"].as_object().expect("properties");
    assert_eq!(properties.keys().collect::<Vec<_>>(), ["key", "max_bytes", "min_bytes", "suffix", "where"]);
    assert_eq!(forms[1]["required"], serde_json::json!(["key"]));
    assert_eq!(forms[1]["additionalProperties"], false);
    let values = &properties["where"]["additionalProperties"];
    assert!(values["anyOf"][1]["items"].is_object() && values["anyOf"][0]["type"].is_array(), "{values:#}");
}

#[test]
fn a_condition_may_name_columns_that_only_the_header_knows() {
    let asked = MATCH.replace("kind: [orders, 7, NO]", "other: a").replace("load:", "unknown_columns: ignore\nload:");
    let spec = CheckedSpec::parse("p.yaml", &asked).expect("the header may have it");
    assert_eq!(spec.conditions.fields[0].name, "other");
    let headless = asked.replace("format: csv", "format: csv\n  csv: { header: false }");
    let errors = CheckedSpec::parse("p.yaml", &headless).expect_err("no header").to_string();
    assert_eq!(errors, "p.yaml:9: `where`: unknown column `other`; valid are `kind`");
}
