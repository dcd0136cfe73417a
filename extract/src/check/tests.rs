#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int16Array, Int64Array, StringArray,
        TimestampMicrosecondArray, UInt64Array,
    },
    datatypes::DataType,
};
use stepwell_pipeline::spec::CheckedSpec;

use super::{Condition, check};

const SPEC: &str = "pipeline: p\nsource: { match: \"in/*.ndjson\"ENCODING }\nschema:
  - { name: i, type: int16, check: CHECK }
  - { name: j, type: int64 }
  - { name: u, type: uint64 }
  - { name: d, type: \"decimal(12,2)\" }
  - { name: f, type: float64 }
  - { name: s, type: string }
  - { name: b, type: boolean }
  - { name: c, type: boolean }
  - { name: day, type: date }
  - { name: at, type: timestamp, zone: UTC }
  - { name: Odd name, type: string }
  - { name: l, type: list<int8> }
load: { target: parquet, path: lake/p/ }\n";

fn spec(condition: &str, encoding: &str) -> CheckedSpec {
    let condition = serde_json::to_string(condition).expect("a JSON string");
    let text = SPEC.replace("CHECK", &condition).replace("ENCODING", encoding);
    CheckedSpec::parse("p.yaml", &text).expect("a good spec")
}

fn condition(text: &str) -> Result<Condition, String> {
    Ok(Condition::new(&spec(text, "").columns, 0)?.expect("a condition is declared"))
}

const MICROS_2020: i64 = 1_577_836_800_000_000;

/// Three records: of ordinary values, of extremes, and of nulls.
fn array(name: &str) -> ArrayRef {
    match name {
        "i" => Arc::new(Int16Array::from(vec![Some(1), Some(i16::MAX), None])),
        "j" => Arc::new(Int64Array::from(vec![Some(2), Some(i64::MAX), None])),
        "u" => Arc::new(UInt64Array::from(vec![Some(3), Some(u64::MAX), None])),
        "d" => {
            let values = Decimal128Array::from(vec![Some(150), Some(999_999_999_999), None]);
            Arc::new(values.with_precision_and_scale(12, 2).expect("a decimal"))
        }
        "f" => Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::INFINITY), None])),
        "s" => Arc::new(StringArray::from(vec![Some("Ärger"), Some(""), None])),
        "b" => Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        "c" => Arc::new(BooleanArray::from(vec![Some(false), Some(false), None])),
        "day" => Arc::new(Date32Array::from(vec![Some(18_262), Some(0), None])),
        "at" => Arc::new(TimestampMicrosecondArray::from(vec![Some(MICROS_2020), Some(0), None]).with_timezone("UTC")),
        _ => Arc::new(StringArray::from(vec![Some("x"), Some("y"), None])),
    }
}

fn failing(text: &str) -> Vec<u32> {
    let condition = condition(text).unwrap_or_else(|message| panic!("{text}: {message}"));
    let columns = spec(text, "").columns;
    let arrays: Vec<_> = condition.columns().iter().map(|index| array(&columns[*index].name)).collect();
    condition.failing(&arrays)
}

