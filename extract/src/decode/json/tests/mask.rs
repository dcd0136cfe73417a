use super::super::{mask, write_string};

fn masked(record: &str, paths: &[&str]) -> String {
    let paths: Vec<Vec<String>> = paths.iter().map(|path| path.split('.').map(str::to_owned).collect()).collect();
    let paths: Vec<&[String]> = paths.iter().map(Vec::as_slice).collect();
    String::from_utf8(mask(record.as_bytes(), &paths)).expect("masked records are UTF-8")
}

#[test]
fn values_at_the_paths_are_masked_and_nothing_else() {
    let record = r#" {"a": "secret", "b":{"c":[1,2] ,"d":2}, "e":[{"f":"x"},{"f":"y"}]} "#;
    assert_eq!(masked(record, &["a"]), record.replace("\"secret\"", "\"***\""));
    assert_eq!(masked(record, &["b.c"]), record.replace("[1,2]", "\"***\""));
    assert_eq!(masked(record, &["b", "b.c"]), record.replace("{\"c\":[1,2] ,\"d\":2}", "\"***\""));
    assert_eq!(masked(record, &["e.1.f"]), record.replace("\"y\"", "\"***\""));
    assert_eq!(masked(record, &["missing", "b.missing"]), record);
    assert_eq!(masked(record, &[]), record);
}

#[test]
fn every_occurrence_of_a_key_is_masked() {
    assert_eq!(
        masked(r#"{"a":1,"\u0061":2,"b":{"a":3},"a":null}"#, &["a"]),
        r#"{"a":"***","\u0061":"***","b":{"a":3},"a":"***"}"#
    );
}

#[test]
fn what_stands_in_the_way_of_a_path_is_masked() {
    assert_eq!(masked(r#"{"u":"jo@example.com"}"#, &["u.mail"]), r#"{"u":"***"}"#);
    assert_eq!(masked(r#"{"u":[{"mail":"jo@example.com"}]}"#, &["u.mail"]), r#"{"u":"***"}"#);
    assert_eq!(masked(r#"{"u":null}"#, &["u.mail"]), r#"{"u":null}"#);
    assert_eq!(masked(r#"["jo@example.com"]"#, &["u.mail"]), "\"***\"");
}

#[test]
fn a_record_that_cannot_be_parsed_is_masked_as_a_whole() {
    for record in ["{\"a\":\"secret\"", "{\"a\":\"secret\"}}", "secret", "", "{\"b\":tru}"] {
        assert_eq!(masked(record, &["a"]), "\"***\"", "{record}");
    }
    let paths = ["a".to_owned()];
    assert_eq!(mask(b"{\"b\":\"\xff\"}", &[paths.as_slice()]), b"\"***\"");
}

#[test]
fn strings_are_written_as_json() {
    let mut out = Vec::new();
    let text: String = (0..0x80).map(char::from).chain("é😀".chars()).collect();
    write_string(&mut out, text.as_bytes());
    assert_eq!(serde_json::from_slice::<String>(&out).expect("JSON"), text);
    assert_eq!(out, serde_json::to_vec(&text).expect("JSON"));
}
