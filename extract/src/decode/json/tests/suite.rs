use serde::Deserialize;
use stepwell_pipeline::{ErrorKind, reject::RejectCode, spec::UnknownColumns};

use super::{super::Shape, Decoded, decode, document};

#[derive(Deserialize)]
struct Case {
    name: String,
    valid: bool,
    text: Option<String>,
    repeat: Option<usize>,
    hex: Option<String>,
}

impl Case {
    fn input(&self) -> Vec<u8> {
        if let Some(hex) = &self.hex {
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
            return (0..hex.len()).step_by(2).map(byte).collect();
        }
        self.text.as_ref().expect("a case has text or hex").repeat(self.repeat.unwrap_or(1)).into_bytes()
    }
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> = include_str!("../../../../tests/json_test_suite/cases.ndjson")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a case"))
        .collect();
    assert_eq!(cases.len(), 318);
    cases
}

fn is_bad_record(record: &Decoded) -> bool {
    matches!(record.code(), Some(RejectCode::Malformed | RejectCode::InvalidEncoding))
}

#[test]
fn as_a_member_of_an_ndjson_record() {
    for case in cases() {
        let mut line = [b"{\"v\":", case.input().as_slice(), b"}"].concat();
        if case.valid || line.iter().filter(|byte| **byte == b'\n').count() == usize::from(line.ends_with(b"\n}")) {
            line.retain(|byte| *byte != b'\n');
        } else if line.contains(&b'\n') {
            continue;
        }
        for path in ["v", "v.x", "v.0", "none"] {
            let text = [b"{}\n", line.as_slice(), b"\n{\"v\":\"x\"}\n"].concat();
            let records = decode(Shape::Lines, &[path], UnknownColumns::Ignore, &text).expect("readable");
            assert_eq!(records.len(), 3, "{}", case.name);
            assert_eq!(records[1].fault.is_none(), case.valid, "{}: {:?}", case.name, records[1]);
            assert!(case.valid || is_bad_record(&records[1]), "{}", case.name);
            assert_eq!(records[1].record, line, "{}", case.name);
            assert_eq!(records[2].fault, None, "{}", case.name);
        }
    }
}

#[test]
fn as_a_member_of_a_record_of_a_document() {
    for case in cases() {
        let record = [b"{\"v\":", case.input().as_slice(), b"}"].concat();
        let text = [b"[", record.as_slice(), b"]"].concat();
        match decode(document(""), &["v"], UnknownColumns::Ignore, &text) {
            Ok(records) if case.valid => {
                assert_eq!((records.len(), &records[0].fault), (1, &None), "{}", case.name);
                assert_eq!(records[0].record, record, "{}", case.name);
            }
            Ok(records) => assert!(records.iter().any(is_bad_record), "{}: {records:?}", case.name),
            Err((kind, message)) => {
                assert_eq!(kind, ErrorKind::UnreadableSource);
                assert!(!case.valid, "{}: {message}", case.name);
            }
        }
    }
}

#[test]
fn as_a_whole_text() {
    for case in cases() {
        let input = case.input();
        let as_document = decode(document(""), &["a"], UnknownColumns::Ignore, &input);
        let accepted = as_document.as_ref().is_ok_and(|records| !records.iter().any(is_bad_record));
        let is_table = serde_json::from_slice::<Vec<serde_json::Map<String, serde_json::Value>>>(&input).is_ok()
            || serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&input).is_ok();
        assert_eq!(accepted, case.valid && is_table, "{}: {as_document:?}", case.name);

        let as_lines = decode(Shape::Lines, &["a"], UnknownColumns::Ignore, &input).expect("readable");
        let accepted = as_lines.iter().any(|record| record.fault.is_none());
        let has_object_line = input
            .split(|byte| *byte == b'\n')
            .any(|line| serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(line).is_ok());
        assert_eq!(accepted, has_object_line, "{}", case.name);
    }
}
