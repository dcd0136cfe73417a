use std::io::Write;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn spec(source: &str) -> CheckedSpec {
    let text = format!(
        "pipeline: p\nsource: {{ match: 'in/*', {source} }}\nschema:\n  - {{ name: a, type: string }}\n  \
         - {{ name: b, type: string, trim: true }}\nload: {{ target: parquet, path: lake/p/ }}\n"
    );
    CheckedSpec::parse("p.yaml", &text).expect(source)
}

fn object(value: Value) -> Record {
    Record::Object(value.as_object().expect("an object").clone())
}

fn fields(fields: &[(&str, &str)]) -> Record {
    Record::Fields(fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
}

#[test]
fn the_first_record_is_found_wherever_it_is() {
    let a = || object(json!({"a": 1}));
    for (source, key, text, record) in [
        ("", "in/a.ndjson", "\n{\"a\": 1}\n{\"a\": 2}\n", a()),
        ("", "in/a.json", "[{\"a\": 1}, {\"a\": 2}]", a()),
        ("", "in/a.json", "{\"a\": 1}", a()),
        ("", "in/a", "{\"a\": 1}\n{\"a\": 2}", a()),
        ("", "in/a.csv", "{\"a\": 1}\n{\"a\": 2}", a()),
        ("", "in/a.csv", "[ {\"a\": 1}]", a()),
        ("", "in/a.csv", "[id]\n1\n", fields(&[("[id]", "1")])),
        ("json: { records: x.y }", "in/a.json", r#"{"n": [0, {}], "x": {"z": 0, "y": [{"a": 1}, 5]}}"#, a()),
        ("format: ndjson", "in/a.csv", "{\"a\": 1}", a()),
        ("", "in/a.csv", "a,b\n1, 2 \n3,4\n", fields(&[("a", "1"), ("b", "2")])),
        ("", "in/a.csv", "a, c\n 1, 2 \n", fields(&[("a", " 1"), ("c", " 2 ")])),
        ("csv: { trim: true }", "in/a.csv", "a,c\n 1, 2 \n", fields(&[("a", "1"), ("c", "2")])),
        ("", "in/a.csv", "a,b\r\n\"x\"\"y\",\"1\n2\"\r\n", fields(&[("a", "x\"y"), ("b", "1\n2")])),
        ("", "in/a.tsv", "a\tb\n1\t2", fields(&[("a", "1"), ("b", "2")])),
        ("", "in/a", "a\tb\n1\t2", fields(&[("a", "1"), ("b", "2")])),
        ("", "in/a", "a\tb,c\n1\t2,3\n", fields(&[("a\tb", "1\t2"), ("c", "3")])),
        ("", "in/a", "\"a,b,c\"\td\n1\t2\n", fields(&[("a,b,c", "1"), ("d", "2")])),
        ("csv: { header: false }", "in/a.csv", "1,2,3\n", fields(&[("a", "1"), ("b", "2")])),
        (
            "csv: { delimiter: '||', skip_lines: 2, comment: '#' }",
            "in/a.csv",
            "Report\r\n\r\n# by x\na||b\n1||2\n",
            fields(&[("a", "1"), ("b", "2")]),
        ),
        ("csv: { skip_lines: 2 }", "in/a.csv", "Report\r\nof today\r\na\r\n1\r\n", fields(&[("a", "1")])),
        ("csv: { skip_lines: 2 }", "in/a.csv", "Report\nof today\na\n1\n", fields(&[("a", "1")])),
        ("csv: { skip_lines: 2 }", "in/a.csv", "Report\n\na\n1\n", fields(&[("a", "1")])),
        ("csv: { skip_lines: 2 }", "in/a.csv", "Report\r\ra\r1\r", fields(&[("a", "1")])),
        ("", "in/a.csv", "\u{feff}a,b\n1\n", fields(&[("a", "1")])),
    ] {
        assert_eq!(read(&spec(source), key, text.as_bytes(), true), Ok(record), "{source} {text}");
    }
}

#[test]
fn what_is_not_seen_whole_is_no_record_yet() {
    for (source, text, seen_bytes) in [
        ("format: json", "[{\"a\": 1}, {", 9),
        ("format: json", "{\"a\": {\"b\": [1, 2]}}", 20),
        ("format: ndjson", "\n{\"a\": 1}\n{\"a", 9),
        ("format: json, json: { records: x }", "{\"n\": [1, 2], \"x\": [{\"a\": 1}, 2", 28),
        ("format: csv", "a,b\n1,2\n3", 8),
        ("format: csv, csv: { skip_lines: 1 }", "Report\na,b\n1,\"2\n3\"\n4", 18),
    ] {
        let spec = spec(source);
        let least = (1..=text.len()).find(|bytes| read(&spec, "in/a", &text.as_bytes()[..*bytes], false).is_ok());
        assert!(least.is_some_and(|least| least <= seen_bytes + 1), "{text}: {least:?}");
        for bytes in 0..least.unwrap_or_default() {
            let read = read(&spec, "in/a", &text.as_bytes()[..bytes], false);
            assert_eq!(read, Err(Unread::Longer), "{text}: {bytes} bytes");
        }
    }
}

#[test]
fn what_cannot_be_read_says_why() {
    for (source, text, reason) in [
        ("", "PAR1....", "not into Parquet"),
        ("", "Obj\u{1}...", "not into Avro"),
        ("", "PK\u{3}\u{4}...", "not into a zip archive"),
        ("", "BZh91AY&SY...", "not into bzip2 data"),
        ("format: json", "[]", "there is none"),
        ("format: json, json: { records: x.y }", "{\"x\": {}}", "there is none in an array at `x.y`"),
        ("format: json, json: { records: x }", "[{}]", "expected an object with `x`"),
        ("format: ndjson", "5", "expected an object"),
        ("format: json", "[5]", "no JSON object"),
        ("format: ndjson", "{\"a\": ", "EOF"),
        ("format: csv", "a,b\n", "there is none"),
        ("format: csv, csv: { skip_lines: 3 }", "a,b\n", "there is none"),
        ("encoding: martian", "a\n1\n", "`martian` is no encoding"),
    ] {
        let Err(Unread::Unreadable(found)) = read(&spec(source), "in/a", text.as_bytes(), true) else {
            panic!("{source} {text} was read");
        };
        assert!(found.contains(reason), "{found}");
    }
}

/// The text as gzip and as zstd.
fn packed(text: &str) -> [(&'static str, Vec<u8>); 2] {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).expect("compressed");
    [("gzip", gzip.finish().expect("compressed")), ("zstd", zstd::encode_all(text.as_bytes(), 1).expect("compressed"))]
}

#[test]
fn compressed_and_encoded_text_is_read_through() {
    let text = format!("a,b\nü,2\n{}", "3,4\n".repeat(100_000));
    let [(_, gzip), (_, zstd)] = packed(&text);
    let utf16: Vec<u8> = "\u{feff}a,b\nü,2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let latin1 = b"a,b\n\xfc,2\n".to_vec();
    let record = fields(&[("a", "ü"), ("b", "2")]);
    for (source, bytes) in [("", &gzip), ("", &zstd), ("", &utf16), ("encoding: latin1", &latin1)] {
        assert_eq!(read(&spec(source), "in/a.csv", bytes, true).as_ref(), Ok(&record));
    }
    for packed in [gzip, zstd] {
        assert_eq!(read(&spec(""), "in/a.csv", &packed[..packed.len() / 2], false).as_ref(), Ok(&record));
        assert_eq!(read(&spec(""), "in/a.csv", &packed[..8], false), Err(Unread::Longer));
    }
}

#[test]
fn of_damaged_data_the_record_before_the_damage_is_read() {
    let text = format!("a,b\n1,2\n{}", "3,4\n".repeat(100_000));
    for (name, packed) in packed(&text) {
        let half = read(&spec(""), "in/a.csv", &packed[..packed.len() / 2], true);
        assert_eq!(half, Ok(fields(&[("a", "1"), ("b", "2")])), "{name}");
        let Err(Unread::Unreadable(reason)) = read(&spec(""), "in/a.csv", &packed[..8], true) else {
            panic!("{name} was read");
        };
        assert!(reason.starts_with(&format!("{name}: ")), "{reason}");
    }
}

#[test]
fn no_more_is_decompressed_than_is_looked_at() {
    let record = fields(&[("a", "1"), ("b", "2")]);
    for (name, packed) in packed("a,b\n1,2") {
        assert_eq!(read(&spec(""), "in/a.csv", &packed, true).as_ref(), Ok(&record), "{name}");
    }
    let most = PLAIN_BYTES_MAX as usize;
    for bytes in [most, most + 1, 2 * most] {
        for (name, packed) in packed(&format!("a,b\n1,{}", "2".repeat(bytes - 6))) {
            assert_eq!(read(&spec(""), "in/a.csv", &packed, true), Err(Unread::Longer), "{name}, {bytes} bytes");
        }
    }
}

/// Bytes that look like something, and any.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "{", "}", "[", "]", "\"", "a", ":", ",", "1", " ", "\n", "\r", "\t", "||", "#", "\\", "ü", "\u{feff}", "x.y",
        "null",
    ]);
    prop_oneof![
        4 => prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..60),
        1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(|bytes| [b"\x1f\x8b\x08".as_slice(), &bytes].concat()),
        1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(|bytes| [b"\x28\xb5\x2f\xfd".as_slice(), &bytes].concat()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_seen_of_a_record_stays_when_more_is_seen(
        bytes in content(),
        source in prop::sample::select(vec![
            "", "format: json", "format: ndjson", "format: csv", "json: { records: x.y }", "csv: { header: false }",
            "format: csv, csv: { delimiter: '||', escape: '\\', comment: '#', skip_lines: 1 }",
        ]),
        cut in any::<prop::sample::Index>(),
    ) {
        let spec = spec(source);
        let whole = read(&spec, "in/a.csv", &bytes, true);
        let part = read(&spec, "in/a.csv", &bytes[..cut.index(bytes.len() + 1)], false);
        let is_format_declared = source.starts_with("format");
        // Without a declared format, more may show that it is another. An encoding's cut may show a character that is none.
        if is_format_declared && !bytes.starts_with(b"\x1f") && !bytes.starts_with(b"\x28") && let Ok(record) = part {
            prop_assert_eq!(whole, Ok(record));
        }
    }
}