#[test]
fn conditions_fail_for_the_records_that_make_them_false() {
    let cases: &[(&str, &[u32])] = &[
        ("i > 1", &[0]),
        ("i = 1 OR j = 2", &[1]),
        ("NOT i = 1", &[0]),
        ("i <> 1", &[0]),
        ("i IS NULL", &[0, 1]),
        ("i IS NOT NULL", &[2]),
        ("i BETWEEN 0 AND 5", &[1]),
        ("i NOT BETWEEN 0 AND 5", &[0]),
        ("i IN (1, 32767)", &[]),
        ("i IN (7, 8)", &[0, 1]),
        ("i NOT IN (1)", &[0]),
        // A null in the list: what is not in it is unknown.
        ("i IN (1, NULL)", &[]),
        ("i NOT IN (1, NULL)", &[0]),
        ("i = NULL", &[]),
        ("i IS NOT DISTINCT FROM 1", &[1, 2]),
        ("i IS DISTINCT FROM NULL", &[2]),
        ("b", &[1]),
        ("b IS TRUE", &[1, 2]),
        ("b IS NOT FALSE", &[1]),
        ("b IS UNKNOWN", &[0, 1]),
        ("s LIKE 'Ä%'", &[1]),
        ("s NOT LIKE 'Ä_ger'", &[0]),
        ("s ILIKE 'är%'", &[1]),
        ("length(s) = 5", &[1]),
        ("CHAR_LENGTH(s) > 0", &[1]),
        ("lower(s) = 'ärger'", &[1]),
        ("upper(s) = 'ÄRGER'", &[1]),
        ("coalesce(s, 'none') = 'none'", &[0, 1]),
        ("coalesce(i, 0) > 0", &[2]),
        ("abs(-i) = 1", &[1]),
        ("\"Odd name\" = 'x'", &[1]),
        ("CASE WHEN i = 1 THEN s <> '' ELSE i > 1 END", &[]),
        ("CASE i WHEN 1 THEN 'a' ELSE 'b' END = 'a'", &[1, 2]),
        ("day >= DATE '2020-01-01'", &[1]),
        ("day = '2020-01-01'", &[1]),
        ("at = TIMESTAMP '2020-01-01 00:00:00'", &[1]),
        ("at = '2020-01-01T00:00:00'", &[1]),
        ("at >= day", &[]),
        ("at < DATE '2020-01-02'", &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(failing(text), *expected, "{text}");
    }
}

#[test]
fn numbers_are_compared_and_reckoned_exactly() {
    let cases: &[(&str, &[u32])] = &[
        ("d = 1.5", &[1]),
        ("d = 1.50", &[1]),
        ("d < 9999999999.99", &[1]),
        ("d <= 9999999999.99", &[]),
        ("d * 3 = 4.5", &[1]),
        ("d + 0.1 = 1.6", &[1]),
        ("d - i = 0.5", &[1]),
        ("d % 1 = 0.5", &[1]),
        ("i = 1.0", &[1]),
        ("i < 1.5", &[1]),
        // A float is compared with the float nearest to the literal.
        ("f = 0.1", &[1]),
        ("f = 1e-1", &[1]),
        ("u > j", &[]),
        ("u = 18446744073709551615", &[0]),
        ("u + 1 = 18446744073709551616", &[0]),
        ("j = 9223372036854775807", &[0]),
        ("-j > -9223372036854775808", &[]),
        ("i / 2 = 0", &[1]),
        ("i * i > 0", &[]),
        ("-i < 0", &[]),
        ("i = '1'", &[1]),
    ];
    for (text, expected) in cases {
        assert_eq!(failing(text), *expected, "{text}");
    }
}

#[test]
fn what_cannot_be_computed_fails_for_that_record_alone() {
    assert_eq!(failing("j + 1 > 0"), [1]);
    assert_eq!(failing("j * j > 0"), [1]);
    assert_eq!(failing("10 / (i - 1) < 5"), [0]);
    // Whoever guards against it is not rejected, on whichever side the guard stands.
    assert_eq!(failing("i = 1 OR 10 / (i - 1) < 5"), [0_u32; 0]);
    assert_eq!(failing("10 / (i - 1) < 5 OR i = 1"), [0_u32; 0]);
    assert_eq!(failing("CASE WHEN i <> 1 THEN 10 / (i - 1) < 5 ELSE TRUE END"), [0_u32; 0]);
}

#[test]
fn one_overflow_among_many_records_is_found() {
    let condition = condition("j + 1 > 0").expect("a condition");
    let mut values = vec![1_i64; 1000];
    values[0] = -5;
    values[517] = i64::MAX;
    values[999] = i64::MAX;
    assert_eq!(condition.failing(&[Arc::new(Int64Array::from(values))]), [0, 517, 999]);
    assert_eq!(condition.failing(&[Arc::new(Int64Array::from(Vec::<i64>::new()))]), [0_u32; 0]);
}

#[test]
fn logic_has_three_values() {
    let values = [Some(true), Some(false), None];
    let pairs: Vec<_> = values.iter().flat_map(|left| values.iter().map(move |right| (*left, *right))).collect();
    let and = |left: Option<bool>, right: Option<bool>| match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    };
    let or = |left: Option<bool>, right: Option<bool>| match (left, right) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    };
    for (left, right) in pairs {
        let truth = [
            ("b AND c", and(left, right)),
            ("b OR c", or(left, right)),
            ("NOT b OR c AND c", {
                let right = and(right, right);
                or(left.map(|left| !left), right)
            }),
        ];
        let column = |value: Option<bool>| Arc::new(BooleanArray::from(vec![value, value])) as ArrayRef;
        for (text, expected) in truth {
            let arrays = [column(left), column(right)];
            let met = condition(text).expect(text).failing(&arrays).is_empty();
            assert_eq!(met, expected != Some(false), "{text} of {left:?} and {right:?}");
            let unknown = condition(&format!("({text}) IS NULL")).expect(text).failing(&arrays).is_empty();
            assert_eq!(unknown, expected.is_none(), "{text} of {left:?} and {right:?}");
        }
    }
}

