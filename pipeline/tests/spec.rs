//! What a spec says when it is wrong: file, line, and the nearest valid name.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use stepwell_pipeline::spec::{BatchLimits, CheckedSpec, ColumnType, Completeness, FieldValue, Tolerance};

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
        ("csv: { delimiter: \"123456789\" }", "`delimiter` is one to eight bytes"),
        ("format: cvs", "unknown value `cvs`; did you mean `csv`?"),
    ];
    for (source, expected) in cases {
        let errors = spec("x", source, "type: int8", "", "").expect_err(source);
        assert!(errors.contains(expected), "{source}\n  expected {expected}\n  got      {errors}");
    }
}

#[test]
fn keys_of_a_column_go_with_its_type() {
    let cases: &[(&str, &str, &str)] = &[
        ("csv", "type: int8, true: [y]", "p.yaml:4: column `a`: `true` goes with `boolean`, not with `int8`"),
        ("csv", "type: boolean, true: []", "`true` has no spelling"),
        ("csv", "type: boolean, false: [\"\"]", "\"\" is spelt for null and for `false`"),
        ("csv", "type: boolean, true: [0]", "\"0\" is spelt for `true` and for `false`"),
        ("csv", "type: int8, pattern: x", "`pattern` goes with `string`, not with `int8`"),
        ("csv", "type: int8, min_length: 1", "`min_length` goes with `string`, not with `int8`"),
        ("csv", "type: string, min_length: 2, max_length: 1", "`min_length` 2 is greater than `max_length` 1"),
        ("csv", "type: int8, min: 2, max: 1.5", "`min` 2 is greater than `max` 1.5"),
        ("csv", "type: boolean, min: 2", "`min` does not go with `boolean`"),
        ("csv", "type: string, enum: []", "`enum` is empty"),
        ("csv", "type: int8, enum: [1, 2, 1]", "`1` stands twice in `enum`"),
        ("csv", "type: int8, check: \" \"", "`check` is empty"),
        ("csv", "type: list<int8>", "`list<int8>` does not go with `csv`"),
        ("ndjson", "type: list<int8>, unique: true", "`unique` does not go with `list<int8>`"),
        ("ndjson", "type: \"struct<b: int8>\", pii: hash", "`pii: hash` does not go with `struct<b: int8>`"),
        ("ndjson", "type: list<int8>, enum: [1]", "`enum` does not go with `list<int8>`"),
        ("ndjson", "type: int8, path: b..c", "`b..c` is no path"),
        ("x", "type: int8, path: b.c", "declare the source's `format`"),
        ("csv", "type: int8, zone: UTC", "`zone` goes with `timestamp`, not with `int8`"),
        ("csv", "type: timestamp, format: epoch_s, zone: Europe/Paris", "`zone` does not go with `epoch_s`"),
        ("csv", "type: date, format: \"%d.%m.\"", "`%d.%m.` does not tell the whole day"),
        ("csv", "type: time, format: \"%I:%M\"", "`%I:%M` does not tell the whole time of day"),
        ("csv", "type: timestamp, format: \"%Y-%m-%d %H\"", "does not tell the whole day and time of day"),
        ("csv", "type: binary, format: hx", "unknown format of binary `hx`; did you mean `hex`?"),
        ("csv", "type: string, pii: hsh", "unknown value `hsh`; did you mean `hash`?"),
        ("csv", "type: string, patern: x", "unknown key `patern`; did you mean `pattern`?"),
    ];
    for (extension, column, expected) in cases {
        let errors = spec(extension, "", column, "", "").expect_err(column);
        assert!(errors.contains(expected), "{column}\n  expected {expected}\n  got      {errors}");
    }
    let header = spec("csv", "csv: { header: false }", "type: int8, path: b", "", "").expect_err("no header");
    assert!(header.contains("`header` is false"), "{header}");
}

