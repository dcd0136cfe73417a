//! What a spec says when it is wrong: file, line, and the nearest valid name.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

mod batches;
mod columns;
mod matching;

use stepwell_pipeline::spec::{CheckedSpec, ColumnType, Keep, Tolerance};

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
    let partitioned =
        CheckedSpec::parse("flights.yaml", &GOOD.replace("[year]", "[year, price]")).expect("a good spec");
    assert_eq!(partitioned.partition_columns(), ["year", "price"]);
}

#[test]
fn a_pipelines_name_fits_into_keys_and_names_of_executions() {
    let named =
        |name: &str| CheckedSpec::parse("p.yaml", &GOOD.replace("pipeline: flights", &format!("pipeline: {name:?}")));
    let longest = "a".repeat(40);
    for name in ["a", "0", "a-b_c-", "2024-flights", &longest] {
        assert_eq!(named(name).expect(name).name(), name);
    }
    let too_long = "a".repeat(41);
    for name in ["", "-a", "_a", "aB", "a b", "a/b", "ä", &too_long] {
        let expected = format!(
            "p.yaml:1: `{name}` is no pipeline name: 1 to 40 lowercase letters, digits, `-` and `_`, a letter or digit first"
        );
        assert_eq!(named(name).expect_err(name).to_string(), expected);
    }
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
        (
            "required: true",
            "format: \"%d\"",
            "p.yaml:6: column `year`: `format` goes with `date`, `time`, `timestamp` and `binary`",
        ),
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
        (
            "\"flights/*.csv*\"",
            "\"\"",
            "p.yaml:3: `` fits no key: write the glob as keys are, without bucket or leading slash",
        ),
        ("\"flights/*.csv*\"", "/flights/*", "p.yaml:3: `/flights/*` fits no key"),
        ("\"flights/*.csv*\"", "\"flights/[.csv\"", "p.yaml:3: `flights/[.csv` is no glob"),
        ("delimiter: \",\"", "delimiter: \"\"", "p.yaml:4: `delimiter` is one to eight bytes"),
        (
            "delimiter: \",\"",
            "delimiter: '\\t'",
            "p.yaml:4: `delimiter` is a backslash and a t; for a tab write \"\\t\"",
        ),
        ("sql: SELECT * FROM input", "sql: \"\"", "p.yaml:11: `sql` is empty"),
        ("load:\n", "lod:\n", "p.yaml:12: unknown key `lod`; did you mean `load`?"),
        ("[failed]", "[exploded]", "p.yaml:16: unknown value `exploded`; valid are `succeeded`, `failed`"),
        ("pipeline: flights\n", "", "key `pipeline` is missing"),
        ("required: true", "required: maybe", "p.yaml:6: "),
        ("schema:", "schema: [", "p.yaml:"),
        ("\"NA\"]", "null]", "p.yaml:4: a YAML null stands where text is expected; for the text, quote it"),
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
    let told = errors.to_string();
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines, errors.0.iter().map(ToString::to_string).collect::<Vec<_>>(), "each on a line of its own");
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

const BASE: &str = "pipeline: p\nsource: { match: \"in/*.EXT\", SOURCE }\nschema:\n  - { name: a, COLUMN }\nREST\n\
                    load: { target: parquet, path: lake/p/, LOAD }\n";

/// A spec of one column `a`, whose line is 4.
fn spec(extension: &str, source: &str, column: &str, rest: &str, load: &str) -> Result<CheckedSpec, String> {
    let text = BASE.replace("EXT", extension).replace("SOURCE", source).replace("COLUMN", column);
    let text = text.replace("REST", rest).replace("LOAD", load);
    CheckedSpec::parse("p.yaml", &text).map_err(|errors| errors.to_string())
}

