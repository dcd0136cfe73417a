//! Nulls, defaults, conditions and personal data.

use RejectCode::{InvalidLength, InvalidValue, NotAllowed, OutOfBounds, PatternMismatch, RequiredMissing};
use hmac::{Hmac, KeyInit, Mac};
use stepwell_pipeline::{ErrorKind, spec::Pii, stage::HashKey};

use super::*;
use crate::column::check;

/// The codes of the bad records, and the kept values of the others.
fn run(column: &Column, block: &Block) -> (Vec<(usize, RejectCode)>, Vec<Option<String>>) {
    let key = HashKey::new(b"key");
    let mut parser = ColumnParser::new(0, column, Some(&key)).expect("a valid column");
    let mut faults = Faults::new(block.len());
    parser.parse(block, &mut faults);
    let array = parser.block_array(block);
    assert_eq!(array.len(), block.len());
    parser.keep(block, &Selection::Some(&faults.good()));
    let codes = faults.iter().map(|(record, fault)| (record, fault.code)).collect();
    (codes, printed(&plain(parser.take(parser.len()))))
}

fn texts(values: &[&str]) -> Vec<Option<String>> {
    values.iter().map(|value| (*value != "∅").then(|| (*value).to_owned())).collect()
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

const LONG: &str = "this spelling of null is of more than sixty-three bytes, for reasons of its own";

#[test]
fn nulls_are_spelt_trimmed_required_and_defaulted() {
    for column_type in [ColumnType::Int(32), ColumnType::String, ColumnType::Decimal { precision: 9, scale: 0 }] {
        let column = Column { nulls: owned(&["", "NA", "\\N", LONG]), trim: true, ..Column::new("c", column_type) };
        let cells = ["1", " 2\t", "", " NA ", "\\N", LONG, "  "];
        assert_eq!(run(&column, &Block::of(&cells)), (vec![], texts(&["1", "2", "∅", "∅", "∅", "∅", "∅"])));
        let required = Column { required: true, ..column.clone() };
        let missing: Vec<_> = (2..7).map(|record| (record, RequiredMissing)).collect();
        assert_eq!(run(&required, &Block::of(&cells)), (missing, texts(&["1", "2"])));
        let defaulted = Column { default: Some("7".into()), ..required };
        assert_eq!(run(&defaulted, &Block::of(&cells)), (vec![], texts(&["1", "2", "7", "7", "7", "7", "7"])));
        let absent = Block::new([Some("1"), None], true);
        assert_eq!(run(&column, &absent), (vec![], texts(&["1", "∅"])));
        assert_eq!(run(&defaulted, &absent), (vec![], texts(&["1", "7"])));
    }
    let literal = Column { nulls: vec![], ..Column::new("c", ColumnType::String) };
    assert_eq!(run(&literal, &Block::of(&["", " a "])), (vec![], texts(&["", " a "])));
    let empty = Column { default: Some(String::new()), ..Column::new("c", ColumnType::String) };
    assert_eq!(run(&empty, &Block::of(&["", "a"])), (vec![], texts(&["", "a"])));
}

#[test]
fn a_spelling_of_null_goes_before_the_value_that_it_could_be() {
    for (column_type, spelling, other) in [
        (ColumnType::Int(32), "999", "998"),
        (ColumnType::Decimal { precision: 9, scale: 2 }, "-9.99", "9.99"),
        (ColumnType::Decimal { precision: 9, scale: 2 }, "9.99", "-9.99"),
        (ColumnType::Date(ColumnType::ISO_DATE.into()), "1900-01-01", "1900-01-02"),
        (ColumnType::Float(64), "nan", "1.5"),
        (ColumnType::String, "null", "nil"),
    ] {
        let column = Column { nulls: owned(&["NA", spelling]), ..Column::new("c", column_type) };
        let block = Block::of(&[other, spelling, "NA", other]);
        assert_eq!(run(&column, &block), (vec![], texts(&[other, "∅", "∅", other])));
    }
}

#[test]
fn a_default_does_not_hide_what_does_not_fit() {
    let column = Column { default: Some("7".into()), ..Column::new("c", ColumnType::Int(8)) };
    assert_eq!(run(&column, &Block::of(&["x", "", "1"])), (vec![(0, InvalidValue)], texts(&["7", "1"])));
}

#[test]
fn values_allowed_are_compared_as_values() {
    let numbers = Column { allowed: owned(&["1", "2"]), ..Column::new("c", ColumnType::Int(8)) };
    assert_eq!(run(&numbers, &Block::of(&["01", "+2", "3", ""])), (vec![(2, NotAllowed)], texts(&["1", "2", "∅"])));
    let zero = Column { allowed: owned(&["0"]), ..Column::new("c", ColumnType::Float(64)) };
    assert_eq!(run(&zero, &Block::of(&["-0.0", "1"])).0, [(1, NotAllowed)]);
    let words = Column { allowed: owned(&["b", "a"]), ..Column::new("c", ColumnType::String) };
    assert_eq!(run(&words, &Block::of(&["a", "B", "", "b"])), (vec![(1, NotAllowed)], texts(&["a", "∅", "b"])));
    let (_, message) = outcome(&words, "c").expect_err("not allowed");
    assert_eq!(message, "the value is not among those allowed: b, a");
}

#[test]
fn bounds_patterns_and_lengths_hold() {
    let bounded =
        Column { min: Some("-1.5".into()), max: Some("10".into()), ..Column::new("c", ColumnType::Float(64)) };
    let block = Block::of(&["-1.5", "10", "-2", "11", "NaN", ""]);
    assert_eq!(run(&bounded, &block).0, [2, 3, 4].map(|record| (record, OutOfBounds)));
    assert_eq!(outcome(&bounded, "11").expect_err("beyond").1, "the value is above the greatest allowed, 10");
    let dated = Column { min: Some("2020-01-01".into()), ..Column::new("c", ColumnType::Date("%Y-%m-%d".into())) };
    assert_eq!(run(&dated, &Block::of(&["2019-12-31", "2020-1-1"])).0, [(0, OutOfBounds)]);
    let word = Column { min: Some("b".into()), max: Some("cz".into()), ..Column::new("c", ColumnType::String) };
    assert_eq!(run(&word, &Block::of(&["a", "b", "cz", "d"])).0, [(0, OutOfBounds), (3, OutOfBounds)]);
    let code = Column { pattern: Some("[A-Z]{2}|x+".into()), ..Column::new("c", ColumnType::String) };
    let block = Block::of(&["AB", "ABC", "xxx", "AB\n", "", "é"]);
    assert_eq!(run(&code, &block).0, [1, 3, 5].map(|record| (record, PatternMismatch)));
    let short = Column { min_length: Some(2), max_length: Some(3), ..Column::new("c", ColumnType::String) };
    let block = Block::of(&["é", "éé", "ééé", "éééé", "", "ab"]);
    assert_eq!(run(&short, &block).0, [(0, InvalidLength), (3, InvalidLength)]);
    assert_eq!(outcome(&short, "a").expect_err("short").1, "the value has 1 characters, fewer than 2");
}

#[test]
fn the_first_fault_of_a_record_wins() {
    let mut faults = Faults::new(4);
    faults.add(2, None, RejectCode::TooFewFields, "the record has too few fields");
    let column = Column { required: true, ..Column::new("c", ColumnType::Int(8)) };
    let block = Block::new([Some("1"), Some("x"), None, Some("")], true);
    let mut parser = parser(&column);
    parser.parse(&block, &mut faults);
    let codes: Vec<_> = faults.iter().map(|(record, fault)| (record, fault.column, fault.code)).collect();
    assert_eq!(codes, [(1, Some(3), InvalidValue), (2, None, RejectCode::TooFewFields), (3, Some(3), RequiredMissing)]);
    assert_eq!((faults.any(), faults.len(), faults.good()), (true, 3, vec![0]));
    faults.reset(2);
    assert_eq!((faults.any(), faults.is_bad(1), faults.good()), (false, false, vec![0, 1]));
}

#[test]
fn personal_data_is_replaced_before_it_is_kept() {
    let block = Block::of(&[" 1 ", "", "x", "1"]);
    let column = |pii| Column { pii: Some(pii), trim: true, ..Column::new("c", ColumnType::Int(8)) };
    let mut hash = Hmac::<sha2::Sha256>::new_from_slice(b"key").expect("any key");
    hash.update(b"1");
    let hash: String = hash.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let bad = vec![(2, InvalidValue)];
    assert_eq!(run(&column(Pii::Hash), &block), (bad.clone(), texts(&[&hash, "∅", &hash])));
    assert_eq!(run(&column(Pii::Redact), &block), (bad.clone(), texts(&["***", "∅", "***"])));
    assert_eq!(run(&column(Pii::Drop), &block), (bad, vec![]));
    let error = ColumnParser::new(0, &column(Pii::Hash), None).err().expect("no key");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("set PII_HASH_KEY"), "{error}");
}

