//! The cases of csv-spectrum, each with the JSON that it must give.

#![allow(clippy::expect_used, reason = "tests fail by panicking")]

mod support;

use std::path::Path;

use serde_json::{Map, Value};
use stepwell_tokenise::{Dialect, Index};
use support::{found, tokenisers};

const CASES: [&str; 12] = [
    "comma_in_quotes",
    "empty",
    "empty_crlf",
    "escaped_quotes",
    "json",
    "location_coordinates",
    "newlines",
    "newlines_crlf",
    "quotes_and_newlines",
    "simple",
    "simple_crlf",
    "utf8",
];

#[test]
fn every_case_gives_its_json() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/csv-spectrum");
    let dialect = Dialect::default();
    for case in CASES {
        let text = std::fs::read(folder.join(format!("csvs/{case}.csv"))).expect("the case has a file");
        let json = std::fs::read(folder.join(format!("json/{case}.json"))).expect("the case has an expectation");
        let expected: Value = serde_json::from_slice(&json).expect("the expectation is JSON");
        // One case has one record and gives it without a list.
        let mut expected = if expected.is_array() { expected } else { Value::Array(vec![expected]) };
        if case == "location_coordinates" {
            // The published expectation has another telephone number than the published file.
            assert_eq!(expected[0]["Contact Phone Number"], "1234567890");
            expected[0]["Contact Phone Number"] = "2095257564".into();
        }
        for (name, tokeniser) in tokenisers(&dialect) {
            let records = found(&tokeniser, &text, &[7], &mut Index::new());
            assert!(records.iter().all(|record| record.fault.is_none()), "{case} {name}");
            let values: Vec<_> = records.iter().map(|record| strings(&record.values(&dialect, &text))).collect();
            assert_eq!(objects(&values), expected, "{case} {name}");
        }
    }
}

#[test]
fn no_case_is_left_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/csv-spectrum/csvs");
    assert_eq!(std::fs::read_dir(folder).expect("the folder is there").count(), CASES.len());
}

fn strings(fields: &[Vec<u8>]) -> Vec<String> {
    fields.iter().map(|field| String::from_utf8(field.clone()).expect("the case is UTF-8")).collect()
}

fn objects(records: &[Vec<String>]) -> Value {
    let (header, rows) = records.split_first().expect("the case has a header");
    let object = |row: &Vec<String>| {
        assert_eq!(row.len(), header.len());
        let pairs = header.iter().zip(row).map(|(name, value)| (name.clone(), Value::String(value.clone())));
        Value::Object(pairs.collect::<Map<_, _>>())
    };
    Value::Array(rows.iter().map(object).collect())
}
