#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use stepwell_pipeline::spec::CheckedSpec;

use super::{SAMPLE_BYTES_MAX, Sample, infer};

/// The spec of a whole file, which must be valid.
fn spec(name: &str, bytes: &[u8]) -> String {
    let sample = Sample { name, head: bytes, entry: None, is_whole: bytes.len() < SAMPLE_BYTES_MAX, later: &[] };
    let text = infer(&sample).unwrap_or_else(|message| panic!("{name}: {message}"));
    let checked = CheckedSpec::parse("p.yaml", &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    crate::check(&checked).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    text
}

fn assert_has(text: &str, fragments: &[&str]) {
    for fragment in fragments {
        assert!(text.contains(fragment), "{fragment}\nis not in\n{text}");
    }
}

#[test]
fn the_flights_are_understood() {
    let text = spec("flights.csv", include_bytes!("../../../examples/flights/flights.csv"));
    assert_has(
        &text,
        &[
            "pipeline: flights\n",
            "  match: \"flights/*.csv*\"\n",
            "csv: { delimiter: \",\", nulls: [\"\", NA] }",
            "{ name: year, type: int16, required: true }  # 2013 to 2013",
            "{ name: month, type: int8, required: true }  # 1 to 12",
            "{ name: dep_time, type: int16 }  # ",
            "values are \"NA\"",
            "{ name: carrier, type: string, required: true }",
            "{ name: tailnum, type: string }  # 40 of 5,613 values are \"NA\"",
            "{ name: time_hour, type: timestamp, format: \"%Y-%m-%dT%H:%M:%SZ\", zone: UTC, required: true }",
            "  partition_by: [year, month]",
        ],
    );
}

#[test]
fn european_csv_keeps_what_it_cannot_read_as_text() {
    let text =
        spec("Umsatz 2024.csv", "Datum;Betrag;PLZ\n31.12.2024;1.234,50;01067\n01.01.2025;-7,00;80331\n".as_bytes());
    assert_has(
        &text,
        &[
            "pipeline: umsatz\n",
            "delimiter: \";\"",
            "{ name: Datum, type: date, format: \"%d.%m.%Y\" }",
            "{ name: Betrag, type: string }  # numbers with a decimal comma",
            "{ name: PLZ, type: string }  # digits with leading zeros",
            "partition_by: [year, month]",
        ],
    );
}

#[test]
fn tabs_pipes_quotes_and_preambles_are_seen() {
    assert_has(
        &spec("a.tsv", b"id\tname\n1\tx\n2\ty\n"),
        &["format: tsv", "delimiter: \"\\t\"", "{ name: id, type: int8 }"],
    );
    assert_has(&spec("a.txt", b"id|name\n1|x\n2|y\n"), &["format: csv", "delimiter: \"|\"", "match: \"a/*\""]);
    assert_has(&spec("a.csv", b"id,name\n1,'x,y'\n2,'z'\n"), &["quote: \"'\"", "{ name: name, type: string }"]);
    let preamble = b"Report of the day\nmade by hand\n\nid,amount\n1,2.50\n2,13.75\n3,0.10\n";
    assert_has(&spec("a.csv", preamble), &["skip_lines: 3", "{ name: amount, type: \"decimal(7,2)\" }"]);
    assert_has(&spec("a.csv", b"# by hand\nid,b\n1,2\n# end\n2,3\n"), &["comment: \"#\"", "{ name: id, type: int8 }"]);
    assert_has(&spec("a.csv", b"id,b\n 1, x\n 2, y\n"), &["trim: true", "{ name: id, type: int8 }"]);
    assert_has(&spec("a.csv", b"id,note\n1,\"two\nlines, one field\"\n2,x\n"), &["# A first spec, from all 2 records"]);
}

#[test]
fn a_file_without_header_has_numbered_columns() {
    let text = spec("a.csv", b"1,2020-01-01,x\n2,2020-01-02,y\n");
    assert_has(&text, &["header: false", "{ name: column_1, type: int8 }", "{ name: column_2, type: date }"]);
}

#[test]
fn encodings_are_told() {
    assert_has(&spec("a.csv", b"name,n\nJos\xe9,1\n"), &["encoding: windows-1252  # not UTF-8"]);
    let utf16: Vec<u8> = "\u{feff}name,v\nJosé,1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_has(
        &spec("a.csv", &utf16),
        &["encoding: utf-16le", "{ name: name, type: string }", "{ name: v, type: int8 }"],
    );
    assert_has(&spec("a.csv", "\u{feff}name,v\nJosé,1\n".as_bytes()), &["{ name: name, type: string }"]);
}

