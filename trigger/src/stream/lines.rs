use memchr::memchr2;
use serde::de::IgnoredAny;

/// What records begin with that the Kinesis Producer Library aggregated (its repository, "aggregation-format.md").
const AGGREGATED: &[u8] = &[0xf3, 0x89, 0x9a, 0xc2];
const GZIP: &[u8] = &[0x1f, 0x8b];

/// The JSON documents of a record, each as one line and otherwise as it came: a record holds one or several, over any
/// number of lines.
///
/// # Errors
/// Why the record cannot be kept.
pub(super) fn lines(data: &[u8]) -> Result<Vec<u8>, String> {
    if data.starts_with(AGGREGATED) {
        let hint = "turn its aggregation off (`AggregationEnabled = false`), or take it apart before";
        return Err(format!("the Kinesis Producer Library aggregated several records into one; {hint}"));
    }
    if data.starts_with(GZIP) {
        return Err("it is compressed with gzip; JSON is expected".to_owned());
    }
    let text = str::from_utf8(data).map_err(|error| format!("it is not UTF-8 from byte {} on", error.valid_up_to()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = Vec::with_capacity(text.len() + 1);
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let mut start = 0;
    while let Some(document) = documents.next() {
        document.map_err(|error| format!("it is not JSON: {error}"))?;
        let end = documents.byte_offset();
        put_on_one_line(text.get(start..end).unwrap_or_default().trim_ascii(), &mut lines);
        lines.push(b'\n');
        start = end;
    }
    if lines.is_empty() { Err("it is empty".to_owned()) } else { Ok(lines) }
}

/// A document without line ends: those that JSON allows are outside strings, where white space means nothing.
fn put_on_one_line(document: &str, line: &mut Vec<u8>) {
    if memchr2(b'\n', b'\r', document.as_bytes()).is_none() {
        line.extend_from_slice(document.as_bytes());
        return;
    }
    let (mut is_text, mut is_escaped) = (false, false);
    for byte in document.bytes() {
        if is_text {
            line.push(byte);
            is_text = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
        } else if !byte.is_ascii_whitespace() {
            line.push(byte);
            is_text = byte == b'"';
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn text(data: &str) -> String {
        String::from_utf8(lines(data.as_bytes()).expect("lines")).expect("UTF-8")
    }

    #[test]
    fn a_document_becomes_a_line_and_keeps_every_digit() {
        for (data, expected) in [
            (r#"{"a": 1}"#, "{\"a\": 1}\n"),
            ("{\"a\": 1}\n", "{\"a\": 1}\n"),
            (
                "\u{feff}{\"a\":\r\n 1.00000000000000000001 ,\n\t\"b\":[ 1e400, -0.0 ]}",
                "{\"a\":1.00000000000000000001,\"b\":[1e400,-0.0]}\n",
            ),
            ("{\n\"a\": \"x \\\" {  \\\\\" ,\n\"b\" : \"\\n \"}", "{\"a\":\"x \\\" {  \\\\\",\"b\":\"\\n \"}\n"),
            ("{\"a\":1}\r\n\r\n{\"a\":2}\n", "{\"a\":1}\n{\"a\":2}\n"),
            ("{\"a\":1}{\"a\":2}", "{\"a\":1}\n{\"a\":2}\n"),
            ("{\"ü\u{2028}\":\n1}", "{\"ü\u{2028}\":1}\n"),
        ] {
            assert_eq!(text(data), expected);
        }
    }

    #[test]
    fn what_is_no_json_is_told() {
        for (data, reason) in [
            (&b""[..], "it is empty"),
            (b" \n", "it is empty"),
            (b"Hello, this is a test.", "it is not JSON: expected value at line 1 column 1"),
            (b"{\"a\": 1} x", "it is not JSON: expected value at line 1 column 10"),
            (
                b"{\"a\": \"\n\"}",
                "it is not JSON: control character (\\u0000-\\u001F) found while parsing a string at line 1 column 7",
            ),
            (b"{\"a\": ", "it is not JSON: EOF while parsing a value at line 1 column 6"),
            (b"{\"a\": \"\xff\"}", "it is not UTF-8 from byte 7 on"),
            (b"\x1f\x8b\x08", "it is compressed with gzip; JSON is expected"),
        ] {
            assert_eq!(lines(data), Err(reason.to_owned()));
        }
        let aggregated = lines(b"\xf3\x89\x9a\xc2\x0a\x01").expect_err("refused");
        assert!(aggregated.starts_with("the Kinesis Producer Library aggregated"), "{aggregated}");
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::from),
            "\\PC{0,4}[\"\\\\\n\r\t {}\\[\\],:]{0,4}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a\"\\\\ \n]{0,3}", inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn spread_documents_come_back_compact(documents in prop::collection::vec(document(), 1..4)) {
            let spread: Vec<String> =
                documents.iter().map(|document| format!("\n{}\n", serde_json::to_string_pretty(document).expect("JSON"))).collect();
            let lined = text(&spread.concat());
            // Pretty JSON has a blank behind each colon even where it needs no line end.
            let read: Vec<Value> = lined.lines().map(|line| serde_json::from_str(line).expect("a document a line")).collect();
            prop_assert_eq!(read, documents);
        }
    }
}