#[test]
fn scalars_are_kept_as_they_are_spelt() {
    let spec = spec(
        "csv",
        "csv: { nulls: [NA, -999, \"\", 0x1F, 1_000] }",
        "type: string, default: 0, enum: [1, 2, \"x\", 1e3, 2020-01-01, yes, 007], min: 2020-01-01, max: 1.50",
        "rejects: { tolerate: 10 }",
        "",
    )
    .expect("a good spec");
    let column = &spec.columns[0];
    assert_eq!(column.nulls, ["NA", "-999", "", "0x1F", "1_000"]);
    assert_eq!(column.default.as_deref(), Some("0"));
    assert_eq!(column.allowed, ["1", "2", "x", "1e3", "2020-01-01", "yes", "007"]);
    assert_eq!((column.min.as_deref(), column.max.as_deref()), (Some("2020-01-01"), Some("1.50")));
    assert_eq!(spec.tolerance, Tolerance::Records(10));
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
fn what_only_seems_wrong_is_allowed() {
    spec("csv", "", "type: int8, required: true, default: 0", "", "partition_by: [a]").expect("required with default");
    spec("csv", "", "type: string, pii: hash", "", "partition_by: [a]").expect("a hashed partition");
    spec("ndjson", "", "type: list<int8>, pii: redact", "", "").expect("a redacted list");
    spec("csv", "", "type: timestamp, format: \"%d/%m/%Y\"", "", "").expect("midnight");
    spec("csv", "", "type: boolean, true: [J], false: [\"\"], nulls: []", "", "").expect("empty is false");
    let paths = spec("csv.gz", "", "type: int8, path: b.c }\n  - { name: d, type: string, path: b.c", "", "");
    assert!(paths.expect("the same path twice").columns.iter().all(|column| column.path == ["b.c"]));
    let paths = spec("json*", "", "type: int8, path: b.c", "", "").expect("nested");
    assert_eq!(paths.columns[0].path, ["b", "c"]);
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
    let reference = include_str!("../../docs/pipeline-spec.md");
    let schema = stepwell_pipeline::spec::json_schema();
    let definitions = schema["$defs"].as_object().expect("definitions").values();
    let keys = definitions.chain([&schema]).filter_map(|definition| definition["properties"].as_object());
    for key in keys.flat_map(serde_json::Map::keys) {
        let is_described =
            [format!("`{key}`"), format!(".{key}`"), format!("`{key}.")].iter().any(|text| reference.contains(text));
        assert!(is_described, "{key}");
    }
}

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
        ("kind: [orders, 7, NO]", "kind: { a: b }", "p.yaml:9: "),
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

/// A spec whose section `source` ends in the given lines, which begin on line 4.
fn spec_of_source(lines: &str) -> Result<CheckedSpec, String> {
    let text = format!(
        "pipeline: p\nsource:\n  match: \"in/**/*.csv\"\n{lines}\nschema:\n  - {{ name: a, type: int8 }}\n\
         load: {{ target: parquet, path: lake/p/ }}\n"
    );
    CheckedSpec::parse("p.yaml", &text).map_err(|errors| errors.to_string())
}

#[test]
fn batches_have_bounds() {
    let hour = std::time::Duration::from_secs(3600);
    for (lines, expected) in [
        ("  batch:", BatchLimits { files_max: 1000, bytes_max: 256 << 20, wait_max: hour / 12 }),
        ("  batch: {}", BatchLimits { files_max: 1000, bytes_max: 256 << 20, wait_max: hour / 12 }),
        (
            "  batch: { max_files: 10, max_bytes: 1000000, max_wait: 1h 30m }",
            BatchLimits { files_max: 10, bytes_max: 1_000_000, wait_max: hour + hour / 2 },
        ),
    ] {
        assert_eq!(spec_of_source(lines).expect(lines).batch, Some(expected), "{lines}");
    }
    assert_eq!(spec_of_source("").expect("no batches").batch, None);
    for (lines, expected) in [
        ("  batch:\n    max_file: 3", "p.yaml:5: unknown key `max_file`; did you mean `max_files`?"),
        ("  batch:\n    max_files: 0", "p.yaml:5: `max_files` is from 1 to 10000, not 0"),
        ("  batch:\n    max_files: 10001", "p.yaml:5: `max_files` is from 1 to 10000, not 10001"),
        ("  batch:\n    max_bytes: lots", "p.yaml:5: `lots` is no number of bytes: write `256 MiB`"),
        ("  batch:\n    max_bytes: 0", "p.yaml:5: `0` is no number of bytes"),
        ("  batch:\n    max_wait: soon", "p.yaml:5: `soon` is no duration: write `5m`, `2h` or `1day`"),
        ("  batch:\n    max_wait: 30s", "p.yaml:5: `max_wait` is from 1m to 7days, not 30s"),
        ("  batch:\n    max_wait: 5M", "p.yaml:5: `max_wait` is from 1m to 7days, not 5M"),
        (
            "  batch: {}\n  schedule: { cron: \"0 6 * * *\", prefix: in/ }",
            "p.yaml:5: `batch` and `schedule` exclude each other",
        ),
    ] {
        let errors = spec_of_source(lines).expect_err(lines);
        assert!(errors.contains(expected), "{lines}\n  expected {expected}\n  got      {errors}");
    }
}

#[test]
fn schedules_are_checked() {
    let schedule = |more: &str| format!("  schedule:\n    cron: \"0 6 * * *\"\n    prefix: in/{{today:%F}}/\n{more}");
    let checked = spec_of_source(&schedule("")).expect("a schedule").schedule.expect("a schedule");
    assert_eq!((checked.completeness, checked.revisit), (None, 1));
    assert_eq!(checked.wait_max, std::time::Duration::from_secs(24 * 3600));
    let whole =
        schedule("    time_zone: Europe/Zurich\n    complete_when: { files: 24 }\n    wait_max: 2h\n    revisit: 0");
    let checked = spec_of_source(&whole).expect("a schedule").schedule.expect("a schedule");
    assert_eq!((checked.completeness, checked.revisit), (Some(Completeness::Files(24)), 0));
    for (right, wrong, expected) in [
        ("cron:", "crn:", "p.yaml:5: unknown key `crn`; did you mean `cron`?"),
        ("0 6 * * *", "0 6 * *", "p.yaml:5: `0 6 * *` is no cron expression: write minute, hour"),
        ("0 6 * * *", "0 0 6 * * *", "p.yaml:5: `0 0 6 * * *` is no cron expression: write minute, hour"),
        ("0 6 * * *", "@daily", "p.yaml:5: `@daily` is no cron expression"),
        ("0 6 * * *", "0 25 * * *", "p.yaml:5: `0 25 * * *` is no cron expression: "),
        ("0 6 * * *", "0 6 31 2 *", "p.yaml:5: `0 6 31 2 *` never occurs"),
        ("today", "todya", "p.yaml:6: unknown period `todya`; did you mean `today`?"),
        ("{today:%F}/", "{today:%F}", "p.yaml:6: `prefix` is a folder: end it in `/`"),
        ("in/{", "/in/{", "p.yaml:6: `/in/{today:%F}/` begins with `/`"),
        ("in/{", "out/{", "p.yaml:6: `match` `in/**/*.csv` fits no key below `out/{today:%F}/`"),
        ("    revisit: 1", "    revisit: 101", "p.yaml:7: `revisit` is at most 100, not 101"),
        ("    revisit: 1", "    wait_max: 31days", "p.yaml:7: `wait_max` is from 0s to 30days, not 31days"),
        (
            "    revisit: 1",
            "    time_zone: Europe/Zuerich",
            "p.yaml:7: unknown time zone `Europe/Zuerich`; did you mean `Europe/Zurich`?",
        ),
        ("    revisit: 1", "    time_zone: Swiss time", "unknown time zone `Swiss time`; write a name such as"),
        (
            "    revisit: 1",
            "    complete_when: {}",
            "p.yaml:7: `complete_when` takes one of `object`, `manifest` and `files`",
        ),
        ("    revisit: 1", "    complete_when: { object: a, files: 1 }", "p.yaml:7: `complete_when` takes one of"),
        ("    revisit: 1", "    complete_when: { files: 0 }", "p.yaml:7: `files` is at least 1"),
        ("    revisit: 1", "    complete_when: { object: a/ }", "p.yaml:7: `a/` is no name of an object"),
        ("    revisit: 1", "    complete_when: { fiels: 1 }", "p.yaml:7: unknown key `fiels`; did you mean `files`?"),
    ] {
        let text = schedule("    revisit: 1");
        assert!(text.contains(right), "{right}");
        let errors = spec_of_source(&text.replacen(right, wrong, 1)).expect_err(wrong);
        assert!(errors.contains(expected), "{wrong}\n  expected {expected}\n  got      {errors}");
    }
    let errors = spec_of_source("  schedule:").expect_err("nothing under it");
    assert!(errors.starts_with("p.yaml:"), "{errors}");
}

#[test]
fn what_tells_of_completeness_is_known_by_its_key() {
    let lines = "  schedule: { cron: \"0 6 * * *\", prefix: \"in/{today:%F}/\", complete_when: { object: _SUCCESS } }";
    let schedule = spec_of_source(lines).expect("a schedule").schedule.expect("a schedule");
    for (key, is_sign) in [
        ("in/2026-11-21/_SUCCESS", true),
        ("in/_SUCCESS", true),
        ("in/2026-11-21/a_SUCCESS", false),
        ("in/2026-11-21/_SUCCESS.csv", false),
        ("out/2026-11-21/_SUCCESS", false),
    ] {
        assert_eq!(schedule.is_sign(key), is_sign, "{key}");
    }
}

#[test]
fn the_json_schema_knows_batches_and_schedules() {
    let definitions = &stepwell_pipeline::spec::json_schema()["$defs"];
    assert_eq!(definitions["BatchSpec"]["properties"]["max_files"]["maximum"], 10_000);
    assert_eq!(definitions["BatchSpec"]["additionalProperties"], false);
    assert_eq!(definitions["ScheduleSpec"]["required"], serde_json::json!(["cron", "prefix"]));
    assert_eq!(definitions["CompleteWhen"]["additionalProperties"], false);
}

#[test]
fn what_a_pipeline_expects_is_a_duration() {
    let spec = |every: &str| {
        let text = format!(
            "pipeline: p\nsource:\n  match: \"in/*.csv\"\n  expect_every: {every}\nschema: [{{ name: id, type: int8 }}]\n\
             load: {{ target: parquet, path: lake/p/ }}\n"
        );
        CheckedSpec::parse("p.yaml", &text)
    };
    let hours = |hours: u64| Some(std::time::Duration::from_secs(hours * 3600));
    for (every, expected) in [("1day", hours(24)), ("1d", hours(24)), ("\"1day 2h\"", hours(26)), ("90m", None)] {
        let expected = expected.or(Some(std::time::Duration::from_secs(5400)));
        assert_eq!(spec(every).expect("valid").expect_every, expected, "{every}");
    }
    for (every, finding) in [
        ("daily", "p.yaml:4: `daily` is no duration: write `5m`, `2h` or `1day`"),
        ("1m", "p.yaml:4: `expect_every` is from 5m to 1year, not 1m"),
    ] {
        assert_eq!(spec(every).expect_err("refused").to_string(), finding);
    }
}
