//! All tokenisers find what the plain model and the `csv` crate find, however a text is cut.

#![allow(clippy::expect_used, reason = "tests fail by panicking")]

mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use stepwell_tokenise::{Dialect, Index, line_ends};
use support::{found, model, tokenisers};

fn dialects() -> impl Strategy<Value = Dialect> {
    let delimiter = prop_oneof![
        4 => Just(","), 1 => Just("\0"), 1 => Just("\t"), 1 => Just("||"), 1 => Just(",;#"), 1 => Just(";;;;;;;;"),
    ];
    let quote = prop_oneof![4 => Just(Some(b'"')), 1 => Just(Some(b'\'')), 1 => Just(None)];
    let escape = prop_oneof![4 => Just(None), 2 => Just(Some(b'\\')), 1 => Just(Some(b'"'))];
    let comment = prop_oneof![2 => Just(None), 1 => Just(Some(b'#'))];
    (delimiter, quote, escape, comment)
        .prop_map(|(delimiter, quote, escape, comment)| Dialect {
            delimiter: delimiter.as_bytes().to_vec(),
            quote,
            escape,
            comment,
        })
        .prop_filter("no byte has two roles", |dialect| dialect.validate().is_ok())
}

/// Text that is mostly structure, with stretches of none that move it against the blocks.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        10 => prop::sample::select(vec![
            "\"", "\"", "\"", ",", ",", "\n", "\r", "\r\n", "a", "\"\"", "\",", "\"\n", ",\"", "\n\"", "'", "\\", "#",
            "\n#", "|", "||", ";", ";;;;;;;;", ",;#", "\0", "\t", "ä", "\u{feff}",
        ]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(Just(b'x'), 1..140),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    vec(piece, 0..200).prop_map(|pieces| pieces.concat())
}

/// Well-formed records, and how they are written: whether each field is quoted, and each record's line end.
fn well_formed() -> impl Strategy<Value = (Vec<Vec<Vec<u8>>>, Vec<u8>)> {
    let content =
        prop::sample::select(vec!["a", "bc", "\"", ",", "\n", "\r\n", "ö", " ", "0123456789abcdefghijklmnopqrst"]);
    let field = (vec(content, 0..6).prop_map(|parts| parts.concat().into_bytes()), any::<bool>());
    let record = (vec(field, 1..8), prop::sample::select(vec!["\n", "\r\n"]));
    vec(record, 0..30).prop_map(|records| {
        let (mut values, mut text) = (Vec::new(), Vec::new());
        for (fields, line_end) in records {
            let alone = fields.len() == 1;
            let written: Vec<_> = fields.iter().map(|(value, quoted)| write(value, *quoted || alone)).collect();
            text.extend(written.join(&b','));
            text.extend(line_end.as_bytes());
            values.push(fields.into_iter().map(|(value, _)| value).collect());
        }
        (values, text)
    })
}

fn write(value: &[u8], quoted: bool) -> Vec<u8> {
    if !quoted && !value.iter().any(|byte| b"\",\r\n".contains(byte)) {
        return value.to_vec();
    }
    let doubled: Vec<u8> =
        value.iter().flat_map(|byte| std::iter::repeat_n(*byte, if *byte == b'"' { 2 } else { 1 })).collect();
    [b"\"", &doubled[..], b"\""].concat()
}

fn with_csv_crate(text: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
    let fields = |record: csv::ByteRecord| record.iter().map(<[u8]>::to_vec).collect();
    reader.byte_records().map(|record| fields(record.expect("bytes always have records"))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_tokeniser_finds_what_the_model_finds(dialect in dialects(), text in texts()) {
        let expected = model(&dialect, &text);
        let mut index = Index::new();
        for (name, tokeniser) in tokenisers(&dialect) {
            prop_assert_eq!(&found(&tokeniser, &text, &[text.len()], &mut index), &expected, "{}", name);
        }
    }

    #[test]
    fn cutting_a_text_into_chunks_changes_nothing(
        dialect in dialects(),
        text in texts(),
        pieces in vec(1_usize..100, 1..5),
    ) {
        let expected = model(&dialect, &text);
        let mut index = Index::new();
        for (name, tokeniser) in tokenisers(&dialect) {
            prop_assert_eq!(&found(&tokeniser, &text, &pieces, &mut index), &expected, "{}", name);
        }
    }

    #[test]
    fn well_formed_text_is_read_back((records, text) in well_formed(), pieces in vec(1_usize..200, 1..5)) {
        let dialect = Dialect::default();
        prop_assert_eq!(&with_csv_crate(&text), &records);
        let mut index = Index::new();
        for (name, tokeniser) in tokenisers(&dialect) {
            let found = found(&tokeniser, &text, &pieces, &mut index);
            prop_assert!(found.iter().all(|record| record.fault.is_none()), "{}", name);
            let values: Vec<_> = found.iter().map(|record| record.values(&dialect, &text)).collect();
            prop_assert_eq!(&values, &records, "{}", name);
        }
    }

    #[test]
    fn the_csv_crate_finds_the_same_where_no_quoting_is_malformed(text in texts()) {
        let dialect = Dialect::default();
        // The csv crate takes a byte order mark away.
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text);
        prop_assume!(!text.starts_with("\u{feff}".as_bytes()));
        let records = model(&dialect, text);
        let well_formed = records.iter().position(|record| record.fault.is_some()).unwrap_or(records.len());
        let values: Vec<_> = records[..well_formed].iter().map(|record| record.values(&dialect, text)).collect();
        prop_assert_eq!(&with_csv_crate(text)[..well_formed], &values);
    }

    #[test]
    fn line_ends_are_counted_once(text in texts()) {
        let unified = String::from_utf8_lossy(&text).replace("\r\n", "\n").replace('\r', "\n");
        prop_assert_eq!(line_ends(&text), unified.matches('\n').count() as u64);
    }
}
