use stepwell_pipeline::{reject::RejectCode, spec::UnknownColumns};

use super::{super::Shape, cells, decode, lines};

fn some(cells: &[&str]) -> Vec<Option<String>> {
    cells.iter().map(|cell| Some((*cell).to_owned())).collect()
}

#[test]
fn scalars_are_their_raw_text_and_strings_unescaped() {
    let record = r#"{"a":"x","b":-1.50e+3,"c":true,"d":false,"e":null,"f":""}"#;
    let expected = [Some("x"), Some("-1.50e+3"), Some("true"), Some("false"), None, Some(""), None];
    let found = cells(&["a", "b", "c", "d", "e", "f", "missing"], record);
    assert_eq!(found.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
}

#[test]
fn escapes_are_resolved() {
    let record = r#"{"a":"\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00 end","b":"plain \u0000","\u0063":"key"}"#;
    assert_eq!(cells(&["a", "b", "c"], record), some(&["\"\\/\u{8}\u{c}\n\r\té😀 end", "plain \0", "key"]));
}

#[test]
fn containers_are_their_raw_text() {
    let record = r#"{"list": [1, {"x": "]"}] ,"tree":{ "a" : {} }}"#;
    assert_eq!(cells(&["list", "tree"], record), some(&[r#"[1, {"x": "]"}]"#, r#"{ "a" : {} }"#]));
}

#[test]
fn paths_lead_through_objects_and_arrays() {
    let record = r#"{"user":{"id":7,"address":{"city":"Bern","zip":null}},"items":[{"sku":"a"},{"sku":"b"},3]}"#;
    let found =
        cells(&["user.address.city", "user", "user.id", "items.1.sku", "items.2", "user.id", "items.7"], record);
    assert_eq!(found[0].as_deref(), Some("Bern"));
    assert_eq!(found[1].as_deref(), Some(r#"{"id":7,"address":{"city":"Bern","zip":null}}"#));
    assert_eq!(found[2..6], some(&["7", "b", "3", "7"]));
    assert_eq!(found[6], None);
}

#[test]
fn a_path_through_something_else_than_an_object_is_null() {
    for user in ["null", "1", "\"x\"", "[{\"id\":1}]", "true", "{}"] {
        let found = cells(&["user.id", "user"], &format!("{{\"user\":{user}}}"));
        assert_eq!(found[0], None, "{user}");
        assert_eq!(found[1].is_none(), user == "null");
    }
}

#[test]
fn of_a_key_that_occurs_twice_the_last_value_counts() {
    let record = r#"{"a":1,"a":"x","u":{"id":1,"name":"n"},"u":{"name":"m"},"b":1,"b":null}"#;
    let found = cells(&["a", "u.id", "u.name", "b"], record);
    assert_eq!(found, [Some("x".to_owned()), None, Some("m".to_owned()), None]);
    assert_eq!(cells(&["u.id"], r#"{"u":{"id":1},"u":3}"#), [None]);
}

#[test]
fn keys_may_change_their_order_and_spacing_from_record_to_record() {
    let text = concat!(
        "{\"alpha\":1,\"beta\":2,\"a key of more than thirty-two bytes in all\":3}\n",
        "{\"alpha\": 4, \"beta\": 5, \"a key of more than thirty-two bytes in all\": 6}\n",
        "{ \"beta\" : 8 , \"a key of more than thirty-two bytes in all\" :9,\"alpha\":7}\n",
        "{\"alphabet\":0,\"alpha\":10,\"beta\":\t 11,\"a key of more than thirty-two bytes in ALL\":0}\n",
        "{}\n",
        "{\"alpha\":1,\"beta\":2,\"a key of more than thirty-two bytes in all\":3}",
    );
    let records = lines(&["alpha", "beta", "a key of more than thirty-two bytes in all"], text);
    let found: Vec<Vec<_>> = records.iter().map(|record| record.cells()).collect();
    assert_eq!(
        found,
        [
            [Some("1"), Some("2"), Some("3")],
            [Some("4"), Some("5"), Some("6")],
            [Some("7"), Some("8"), Some("9")],
            [Some("10"), Some("11"), None],
            [None, None, None],
            [Some("1"), Some("2"), Some("3")],
        ]
    );
    assert!(records.iter().all(|record| record.fault.is_none()));
}

#[test]
fn blank_lines_carriage_returns_and_record_separators_are_no_part_of_records() {
    let records = lines(&["a"], "\n\r\n \t\n\u{1e}{\"a\":1}\r\n  {\"a\":2}  \r\n\u{1e} oops\r\n{\"a\":\r3}");
    let found: Vec<_> = records.iter().map(|record| String::from_utf8_lossy(&record.record)).collect();
    assert_eq!(found, ["{\"a\":1}", "{\"a\":2}  ", "oops", "{\"a\":\r3}"]);
    assert_eq!(records[2].code(), Some(RejectCode::Malformed));
    assert_eq!(records[3].cells(), [Some("3")]);
}

#[test]
fn a_bad_line_is_one_reject_and_the_next_line_goes_on() {
    let bad = [
        "{\"a\":\"x",
        "{\"a\":1",
        "{\"a\":1,",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1}}",
        "{\"a\":1} {\"a\":2}",
        "{\"a\":1},",
        "{\"a\":1,}",
        "{,\"a\":1}",
        "{\"a\" 1}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":01}",
        "{\"a\":-}",
        "{\"a\":+1}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":1e}",
        "{\"a\":1e+}",
        "{\"a\":NaN}",
        "{\"a\":tru}",
        "{\"a\":nulll}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"a\":\"\\ud800\\u0041\"}",
        "{\"a\":\"tab\there\"}",
        "{\"a\":\"nul\0here\"}",
        "{\"other\":{\"deep\":[1,2,{\"x\":tru}]}}",
        "{\"other\":[1 2]}",
        "{\"other\":[1,]}",
        "{\"other\":\"\\ud800\"}",
        "{\"other\":[}",
        "[1]",
        "3",
        "\"text\"",
        "null",
        "#",
        "]",
        "\u{feff}{}",
    ];
    for line in bad {
        let text = format!("{{\"a\":1,\"b\":2}}\n{line}\n{{\"a\":3,\"b\":4}}\n");
        let records = lines(&["a", "b"], &text);
        assert_eq!(records.len(), 3, "{line:?}");
        assert_eq!(records[0].cells(), [Some("1"), Some("2")]);
        assert_eq!(records[1].code(), Some(RejectCode::Malformed), "{line:?}");
        assert_eq!(records[1].record, line.as_bytes());
        assert_eq!(records[1].cells(), [None, None]);
        assert_eq!(records[2].cells(), [Some("3"), Some("4")], "{line:?}");
        let last = lines(&["a", "b"], line);
        assert_eq!((last.len(), last[0].code()), (1, Some(RejectCode::Malformed)), "{line:?} at the end");
    }
}

#[test]
fn messages_say_where_in_the_record() {
    let records = lines(&["a"], "{}\n  {\"a\":tru}\n[]\n");
    assert_eq!(records[1].fault.as_ref().expect("rejected").1, "expected a value at byte 6 of the record");
    assert_eq!(
        records[2].fault.as_ref().expect("rejected").1,
        "the record is an array, not an object at byte 1 of the record"
    );
}

#[test]
fn text_that_is_not_utf_8_rejects_its_record_only() {
    let records = lines(&["a"], b"{\"a\":\"\xc3\xa9\"}\n{\"a\":\"\xe9\"}\n{\"\xff\":1}\n{\"a\":2}\n{\"a\":\xe9}");
    let codes: Vec<_> = records.iter().map(|record| record.code()).collect();
    let bad = Some(RejectCode::InvalidEncoding);
    assert_eq!(codes, [None, bad, bad, None, bad]);
    assert_eq!(records[1].record, b"{\"a\":\"\xe9\"}");
    assert_eq!(records[1].cells(), [None]);
    assert_eq!(records[3].cells(), [Some("2")]);
}

#[test]
fn a_record_that_is_neither_json_nor_utf_8_has_one_fault() {
    let records = lines(&["a"], b"oops\n{\"a\":\"\xe9\"\noops\n{\"a\":\"\xe9\"}\n");
    let codes: Vec<_> = records.iter().map(|record| record.code()).collect();
    let (malformed, encoding) = (Some(RejectCode::Malformed), Some(RejectCode::InvalidEncoding));
    assert_eq!(codes, [malformed, encoding, malformed, encoding]);
}

#[test]
fn nesting_is_limited_to_512() {
    for (depth, code) in [(511, None), (512, Some(RejectCode::Malformed))] {
        let text = format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        for path in ["a", "b", "a.0.0"] {
            assert_eq!(lines(&[path], &text)[0].code(), code, "{depth} in {path}");
        }
        let text = format!("{{\"a\":{}1{}}}", "{\"a\":".repeat(depth), "}".repeat(depth));
        for path in ["a", "b", "a.a.a.a"] {
            assert_eq!(lines(&[path], &text)[0].code(), code, "{depth} in {path}");
        }
    }
}

#[test]
fn undeclared_members_of_the_record_reject_it() {
    let text = concat!(
        "{\"a\":1,\"u\":{\"id\":2,\"other\":3}}\n",
        "{\"a\":1,\"x\\u0079\":{}}\n",
        "{\"p\":1,\"q\":1,\"a\":1,\"r\":1}\n",
        "{\"p\":1,,}\n",
        "{\"a\":4}\n",
    );
    let records = decode(Shape::Lines, &["a", "u.id"], UnknownColumns::Reject, text.as_bytes()).expect("readable");
    assert_eq!(records[0].fault, None);
    let unknown = |message: &str| Some((RejectCode::UnknownColumn, message.to_owned()));
    assert_eq!(records[1].fault, unknown("the field `xy` is not declared"));
    assert_eq!(records[1].cells(), [None, None]);
    assert_eq!(records[2].fault, unknown("the field `p` and 2 more are not declared"));
    assert_eq!(records[3].code(), Some(RejectCode::Malformed));
    assert_eq!(records[4].fault, None);
}

#[test]
fn undeclared_members_of_the_record_are_kept_as_written() {
    let text = concat!(
        "{\"a\":1,\"u\":{\"id\":2,\"other\":3}}\n",
        "{\"p\": [1, 2], \"q\":\"\\n\" ,\"a\":\"\\t\", \"r\" : null}\n",
        "{\"p\":1,,}\n",
        "{}\n",
    );
    let records = decode(Shape::Lines, &["a", "u.id"], UnknownColumns::Keep, text.as_bytes()).expect("readable");
    assert_eq!(records[0].extra, None);
    assert_eq!(records[1].extra.as_deref(), Some("{\"p\": [1, 2], \"q\":\"\\n\",\"r\" : null}"));
    assert_eq!(records[1].cells(), [Some("\t"), None]);
    assert_eq!(records[2].extra, None);
    assert_eq!(records[3].extra, None);
}

#[test]
fn a_million_undeclared_fields_are_named_in_short() {
    let members: Vec<String> = (0..100_000).map(|index| format!("\"field {index}{}\":0", "x".repeat(200))).collect();
    let text = format!("{{{}}}", members.join(","));
    let records = decode(Shape::Lines, &["a"], UnknownColumns::Reject, text.as_bytes()).expect("readable");
    let message = &records[0].fault.as_ref().expect("rejected").1;
    assert!(message.ends_with("…` and 99999 more are not declared"), "{message}");
    assert!(message.len() < 200, "{message}");
}

#[test]
fn many_short_records_take_many_blocks() {
    let text = "{\"a\":1}\n".repeat(200_000);
    let records = lines(&["a"], &text);
    assert_eq!(records.len(), 200_000);
    assert!(records.iter().all(|record| record.cells() == [Some("1")]));
}
