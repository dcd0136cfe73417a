//! What is asked of columns.

use stepwell_pipeline::spec::{ColumnType, Tolerance};

use super::spec;

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
fn bounds_may_be_equal_and_texts_are_not_compared_as_numbers() {
    for column in [
        "type: int8, min: 2, max: 2",
        "type: \"decimal(5,2)\", min: 2.0, max: 2",
        "type: string, min_length: 2, max_length: 2",
        "type: string, min: 10, max: 9",
    ] {
        spec("csv", "", column, "", "").expect(column);
    }
}

#[test]
fn the_time_of_day_in_a_date_need_not_be_whole() {
    for format in ["%Y-%m-%d %H", "%Y-%m-%dT%H:%M:%S"] {
        let column = format!("type: date, format: \"{format}\"");
        let spec = spec("csv", "", &column, "", "").expect(format);
        assert_eq!(spec.columns[0].column_type, ColumnType::Date(format.to_owned()));
    }
}

#[test]
fn null_is_spelt_as_the_section_for_the_format_says() {
    for (extension, source, nulls) in [
        ("csv", "csv: { nulls: [c] }", vec!["c"]),
        ("csv", "", vec![""]),
        ("ndjson", "json: { nulls: [j] }", vec!["j"]),
        ("ndjson", "", vec![]),
        // Where the format is not known beforehand, the section that is there tells it.
        ("x", "", vec![""]),
        ("x", "csv: { nulls: [c] }", vec!["c"]),
        ("x", "json: { nulls: [j] }", vec!["j"]),
        ("x", "csv: { nulls: [c] }, json: { nulls: [j] }", vec!["c"]),
    ] {
        let spec = spec(extension, source, "type: string", "", "").expect(source);
        assert_eq!(spec.columns[0].nulls, nulls, "{extension} {source}");
    }
}
