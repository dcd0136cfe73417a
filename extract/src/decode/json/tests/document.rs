use stepwell_pipeline::{ErrorKind, reject::RejectCode, spec::UnknownColumns};

use super::{decode, document};

/// The `a` of every record, or its reject code; or why the document is unreadable.
fn read(path: &str, text: &str) -> Result<Vec<String>, String> {
    let records =
        decode(document(path), &["a"], UnknownColumns::Ignore, text.as_bytes()).map_err(|(kind, message)| {
            assert_eq!(kind, ErrorKind::UnreadableSource);
            message
        })?;
    let show = |cell: Option<&str>| cell.unwrap_or("null").to_owned();
    Ok(records
        .iter()
        .map(|record| record.code().map_or_else(|| show(record.cells()[0]), |code| code.name().to_owned()))
        .collect())
}

fn read_all(path: &str, text: &str) -> Vec<String> {
    read(path, text).expect(text)
}

#[test]
fn an_array_of_records_may_be_written_in_any_way() {
    assert_eq!(read_all("", "[{\"a\":1},{\"a\":2}]"), ["1", "2"]);
    assert_eq!(
        read_all("", " \n[\r\n  {\n    \"a\": 1\n  },\n  {\n    \"a\": 2,\n    \"b\": [\n]  } \n ]\n\n"),
        ["1", "2"]
    );
    assert!(read_all("", "[]").is_empty());
    assert!(read_all("", " [ ] ").is_empty());
}

#[test]
fn a_single_object_is_a_single_record() {
    assert_eq!(read_all("", " {\"a\":\n1} "), ["1"]);
    assert_eq!(read_all("data", "{\"data\":{\"a\":1},\"b\":[]}"), ["1"]);
    assert_eq!(read_all("", "{\"a\":tru}"), ["malformed"]);
}

#[test]
fn a_path_leads_to_the_array() {
    let text = r#" {"meta":{"data":{"items":[{"a":0}]},"n":-1.5e3} , "data" : {"x":[[],{}],"\u0069tems": [{"a":1},{"a":2}], "y":"\n"},"z":null}"#;
    assert_eq!(read_all("data.items", text), ["1", "2"]);
    assert_eq!(read_all("meta.data.items", text), ["0"]);
}

#[test]
fn a_path_that_leads_nowhere_is_an_error() {
    for (path, text) in [
        ("data", "{\"dat\":[]}"),
        ("data", "[{\"data\":[]}]"),
        ("data.items", "{\"data\":[{\"items\":[]}]}"),
        ("data.items", "{\"data\":{\"x\":{\"items\":[]}}}"),
        ("data.items", "{\"data\":null}"),
    ] {
        let error = read(path, text).expect_err(text);
        assert!(error.contains(&format!("has no `{path}`")), "{error}");
    }
    for (path, text) in [("", "12"), ("", "\"x\""), ("data", "{\"data\":3}"), ("data", "{\"data\":null}")] {
        assert!(read(path, text).expect_err(text).contains("is neither an array nor an object"), "{text}");
    }
    assert!(read("data", "{\"data\":[],\"data\":[]}").expect_err("twice").contains("occurs twice"));
}

#[test]
fn a_broken_element_whose_extent_is_clear_is_a_reject() {
    for broken in [
        "tru",
        "{\"a\":01}",
        "{\"a\":[1,,{\"b\":\"],}\"}]}",
        "{\"a\":1,}",
        "{'a':1}",
        "{\"a\":\"\n\"}",
        "{} {}",
        "1",
        "[{}]",
        "\"x\"",
        "{\"a\":\"\\q\"}",
        "x\"]\"y",
    ] {
        let text = format!("[{{\"a\":1}}, {broken} ,{{\"a\":2}}]");
        assert_eq!(read_all("", &text), ["1", "malformed", "2"], "{text}");
        let text = format!("[{{\"a\":1}},{broken}]");
        assert_eq!(read_all("", &text), ["1", "malformed"], "{text}");
        let records = decode(document(""), &["a"], UnknownColumns::Ignore, text.as_bytes()).expect("readable");
        assert_eq!(records[1].record, broken.as_bytes());
    }
    assert_eq!(read_all("", "[{\"a\":1},,{\"a\":2}]"), ["1", "malformed", "2"]);
    assert_eq!(read_all("", "[{\"a\":1},]"), ["1", "malformed"]);
    assert_eq!(read_all("", "[,{\"a\":1}]"), ["malformed", "1"]);
}