#[test]
fn dates_of_either_order_are_told_apart_or_remarked() {
    assert_has(&spec("a.csv", b"d,n\n03/04/2020,1\n25/12/2020,2\n"), &["type: date, format: \"%d/%m/%Y\" }\n"]);
    assert_has(&spec("a.csv", b"d,n\n03/04/2020,1\n12/25/2020,2\n"), &["type: date, format: \"%m/%d/%Y\" }\n"]);
    assert_has(&spec("a.csv", b"d,n\n03/04/2020,1\n05/06/2020,2\n"), &["# ambiguous: no value tells day from month"]);
    assert_has(&spec("a.csv", b"t,n\n12/25/2020 10:00,1\n"), &["type: timestamp, format: \"%m/%d/%Y %H:%M\""]);
    assert_has(&spec("a.csv", b"t,n\n2020-01-01 10:00:00.5,1\n"), &["name: t, type: timestamp"]);
    assert_has(&spec("a.csv", b"t,n\n2020-01-01T10:00:00+02:00,1\n"), &["format: \"%Y-%m-%dT%H:%M:%S%.f%:z\""]);
    assert_has(&spec("a.csv", b"created_at,n\n1577836800,1\n"), &["type: timestamp, format: epoch_s }"]);
    assert_has(&spec("a.csv", b"created_at,n\n1577836800000,1\n"), &["type: timestamp, format: epoch_ms }"]);
    assert_has(&spec("a.csv", b"t,n\n10:15,1\n"), &["name: t, type: time, format: \"%H:%M\""]);
}

#[test]
fn numbers_and_booleans_have_narrow_types() {
    let text =
        spec("a.csv", b"big,huge,f,yes,flag,q\n4000000000,18446744073709551615,0.5,Yes,true,Y\n1,2,1e-3,No,false,N\n");
    assert_has(
        &text,
        &[
            "{ name: big, type: int64 }",
            "{ name: huge, type: uint64 }",
            "{ name: f, type: float64 }",
            "type: boolean, true: [\"Yes\"], false: [\"No\"] }",
            "{ name: flag, type: boolean }",
            "{ name: q, type: boolean, true: [\"Y\"], false: [\"N\"] }",
        ],
    );
}

#[test]
fn integers_beyond_every_type_are_codes() {
    let text = spec("a.csv", b"x,w\n-170141183460469231731687303715884105728,18446744073709551616\n1,2\n");
    assert_has(&text, &["{ name: x, type: string }", "{ name: w, type: \"decimal(38,0)\" }"]);
}

#[test]
fn nulls_count_where_the_other_values_are_typed() {
    let text = spec("a.csv", b"n,country,x\n1,NA,\\N\n-,DE,3\nNULL,FR,4\n");
    assert_has(
        &text,
        &[
            "nulls: [\"\", \"-\", \"NULL\", \"\\\\N\"]",
            "1 of 3 values are \"-\"",
            "{ name: country, type: string }  # perhaps null: 1 × \"NA\"",
        ],
    );
}

#[test]
fn json_is_flattened_by_path() {
    let lines = concat!(
        r#"{"id": 1, "user": {"name": "a", "address": {"city": "x"}}, "tags": ["p", "q"], "at": "2020-01-01T10:00:00Z"}"#,
        "\n",
        r#"{"id": 300, "user": {"name": null, "address": {"city": "y"}}, "tags": [], "ok": true, "mixed": [{"a": 1}]}"#,
        "\n",
        r#"{"id": 2, "user": {"na"#,
    );
    let text = spec("events.ndjson.gz", lines.as_bytes());
    assert_has(
        &text,
        &[
            "format: ndjson",
            "match: \"events/*.ndjson*\"",
            "{ name: id, type: int16 }",
            "{ name: user_address_city, type: string, path: user.address.city }",
            "{ name: user_name, type: string, path: user.name }  # 1 of 2 are null or absent",
            "{ name: tags, type: \"list<string>\" }",
            "{ name: mixed, type: string }  # kept as JSON text",
            "zone: UTC",
        ],
    );
    let text = spec("a.json", br#"{"meta": 1, "data": {"items": [{"a": "007"}, {"a": "8"}]}}"#);
    assert_has(&text, &["format: json", "json: { records: data.items }", "{ name: a, type: string }"]);
    assert_has(&spec("a.json", br#"[{"a": 1.5}, {"a": 2}]"#), &["{ name: a, type: float64 }"]);
}

#[test]
fn later_pieces_widen_the_types() {
    let sample = Sample {
        name: "a.csv",
        entry: None,
        head: b"id,v\n1,2\n3,4\n5,",
        is_whole: false,
        later: &[b"7,8\n70000,x\n9"],
    };
    let text = infer(&sample).expect("a spec");
    assert_has(&text, &["{ name: id, type: int32 }", "{ name: v, type: string }"]);
}

#[test]
fn what_cannot_be_sampled_is_told() {
    let cases: &[(&[u8], &str)] =
        &[(b"", "the file is empty"), (b"a,b\n", "no records"), (b"\x00\x01\x02\x00\x03", "not text")];
    for (bytes, expected) in cases {
        let message =
            infer(&Sample { name: "a", entry: None, head: bytes, is_whole: true, later: &[] }).expect_err(expected);
        assert!(message.contains(expected), "{message}");
    }
}

/// Found by fuzzing.
#[test]
fn a_member_without_a_name_is_left_out() {
    let text = spec("a.ndjson", b"{\"\": 1, \"id\": 2}\n{\"id\": 3}\n");
    assert_has(&text, &["name: id"]);
    assert!(!text.contains("unnamed"), "{text}");
}
