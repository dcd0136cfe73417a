use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::{Map, Value};
use stepwell_pipeline::{ErrorKind, spec::UnknownColumns};

use super::{super::Shape, Decoded, decode, decode_pieces, document};
use crate::decode::json::write_string;

const PATHS: &[&str] =
    &["a", "b.a", "b", "c.0.a", "b.c.b", "c", "a", "a key that is longer than thirty-two bytes", "é\"\n"];

/// A value as it may be written: with members in any order, also twice.
#[derive(Clone, Debug)]
enum Json {
    Null,
    Boolean(bool),
    Number(String),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned),
        2 => prop::sample::select(vec!["d", "a key that is longer than thirty-two bytes", "é\"\n"]).prop_map(str::to_owned),
        1 => "[a-d]{0,20}",
    ]
}

fn object(value: impl Strategy<Value = Json>) -> impl Strategy<Value = Json> {
    vec((name(), value), 0..6).prop_map(Json::Object)
}

fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Boolean),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?".prop_map(Json::Number),
        any::<String>().prop_map(Json::String),
        "[a-z \"\\\\]{0,80}".prop_map(Json::String),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| prop_oneof![vec(inner.clone(), 0..5).prop_map(Json::Array), object(inner)])
}

fn record() -> impl Strategy<Value = Json> {
    object(value())
}

/// How a value is written: what stands around punctuation, and whether strings are written in escapes.
#[derive(Clone, Debug)]
struct Style {
    after_open: &'static str,
    before_colon: &'static str,
    after_colon: &'static str,
    after_comma: &'static str,
    escaped: bool,
}

fn style() -> impl Strategy<Value = Style> {
    let space = || prop::sample::select(vec!["", "", " ", "\t \r", "                                  "]);
    (space(), space(), space(), space(), any::<bool>()).prop_map(
        |(after_open, before_colon, after_colon, after_comma, escaped)| Style {
            after_open,
            before_colon,
            after_colon,
            after_comma,
            escaped,
        },
    )
}

impl Json {
    fn write(&self, out: &mut String, style: &Style) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Boolean(boolean) => out.push_str(&boolean.to_string()),
            Self::Number(number) => out.push_str(number),
            Self::String(string) => write_text(out, string, style.escaped),
            Self::Array(items) => {
                out.push('[');
                out.push_str(style.after_open);
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                        out.push_str(style.after_comma);
                    }
                    item.write(out, style);
                    out.push_str(style.before_colon);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                out.push_str(style.after_open);
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                        out.push_str(style.after_comma);
                    }
                    write_text(out, name, style.escaped);
                    out.push_str(style.before_colon);
                    out.push(':');
                    out.push_str(style.after_colon);
                    value.write(out, style);
                }
                out.push('}');
            }
        }
    }

    fn get(&self, path: &[&str]) -> Option<&Json> {
        let Some((step, rest)) = path.split_first() else { return Some(self) };
        let inner = match self {
            Self::Object(members) => members.iter().rev().find(|(name, _)| name == step).map(|(_, value)| value),
            Self::Array(items) => step.parse().ok().and_then(|index: usize| items.get(index)),
            _ => None,
        };
        inner?.get(rest)
    }
}

fn write_text(out: &mut String, text: &str, escaped: bool) {
    if escaped {
        let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
        out.push_str(&format!("\"{units}\""));
    } else {
        let mut string = Vec::new();
        write_string(&mut string, text.as_bytes());
        out.push_str(std::str::from_utf8(&string).expect("UTF-8"));
    }
}

fn written(record: &Json, style: &Style) -> String {
    let mut out = String::new();
    record.write(&mut out, style);
    out
}

/// Whether serde_json takes a text for an object; None if that depends on the range of its numbers.
fn is_object(text: &[u8]) -> Option<bool> {
    match serde_json::from_slice::<Map<String, Value>>(text) {
        Ok(_) => Some(true),
        Err(error) if error.to_string().starts_with("number out of range") => None,
        Err(_) => Some(false),
    }
}