#[test]
fn dictionaries_of_strings_are_read_as_strings() {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let strings = arrow::compute::cast(&array("s"), &dictionary).expect("a dictionary");
    assert_eq!(condition("s <> ''").expect("a condition").failing(&[strings]), [1]);
}

#[test]
fn what_is_wrong_with_a_condition_is_told() {
    let deep = format!("i = 1{}", " OR i = 1".repeat(200));
    let cases: &[(&str, &str)] = &[
        ("i >", "no SQL condition:"),
        ("i > 1 foo", "`foo` stands after the end of the condition"),
        ("i > 1; DROP TABLE x", "`;` stands after the end"),
        ("odd_nam = 'x'", "did you mean `\"Odd name\"`?"),
        ("dat = '2020-01-01'", "unknown column `dat`; did you mean `"),
        ("s = \"text\"", "texts are written in single quotes"),
        ("1 = 1", "the condition names no column"),
        ("i", "a condition is true or false, but `i` is int16"),
        ("i AND b", "a condition is true or false, but `i` is int16"),
        ("i = s", "int16 and string do not go together in `i = s`"),
        ("day = 'soon'", "`soon` is no date"),
        ("i = 'x'", "`x` is no int16"),
        ("s + 1 > 0", "`s + 1` needs a number, not a string"),
        ("i LIKE 'x'", "needs a string, not int16"),
        ("length(i) = 1", "needs a string, not int16"),
        ("l = l", "they can be tested with IS NULL only"),
        ("sqrt(i) > 1", "`sqrt(i)` is not supported; supported are"),
        ("i IN (SELECT 1)", "is not supported"),
        ("sum(i) OVER () > 1", "is not supported"),
        ("s || 'x' = 'yx'", "is not supported"),
        (&deep, "nested more than 128 deep"),
    ];
    for (text, expected) in cases {
        let message = condition(text).expect_err(text);
        assert!(message.contains(expected), "{text}\n  expected {expected}\n  got      {message}");
    }
    assert!(condition("l IS NOT NULL").is_ok());
}

#[test]
fn spec_errors_have_file_and_line() {
    let errors = check(&spec("i > o", ", encoding: latin-2")).expect_err("two mistakes").to_string();
    assert!(errors.contains("p.yaml:2: unknown encoding `latin-2`; did you mean `"), "{errors}");
    assert!(errors.contains("p.yaml:4: column `i`: `check`: unknown column `o`"), "{errors}");
    for encoding in ["utf-16le", "latin1", "windows-1252", "UTF-8", "shift_jis"] {
        check(&spec("i > 0", &format!(", encoding: {encoding}"))).expect(encoding);
    }
    assert!(check(&spec("i > 0", ", encoding: iso-2022-kr")).is_err());
}
