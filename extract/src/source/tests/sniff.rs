use stepwell_pipeline::spec::Format;

use crate::source::sniff::{format, packed};

fn sniff(declared: Option<Format>, key: &str, content: &[u8]) -> Result<Format, String> {
    format(declared, "s3://b/k", key, content, content).map_err(|error| error.to_string())
}

#[test]
fn formats_are_told_from_content_and_then_from_the_suffix() {
    for (key, content, expected) in [
        ("a", &b"PAR1..."[..], Format::Parquet),
        ("a.csv", b"Obj\x01...", Format::Avro),
        ("a.csv", b"a,b\n", Format::Csv),
        ("a.csv", b"a\tb\n", Format::Csv),
        ("a", b"a\tb, c\td\n", Format::Tsv),
        ("a.txt", b"\"x\ty\",b\n", Format::Csv),
        ("a.tsv.gz", b"a\n", Format::Tsv),
        ("x.csv/a", b"a\tb\n", Format::Tsv),
        ("a.JSONL.zst", b"1\n", Format::Ndjson),
        ("a.json", b"nonsense", Format::Json),
        ("a.csv", b" [ {\"a\": 1}]", Format::Json),
        ("a", b"[]", Format::Json),
        ("a", b"[id],[name]\n1,2\n", Format::Csv),
        ("a", b"{a},b\n", Format::Csv),
        ("a.json", b"{\"a\": 1}\n{\"a\": 2}\n", Format::Ndjson),
        ("a.ndjson", b"{\n \"data\": [\n{}]}\n", Format::Json),
        ("a.json", b"{\"data\": [{\"a\": 1}]}\n", Format::Json),
        ("a", b"{\"a\": 1}", Format::Ndjson),
        ("a.json", b"{\"data\": [{\"a\": 1", Format::Json),
        ("a", b"", Format::Csv),
    ] {
        assert_eq!(sniff(None, key, content), Ok(expected), "{key}: {content:?}");
    }
}

#[test]
fn what_is_declared_counts() {
    assert_eq!(sniff(Some(Format::Csv), "a.json", b"{\"a\": 1}\n{\"a\": 2}\n"), Ok(Format::Csv));
    assert_eq!(sniff(Some(Format::Parquet), "a.csv", b"PAR1"), Ok(Format::Parquet));
}

#[test]
fn contradictions_are_named() {
    for (declared, content, expected) in [
        (Some(Format::Csv), &b"PAR1..."[..], "holds a Parquet file, but `format` says csv"),
        (Some(Format::Avro), b"PAR1...", "holds a Parquet file, but `format` says avro"),
        (Some(Format::Parquet), b"a,b\n", "does not begin as a Parquet file does"),
        (Some(Format::Csv), b"a,b\n1,\0\n", "NUL byte at byte 6"),
        (None, b"i\0d\0,\0n\0\n\0", "encoding: utf-16le"),
        (None, b"\0i\0d\0,\0n\0\n", "encoding: utf-16be"),
        (None, b"%PDF-1.7", "a PDF document"),
        (None, b"ORC\x00\x01", "an ORC file"),
    ] {
        let message = sniff(declared, "a", content).expect_err("is refused");
        assert!(message.contains(expected), "{message}");
    }
    assert_eq!(sniff(None, "a.csv", b"ORC,name\n"), Ok(Format::Csv));
}

#[test]
fn packed_content_is_recognised() {
    let mut tar = vec![b'a'; 512];
    tar[257..262].copy_from_slice(b"ustar");
    assert_eq!(packed(&tar), Some("a tar archive"));
    assert_eq!(packed(b"\xfd7zXZ\x00\x00"), Some("xz data"));
    assert_eq!(packed(b"a,b\n"), None);
}