#[test]
fn options_of_the_source_go_with_its_format() {
    let cases: &[(&str, &str)] = &[
        ("format: ndjson, csv: {}", "p.yaml:2: `csv` goes with the formats `csv` and `tsv`, not with `ndjson`"),
        ("format: csv, json: {}", "`json` goes with the formats `json` and `ndjson`, not with `csv`"),
        ("format: parquet, encoding: latin1", "`encoding` goes with formats of text, not with `parquet`"),
        ("format: ndjson, json: { records: a }", "`records` goes with the format `json`"),
        ("format: json, json: { records: a..b }", "`a..b` is no path"),
        ("csv: { delimiter: '\"' }", "`quote` and `delimiter` share the character"),
        ("csv: { delimiter: \"||\", escape: \"|\" }", "`escape` and `delimiter` share the character"),
        ("csv: { comment: \",\" }", "`comment` and `delimiter` share the character"),
        ("csv: { comment: '\"' }", "`comment` and `quote` are the same character"),
        ("csv: { escape: \"#\", comment: \"#\" }", "`comment` and `escape` are the same character"),
        ("csv: { quote: \"''\" }", "`quote` is one ASCII character"),
        ("csv: { quote: \"ü\" }", "`quote` is one ASCII character other than a line end, not \"ü\""),
        ("csv: { escape: \"\\n\" }", "`escape` is one ASCII character other than a line end, not \"\\n\""),
        ("csv: { comment: \"\\r\" }", "`comment` is one ASCII character other than a line end, not \"\\r\""),
        ("csv: { delimiter: \"123456789\" }", "`delimiter` is one to eight bytes"),
        ("format: cvs", "unknown value `cvs`; did you mean `csv`?"),
    ];
    for (source, expected) in cases {
        let errors = spec("x", source, "type: int8", "", "").expect_err(source);
        assert!(errors.contains(expected), "{source}\n  expected {expected}\n  got      {errors}");
    }
}

#[test]
fn no_quote_is_written_as_null_or_empty() {
    for (quote, expected) in [("null", None), ("\"\"", None), ("\"'\"", Some(b'\''))] {
        let spec = spec("csv", &format!("csv: {{ quote: {quote} }}"), "type: int8", "", "").expect(quote);
        assert_eq!(spec.dialect.quote, expected, "{quote}");
    }
    assert_eq!(spec("csv", "", "type: int8", "", "").expect("the default").dialect.quote, Some(b'"'));
    assert_eq!(spec("csv", "csv: {}", "type: int8", "", "").expect("the default").dialect.quote, Some(b'"'));
}

#[test]
fn names_that_the_pipeline_needs_itself_are_refused() {
    let errors = CheckedSpec::parse(
        "p.yaml",
        "pipeline: p\nsource: { match: \"in/*\" }\nschema:\n  - { name: _extra, type: int8 }\nunknown_columns: keep\n\
         load: { target: parquet, path: lake/p/ }\n",
    )
    .expect_err("_extra is taken");
    assert!(errors.to_string().starts_with("p.yaml:4: `_extra` is where `unknown_columns: keep`"), "{errors}");
}

