//! What a spec says when it is wrong: file, line, and the nearest valid name.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use stepwell_pipeline::spec::{CheckedSpec, ColumnType, Tolerance};

const GOOD: &str = r#"pipeline: flights
source:
  match: "flights/*.csv*"
  csv: { delimiter: ",", nulls: ["", "NA"] }
schema:
  - { name: year, type: int16, required: true }
  - { name: price, type: "decimal(12,2)" }
  - { name: time_hour, type: timestamp, format: "%Y-%m-%dT%H:%M:%SZ" }
rejects: { tolerate: "1%" }
transform:
  sql: SELECT * FROM input
load:
  target: parquet
  path: lake/flights
  partition_by: [year]
notify: { on: [failed] }
"#;

#[test]
fn a_good_spec_is_understood() {
    let spec = CheckedSpec::parse("flights.yaml", GOOD).expect("a good spec");
    assert_eq!(spec.name(), "flights");
    assert_eq!(spec.columns[1].column_type, ColumnType::Decimal { precision: 12, scale: 2 });
    assert_eq!(spec.tolerance, Tolerance::Percent(1.0));
    assert_eq!(spec.table_prefix, "flights/");
    assert_eq!(spec.spec.source.csv.nulls, ["", "NA"]);
    assert!(spec.columns[0].required && !spec.columns[1].required);
}

#[test]
fn every_mistake_has_its_line_and_the_nearest_name() {
    let cases: &[(&str, &str, &str)] = &[
        ("delimiter:", "delimeter:", "p.yaml:4: unknown key `delimeter`; did you mean `delimiter`?"),
        ("rejects:", "reject:", "p.yaml:9: unknown key `reject`; did you mean `rejects`?"),
        ("int16", "int15", "p.yaml:6: column `year`: unknown type `int15`; did you mean `int16`?"),
        ("name: price", "name: year", "p.yaml:7: column `year` is declared twice, first on line 6"),
        ("decimal(12,2)", "decimal(12)", "p.yaml:7: column `price`: `decimal(12)` is no decimal; write `decimal(p,s)`"),
        ("decimal(12,2)", "decimal(12,13)", "p.yaml:7: column `price`: `decimal(12,13)` is no decimal"),
        ("%SZ", "%SZ%", "p.yaml:8: column `time_hour`: `%Y-%m-%dT%H:%M:%SZ%` is no strftime format"),
        ("required: true", "format: \"%d\"", "p.yaml:6: column `year`: `format` goes with `date` and `timestamp`"),
        ("\"1%\"", "lots", "p.yaml:9: `lots` is no bound"),
        ("target: parquet", "target: parqet", "p.yaml:13: unknown value `parqet`; did you mean `parquet`?"),
        (
            "lake/flights",
            "lak/flights",
            "p.yaml:14: `path` begins with its bucket: unknown bucket `lak`; did you mean `lake`?",
        ),
        ("lake/flights", "lake", "p.yaml:14: `path` names a bucket and no prefix"),
        ("lake/flights", "lake/a//b", "p.yaml:14: `lake/a//b` has an empty"),
        ("[year]", "[year, year]", "p.yaml:15: `year` stands twice in `partition_by`"),
        ("pipeline: flights", "pipeline: Flights 1", "p.yaml:1: `Flights 1` is no pipeline name"),
        ("\"flights/*.csv*\"", "s3://landing/flights/*", "p.yaml:3: `s3://landing/flights/*` fits no key"),
        ("\"flights/*.csv*\"", "\"flights/[.csv\"", "p.yaml:3: `flights/[.csv` is no glob"),
        ("delimiter: \",\"", "delimiter: \"||\"", "p.yaml:4: `delimiter` is one ASCII character"),
        ("delimiter: \",\"", "delimiter: '\"'", "`quote` and `delimiter` are the same character"),
        ("sql: SELECT * FROM input", "sql: \"\"", "p.yaml:11: `sql` is empty"),
        ("load:\n", "lod:\n", "p.yaml:12: unknown key `lod`; did you mean `load`?"),
        ("[failed]", "[exploded]", "p.yaml:16: unknown value `exploded`; valid are `succeeded`, `failed`"),
        ("pipeline: flights\n", "", "key `pipeline` is missing"),
        ("required: true", "required: maybe", "p.yaml:6: "),
        ("schema:", "schema: [", "p.yaml:"),
    ];
    for (right, wrong, expected) in cases {
        assert!(GOOD.contains(right), "{right}");
        let errors = CheckedSpec::parse("p.yaml", &GOOD.replacen(right, wrong, 1)).expect_err(wrong).to_string();
        assert!(errors.contains(expected), "{wrong}\n  expected {expected}\n  got      {errors}");
    }
}

#[test]
fn all_mistakes_of_meaning_are_told_at_once() {
    let text = GOOD.replace("int16", "int15").replace("\"1%\"", "lots").replace("lake/flights", "lake");
    let errors = CheckedSpec::parse("p.yaml", &text).expect_err("three mistakes");
    assert_eq!(errors.0.iter().map(|error| error.line).collect::<Vec<_>>(), [6, 9, 14]);
}

#[test]
fn a_destination_that_the_match_would_pick_up_is_refused() {
    let errors = CheckedSpec::parse("p.yaml", &GOOD.replace("lake/flights", "landing/flights/out"))
        .expect_err("runs forever")
        .to_string();
    assert!(errors.starts_with("p.yaml:14: the pipeline's own `match` `flights/*.csv*` could pick up"), "{errors}");
    let errors = CheckedSpec::parse("p.yaml", &GOOD.replace("lake/flights", "landing/tables/flights"))
        .expect_err("starts runs that no pipeline fits")
        .to_string();
    assert!(errors.starts_with("p.yaml:14: what is written to `landing/tables/flights` would start runs"), "{errors}");
}

#[test]
fn the_json_schema_knows_every_key_of_the_example() {
    let schema = stepwell_pipeline::spec::json_schema();
    let properties = schema["properties"].as_object().expect("properties");
    for key in ["pipeline", "source", "schema", "unknown_columns", "rejects", "transform", "load", "notify"] {
        assert!(properties.contains_key(key), "{key}");
    }
    assert_eq!(schema["additionalProperties"], false);
}