#[test]
fn a_declaration_that_does_not_fit_is_refused() {
    let int = || Column::new("c", ColumnType::Int(8));
    let nested = ColumnType::List(Box::new(ColumnType::Int(8)));
    let cases = [
        (Column { default: Some("x".into()), ..int() }, "`default` `x`: the value is no int8"),
        (Column { min: Some("300".into()), ..int() }, "`min` `300`: the value is beyond int8"),
        (Column { allowed: owned(&["1", "b"]), ..int() }, "`enum` `b`: the value is no int8"),
        (Column { min: Some("3".into()), max: Some("2".into()), ..int() }, "`min` is greater than `max`"),
        (Column { pattern: Some("(".into()), ..int() }, "`pattern`: regex parse error"),
        (Column { min_length: Some(3), max_length: Some(2), ..int() }, "`min_length` is greater than `max_length`"),
        (
            Column { min: Some("1".into()), ..Column::new("c", nested.clone()) },
            "`min` goes with plain values, not with list<int8>",
        ),
        (Column { default: Some("[300]".into()), ..Column::new("c", nested) }, "the value is beyond int8"),
        (
            Column::new("c", timestamp("%Y", Some("Mars/Olympus"))),
            "`Mars/Olympus` is no time zone of the IANA database",
        ),
    ];
    for (column, expected) in cases {
        let wrong = check(&column);
        assert!(wrong.len() == 1 && wrong[0].contains(expected), "expected {expected}\ngot {wrong:?}");
        let error = ColumnParser::new(0, &column, None).err().expect(expected);
        assert_eq!(error.kind(), ErrorKind::InvalidSpec);
    }
    assert_eq!(check(&Column { default: Some("7".into()), ..int() }), Vec::<String>::new());
}

#[test]
fn unique_keys_are_equal_for_equal_values() {
    let keys = |column_type: ColumnType, cells: &[&str]| {
        let block = Block::of(cells);
        let mut parser = parser(&Column::new("c", column_type));
        parser.parse(&block, &mut Faults::new(cells.len()));
        (0..cells.len()).map(|record| parser.unique_key(&block, record)).collect::<Vec<_>>()
    };
    let numbers = keys(ColumnType::Int(16), &["1", "+01", "-1", ""]);
    assert!(numbers[0] == numbers[1] && numbers[1] != numbers[2] && numbers[3].is_none());
    let long = "a text of more than sixteen bytes";
    let words = keys(ColumnType::String, &["a", "a\0", long, long, &long.replace("xt", "st"), ""]);
    assert!(words[2] == words[3] && words[5].is_none());
    let different: std::collections::BTreeSet<_> = [words[0], words[1], words[2], words[4]].into();
    assert_eq!(different.len(), 4);
}