#[test]
fn references_and_load_options_are_checked() {
    let references: &[(&str, &str)] = &[
        ("{ name: input, path: lake/a/ }", "p.yaml:5: `input` is the table of the object's own records"),
        ("{ name: a-b, path: lake/a/ }", "`a-b` is no name of a table"),
        ("{ name: 1a, path: lake/a/ }", "`1a` is no name of a table: letters, digits and `_`, a letter or `_` first"),
        (
            "{ name: b, path: lake/a/ }, { name: B, path: lake/a/ }",
            "the reference `B` is declared twice, first on line 5",
        ),
        ("{ name: b, path: lak/a/ }", "unknown bucket `lak`; did you mean `lake`?"),
        ("{ name: b, path: lake }", "`lake` names a bucket and nothing in it"),
        ("{ name: b, path: lake/a//b }", "has an empty"),
        ("{ name: b, path: lake/*.parquet }", "`lake/*.parquet` is no key"),
    ];
    for (references, expected) in references {
        let rest = format!("transform: {{ references: [{references}] }}");
        let errors = spec("csv", "", "type: int8", &rest, "").expect_err(references);
        assert!(errors.contains(expected), "{references}\n  expected {expected}\n  got      {errors}");
    }
    let loads: &[(&str, &str)] = &[
        ("file_mib: 0", "p.yaml:6: `file_mib` is from 1 to 4096, not 0"),
        ("file_mib: 5000", "`file_mib` is from 1 to 4096, not 5000"),
        ("sort_by: [a, a]", "`a` stands twice in `sort_by`"),
        ("bloom_filters: [a, a]", "`a` stands twice in `bloom_filters`"),
        ("dedupe: { key: [a, a], keep: last }", "`a` stands twice in `key`"),
        ("dedupe: { key: [], keep: last }", "`dedupe` needs a `key`"),
        ("dedupe: { key: [a], keep: lst }", "unknown `keep` `lst`; did you mean `last`?"),
        ("dedupe: { key: [a], keep: max() }", "unknown `keep` `max()`"),
    ];
    for (load, expected) in loads {
        let errors = spec("csv", "", "type: int8", "", load).expect_err(load);
        assert!(errors.contains(expected), "{load}\n  expected {expected}\n  got      {errors}");
    }
}

#[test]
fn the_json_schema_takes_scalars_as_yaml_has_them() {
    let schema = stepwell_pipeline::spec::json_schema();
    let types = serde_json::json!(["string", "number", "boolean"]);
    assert_eq!(schema["$defs"]["Scalar"]["type"], types, "{schema:#}");
    let column = &schema["$defs"]["ColumnSpec"]["properties"];
    assert_eq!(column["nulls"]["items"]["$ref"], "#/$defs/Scalar");
    assert_eq!(column["enum"]["items"]["$ref"], "#/$defs/Scalar");
    assert_eq!(schema["$defs"]["CsvDialect"]["additionalProperties"], false);
    assert!(schema["$defs"]["CsvDialect"]["properties"].get("given").is_none());
    assert_eq!(schema["$defs"]["LoadSpec"]["properties"]["file_mib"]["maximum"], 4096);
}

#[test]
fn the_reference_describes_every_key() {
    let reference = include_str!("../../../docs/pipeline-spec.md");
    let schema = stepwell_pipeline::spec::json_schema();
    let definitions = schema["$defs"].as_object().expect("definitions").values();
    let keys = definitions.chain([&schema]).filter_map(|definition| definition["properties"].as_object());
    for key in keys.flat_map(serde_json::Map::keys) {
        let is_described =
            [format!("`{key}`"), format!(".{key}`"), format!("`{key}.")].iter().any(|text| reference.contains(text));
        assert!(is_described, "{key}");
    }
}

#[test]
fn references_and_load_options_at_their_bounds_are_taken() {
    let references = "transform: { references: [{ name: _a1, path: lake/a/ }, { name: B, path: work/b.parquet }] }";
    assert_eq!(spec("csv", "", "type: int8", references, "").expect("good names").spec.transform.references.len(), 2);
    for (keep, expected) in [
        ("first", Keep::First),
        (" last ", Keep::Last),
        ("max(a)", Keep::Max("a".into())),
        ("max( a )", Keep::Max("a".into())),
    ] {
        let spec =
            spec("csv", "", "type: int8", "", &format!("file_mib: 4096, dedupe: {{ key: [a], keep: {keep:?} }}"));
        let dedupe = spec.expect(keep).dedupe.expect(keep);
        assert_eq!((dedupe.key, dedupe.keep), (vec!["a".to_owned()], expected), "{keep}");
    }
}

#[test]
fn the_longest_delimiter_has_eight_bytes() {
    let spec = spec("csv", "csv: { delimiter: \"12345678\" }", "type: int8", "", "").expect("eight bytes");
    assert_eq!(spec.dialect.delimiter, b"12345678");
}