#[test]
fn a_document_that_breaks_off_is_unreadable() {
    let whole = "{\"n\":12,\"data\":[{\"a\":\"x\\u00e9\"},{\"a\":null}],\"rest\":[true]}";
    assert_eq!(read_all("data", whole), ["xé", "null"]);
    for end in 0..whole.len() {
        let error = read("data", &whole[..end]).expect_err(whole);
        assert!(error.contains(&format!("breaks off at byte {end}")), "{end}: {error}");
    }
    let error = read("", "[{\"a\":1},{\"a\":\"x}]").expect_err("an unclosed string");
    assert_eq!(error, "the JSON document breaks off at byte 18, in what begins at byte 9; was it cut short?");
}

#[test]
fn brackets_that_do_not_match_are_unreadable() {
    let error = read("", "[{\"a\":1},{\"a\":[2},{\"a\":3}]").expect_err("an unclosed bracket");
    assert_eq!(error, "the JSON document is broken at byte 16: expected a comma or a closing bracket");
}

#[test]
fn everything_around_the_array_is_checked() {
    for text in [
        "{\"data\":[{\"a\":1}],}",
        "{\"data\":[{\"a\":1}]]",
        "{\"data\":[{\"a\":1}],\"x\":tru}",
        "{\"data\":[{\"a\":1}]} x",
        "{\"x\":01,\"data\":[{\"a\":1}]}",
        "{\"x\":[1 2],\"data\":[{\"a\":1}]}",
        "{\"x\":{\"y\" 2},\"data\":[{\"a\":1}]}",
        "{\"x\":[}],\"data\":[{\"a\":1}]}",
        "{\"x\":[,],\"data\":[{\"a\":1}]}",
        "{\"x\":[1,],\"data\":[{\"a\":1}]}",
        "{,\"data\":[{\"a\":1}]}",
    ] {
        let error = read("data", text).expect_err(text);
        assert!(error.contains(" at byte "), "{error}");
    }
    let deep = format!("{{\"x\":{}{},\"data\":[]}}", "[".repeat(512), "]".repeat(512));
    assert!(read("data", &deep).expect_err("deep").contains("nested more than 512 deep"));
    let deep = format!("{{\"x\":{}{},\"data\":[]}}", "[".repeat(511), "]".repeat(511));
    assert!(read_all("data", &deep).is_empty());
}

#[test]
fn more_text_after_the_document_is_an_error() {
    assert!(read("", "{\"a\":1}\n{\"a\":2}\n").expect_err("NDJSON").contains("is it NDJSON?"));
    assert!(read("", "[]]").is_err());
    assert!(read("", "[{\"a\":1}],").is_err());
}

#[test]
fn text_that_is_not_utf_8_rejects_its_record_or_the_document() {
    let text = b"[{\"a\":\"\xc3\xa9\"},{\"a\":\"\xe9\"},{\"a\":2}]";
    let records = decode(document(""), &["a"], UnknownColumns::Ignore, text).expect("readable");
    let codes: Vec<_> = records.iter().map(|record| record.code()).collect();
    assert_eq!(codes, [None, Some(RejectCode::InvalidEncoding), None]);
    let text = b"{\"\xe9\":1,\"data\":[{\"a\":1}]}";
    let error = decode(document("data"), &["a"], UnknownColumns::Ignore, text).expect_err("outside of a record");
    assert_eq!(error.0, ErrorKind::UnreadableSource);
    assert!(error.1.contains("not UTF-8 at byte 2;"), "{}", error.1);
}

#[test]
fn records_longer_than_a_block_are_read_whole() {
    let long = "y\\n".repeat(500_000);
    let text = format!("[{{\"a\":\"short\"}},{{\"a\":\"{long}\"}},{{}}]");
    let records = read_all("", &text);
    assert_eq!(records.len(), 3);
    assert_eq!((records[0].as_str(), records[1].len(), records[2].as_str()), ("short", 1_000_000, "null"));
}
