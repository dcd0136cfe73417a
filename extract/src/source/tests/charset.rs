use bytes::Bytes;
use proptest::prelude::*;

use crate::source::charset::{Charset, Transcoder, detect, encoding};

/// Encodings in which every sequence of bytes is given back as it was read.
const LOSSLESS: [&str; 14] = [
    "latin1",
    "windows-1250",
    "windows-1251",
    "windows-1253",
    "windows-1255",
    "windows-1257",
    "windows-874",
    "iso-8859-3",
    "iso-8859-7",
    "koi8-u",
    "macintosh",
    "ibm866",
    "utf-16le",
    "utf-16be",
];

fn charset(label: &str) -> Charset {
    detect(Some(encoding(label).expect("is a label")), b"").0
}

fn decode(charset: Charset, original: &[u8], chunks: &[usize]) -> Vec<u8> {
    let mut transcoder = Transcoder::new(charset);
    let (mut text, mut rest) = (Vec::new(), Bytes::copy_from_slice(original));
    let mut sizes = chunks.iter().copied().cycle();
    while !rest.is_empty() {
        let mut chunk = rest.split_to(rest.len().min(sizes.next().unwrap_or(usize::MAX)));
        while !chunk.is_empty() {
            text.extend_from_slice(&transcoder.decode(&mut chunk, false));
        }
    }
    loop {
        let piece = transcoder.decode(&mut rest, true);
        if piece.is_empty() {
            return text;
        }
        text.extend_from_slice(&piece);
    }
}

proptest! {
    #[test]
    fn any_bytes_in_any_chunks_are_given_back(
        label in prop::sample::select(LOSSLESS.to_vec()),
        original in prop::collection::vec(any::<u8>(), 0..400),
        chunks in prop::collection::vec(1_usize..50, 1..5),
    ) {
        let charset = charset(label);
        let text = decode(charset, &original, &chunks);
        prop_assert_eq!(charset.encode(&text), &original[..]);
        prop_assert_eq!(charset.original_len(&text), original.len() as u64);
        let (expected, malformed) = encoding(label).expect("a label").decode_without_bom_handling(&original);
        prop_assert_eq!(std::str::from_utf8(&text).is_err(), malformed);
        if !malformed {
            prop_assert_eq!(&text[..], expected.as_bytes());
        }
    }

    #[test]
    fn lone_surrogates_in_utf_16_are_given_back(
        units in prop::collection::vec(prop::sample::select(vec![0x41_u16, 0x20ac, 0xd83d, 0xde00, 0xdbff, 0xdc00, 0xffff]), 0..40),
        chunks in prop::collection::vec(1_usize..7, 1..5),
    ) {
        let original: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let charset = charset("utf-16le");
        let text = decode(charset, &original, &chunks);
        prop_assert_eq!(std::str::from_utf8(&text).is_ok(), String::from_utf16(&units).is_ok());
        prop_assert_eq!(charset.encode(&text), original);
    }

    #[test]
    fn text_of_any_encoding_is_given_back(
        label in prop::sample::select(vec!["gb18030", "euc-kr", "utf-16be", "utf-8"]),
        text in "[a-z한국,\"\n]{0,200}",
        chunks in prop::collection::vec(1_usize..7, 1..5),
    ) {
        let charset = charset(label);
        let original = charset.encode(text.as_bytes());
        if label == "euc-kr" {
            let (expected, ..) = encoding(label).expect("a label").encode(&text);
            prop_assert_eq!(&original[..], &expected[..]);
        }
        if !charset.is_utf8() {
            prop_assert_eq!(decode(charset, &original, &chunks), text.as_bytes());
        }
    }
}

#[test]
fn large_chunks_are_decoded_whole() {
    let original: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    let charset = charset("windows-1252");
    let text = decode(charset, &original, &[usize::MAX]);
    assert!(charset.encode(&text) == original);
}

#[test]
fn records_cut_out_of_the_text_are_given_back_alone() {
    let original = b"a;\xaa;b\n\xe1;\xd2\xd2\n";
    let charset = charset("windows-1253");
    let text = decode(charset, original, &[3]);
    let records: Vec<Vec<u8>> =
        text.split_inclusive(|byte| *byte == b'\n').map(|record| charset.encode(record)).collect();
    assert_eq!(records, [&original[..6], &original[6..]]);
}

#[test]
fn a_byte_order_mark_goes_before_what_is_declared() {
    let latin1 = encoding("latin1").ok();
    for (start, declared, name, bytes) in [
        (&b"\xef\xbb\xbfa"[..], None, "UTF-8", 3),
        (b"\xff\xfea\0", None, "UTF-16LE", 2),
        (b"\xfe\xff\0a", encoding("utf-16").ok(), "UTF-16BE", 2),
        (b"a\0", encoding("utf-16").ok(), "UTF-16LE", 0),
        (b"\xef\xbb\xbfa", latin1, "UTF-8", 3),
        (b"\xef\xbb", latin1, "windows-1252", 0),
        (b"", None, "UTF-8", 0),
    ] {
        let (charset, mark_bytes) = detect(declared, start);
        assert_eq!((charset.name(), mark_bytes), (name, bytes), "{start:?}");
    }
}

#[test]
fn unknown_labels_are_named_with_the_nearest() {
    assert_eq!(encoding("Latin1").expect("a label").name(), "windows-1252");
    assert!(encoding("utf-61").expect_err("is none").contains("did you mean `utf-16`"));
    assert!(encoding("windows-1552").expect_err("is none").contains("windows-12"));
    assert!(encoding("klingon").expect_err("is none").contains("unknown encoding `klingon`"));
    assert!(encoding("iso-2022-kr").is_err());
}