/// Replaces, inserts or removes a few bytes.
fn mangled(mut text: Vec<u8>, changes: &[(Index, u8, u8)]) -> Vec<u8> {
    for (index, kind, byte) in changes {
        let at = index.index(text.len().max(1)).min(text.len());
        match kind % 3 {
            0 if at < text.len() => text[at] = *byte,
            1 if at < text.len() => drop(text.remove(at)),
            _ => text.insert(at, *byte),
        }
    }
    text
}

fn changes(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<(Index, u8, u8)>> {
    let byte = prop_oneof![prop::sample::select(b"{}[],:\"\\ \t0123.eE+-untrfalse\x01\xff".to_vec()), any::<u8>()];
    vec((any::<Index>(), any::<u8>(), byte), count)
}

fn cut<'a>(text: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    ends.sort_unstable();
    let mut start = 0;
    let mut pieces = Vec::new();
    for end in ends.into_iter().chain([text.len()]) {
        pieces.push(&text[start..end]);
        start = end;
    }
    pieces
}

fn check_cells(decoded: &Decoded, record: &Json, text: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(&decoded.fault, &None);
    prop_assert_eq!(&decoded.record, text.as_bytes());
    for (cell, path) in decoded.cells.iter().zip(PATHS) {
        let steps: Vec<&str> = path.split('.').collect();
        match (record.get(&steps), cell) {
            (None | Some(Json::Null), None) => {}
            (Some(Json::String(expected)), Some(cell)) => prop_assert_eq!(cell, expected),
            (Some(Json::Number(expected)), Some(cell)) => prop_assert_eq!(cell, expected),
            (Some(Json::Boolean(expected)), Some(cell)) => prop_assert_eq!(cell, &expected.to_string()),
            (Some(expected @ (Json::Array(_) | Json::Object(_))), Some(cell)) => {
                let plain =
                    Style { after_open: "", before_colon: "", after_colon: "", after_comma: "", escaped: false };
                let expected: Value = serde_json::from_str(&written(expected, &plain)).expect("JSON");
                prop_assert_eq!(serde_json::from_str::<Value>(cell).expect("a cell is JSON"), expected);
            }
            (expected, cell) => prop_assert!(false, "{}: {:?} instead of {:?}", path, cell, expected),
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn cells_are_what_the_record_holds(records in vec((record(), style()), 1..8), one_style in any::<bool>()) {
        let style = |index: usize| if one_style { &records[0].1 } else { &records[index].1 };
        let texts: Vec<String> =
            records.iter().enumerate().map(|(index, (record, _))| written(record, style(index))).collect();
        for text in &texts {
            prop_assert_eq!(is_object(text.as_bytes()), Some(true));
        }
        let as_lines = decode(Shape::Lines, PATHS, UnknownColumns::Keep, texts.join("\n").as_bytes());
        let as_document = format!("{{\"n\":[0],\"x\":{{\"y\" : [ {} ]\n}}}}", texts.join(" ,\n"));
        let as_document = decode(document("x.y"), PATHS, UnknownColumns::Keep, as_document.as_bytes());
        for decoded in [as_lines.expect("readable"), as_document.expect("readable")] {
            prop_assert_eq!(decoded.len(), records.len());
            for (index, decoded) in decoded.iter().enumerate() {
                check_cells(decoded, &records[index].0, &texts[index])?;
                let Json::Object(members) = &records[index].0 else { unreachable!("records are objects") };
                let is_declared = |name: &str| PATHS.iter().any(|path| path.split('.').next() == Some(name));
                let undeclared: Vec<_> = members.iter().filter(|(name, _)| !is_declared(name)).cloned().collect();
                let extra = decoded.extra.as_ref().map(|extra| serde_json::from_str::<Value>(extra).expect("JSON"));
                let plain = Style { after_open: "", before_colon: "", after_colon: "", after_comma: "", escaped: false };
                let expected = (!undeclared.is_empty()).then(|| written(&Json::Object(undeclared), &plain));
                prop_assert_eq!(extra, expected.map(|text| serde_json::from_str::<Value>(&text).expect("JSON")));
            }
        }
    }

    #[test]
    fn a_mangled_line_is_accepted_if_and_only_if_it_is_an_object(
        before in record(), record in record(), style in style(), changes in changes(0..4),
    ) {
        let mut text = mangled(written(&record, &style).into_bytes(), &changes);
        text.retain(|byte| !matches!(byte, b'\n' | 0x1E));
        let expected = is_object(&text);
        let trimmed = text.trim_ascii();
        prop_assume!(expected.is_some() && !trimmed.is_empty());
        let lines = [written(&before, &style).as_bytes(), b"\n", &text, b"\n{\"a\":1}"].concat();
        for (path, unknown) in [("a", UnknownColumns::Ignore), ("b.c.b", UnknownColumns::Ignore), ("c.0", UnknownColumns::Keep)] {
            let decoded = decode(Shape::Lines, &[path], unknown, &lines).expect("readable");
            prop_assert_eq!(decoded.len(), 3);
            prop_assert_eq!(decoded[0].fault.is_none() && decoded[2].fault.is_none(), true);
            prop_assert_eq!(Some(decoded[1].fault.is_none()), expected, "{:?}", decoded[1]);
        }
    }

    #[test]
    fn any_pieces_give_the_same_records(
        records in vec((record(), style(), changes(0..2)), 0..6), cuts in vec(any::<Index>(), 0..12), restart in any::<bool>(),
    ) {
        let texts: Vec<Vec<u8>> =
            records.iter().map(|(record, style, changes)| mangled(written(record, style).into_bytes(), changes)).collect();
        let lines = texts.join(&b'\n');
        let array = [b"{\"n\":12,\"x\":\"\\u0079\",\"b\":[", texts.join(&b',').as_slice(), b"],\"c\":[{\"d\":true}]}"].concat();
        for (shape, text) in [(Shape::Lines, lines), (document("b"), array)] {
            let whole = decode(shape.clone(), PATHS, UnknownColumns::Keep, &text);
            let pieces = decode_pieces(shape.clone(), PATHS, UnknownColumns::Keep, &cut(&text, &cuts), restart);
            prop_assert_eq!(&pieces, &whole);
            let every_byte: Vec<&[u8]> = text.chunks(1).collect();
            let bytes = decode_pieces(shape, PATHS, UnknownColumns::Keep, &every_byte, restart);
            prop_assert_eq!(&bytes, &whole);
        }
    }

    #[test]
    fn a_document_is_accepted_if_and_only_if_it_is_an_array_of_objects(
        records in vec(record(), 0..4), style in style(), changes in changes(0..4),
    ) {
        let text = mangled(written(&Json::Array(records), &style).into_bytes(), &changes);
        let expected = match serde_json::from_slice::<Vec<Map<String, Value>>>(&text) {
            Ok(records) => Some(records.len()),
            Err(error) if error.to_string().starts_with("number out of range") => return Ok(()),
            Err(_) if is_object(&text) != Some(false) => return Ok(()),
            Err(_) => None,
        };
        let found = match decode(document(""), PATHS, UnknownColumns::Ignore, &text) {
            Ok(records) if records.iter().all(|record| record.fault.is_none()) => Some(records.len()),
            Ok(_) => None,
            Err((kind, _)) => {
                prop_assert_eq!(kind, ErrorKind::UnreadableSource);
                None
            }
        };
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn nothing_of_a_masked_value_is_left(record in record(), style in style(), changes in changes(0..2)) {
        let secret = "q0q0q0";
        let Json::Object(mut members) = record else { unreachable!("records are objects") };
        members.retain(|(name, _)| name != "secret");
        for at in [members.len(), 0] {
            let value = Json::Array(vec![Json::String(secret.to_owned()), Json::Null]);
            members.insert(at, ("secret".to_owned(), value));
        }
        let text = mangled(written(&Json::Object(members), &Style { escaped: false, ..style }).into_bytes(), &changes);
        let path = ["secret".to_owned()];
        let masked = super::super::mask(&text, &[path.as_slice()]);
        prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&masked).is_ok());
        // A mangled key is another key.
        let keys = text.windows(8).filter(|window| window == b"\"secret\"").count();
        if keys == 2 {
            prop_assert!(!masked.windows(secret.len()).any(|window| window == secret.as_bytes()));
        }
    }
}
