//! One test for each rule, on all tokenisers.

#![allow(clippy::expect_used, reason = "tests fail by panicking")]

mod support;

use stepwell_tokenise::Fault::{TextAfterQuote, UnclosedQuote};
use stepwell_tokenise::{Dialect, Fault, Index, InvalidDialect, Tokeniser, Unquoted, line_ends};
use support::{found, tokenisers, value};

type Found = Vec<(Vec<String>, Option<Fault>)>;

fn dialect(delimiter: &str, escape: Option<u8>, comment: Option<u8>) -> Dialect {
    Dialect { delimiter: delimiter.into(), quote: Some(b'"'), escape, comment }
}

/// The values of all records and their faults; the same by every tokeniser, in one chunk and byte after byte, and
/// whatever the text's place in the blocks.
fn records_in(dialect: &Dialect, text: &str) -> Found {
    let expected = found_with(&Tokeniser::new_scalar(dialect).expect("the dialect is valid"), text, 0, text.len());
    for (name, tokeniser) in tokenisers(dialect) {
        for filler_lines in 0..70 {
            for piece in [filler_lines + text.len(), 1] {
                assert_eq!(
                    found_with(&tokeniser, text, filler_lines, piece),
                    expected,
                    "{name} {filler_lines} {piece}"
                );
            }
        }
    }
    expected
}

fn found_with(tokeniser: &Tokeniser, text: &str, filler_lines: usize, piece: usize) -> Found {
    let text = "\n".repeat(filler_lines) + text;
    let records = found(tokeniser, text.as_bytes(), &[piece], &mut Index::new());
    let strings = |values: Vec<Vec<u8>>| values.into_iter().map(|v| String::from_utf8(v).expect("text is UTF-8"));
    let record = |record: support::Record| {
        (strings(record.values(tokeniser.dialect(), text.as_bytes())).collect(), record.fault)
    };
    records.into_iter().map(record).collect()
}

fn sound(fields: &[&str]) -> (Vec<String>, Option<Fault>) {
    (fields.iter().map(|field| (*field).to_owned()).collect(), None)
}

fn faulty(fields: &[&str], fault: Fault) -> (Vec<String>, Option<Fault>) {
    (sound(fields).0, Some(fault))
}

#[test]
fn lf_crlf_and_lone_cr_end_records_in_any_mixture() {
    let expected = [sound(&["a", "b"]), sound(&["c", ""]), sound(&["", "d"]), sound(&["e"])];
    assert_eq!(records_in(&Dialect::default(), "a,b\nc,\r\n,d\re"), expected);
    assert_eq!(records_in(&Dialect::default(), "a,b\nc,\r\n,d\re\r"), expected);
}

#[test]
fn blank_lines_are_no_records() {
    let expected = [sound(&["a"]), sound(&[" "]), sound(&[""]), sound(&["b"])];
    assert_eq!(records_in(&Dialect::default(), "\n\r\n\ra\n\n\n \r\r\r\n\"\"\n\nb\n\n"), expected);
    assert_eq!(records_in(&Dialect::default(), "\r\n\n\r"), []);
    assert_eq!(records_in(&Dialect::default(), ""), []);
}

#[test]
fn a_quoted_field_holds_delimiters_line_ends_and_doubled_quotes() {
    let text = "\"a,b\r\nc\n\",\"\"\"\",\"d \"\"e\"\"\"\n\"\",f";
    assert_eq!(records_in(&Dialect::default(), text), [sound(&["a,b\r\nc\n", "\"", "d \"e\""]), sound(&["", "f"])]);
}

#[test]
fn a_bare_quote_in_an_unquoted_field_is_a_byte_like_any_other() {
    let text = "5\" pipe,6\"\n \"a\",\"b,c\"\nd\"\"e,\"\n\"";
    let expected = [sound(&["5\" pipe", "6\""]), sound(&[" \"a\"", "b,c"]), sound(&["d\"\"e", "\n"])];
    assert_eq!(records_in(&Dialect::default(), text), expected);
}

#[test]
fn without_a_quote_every_quote_is_a_byte() {
    let dialect = Dialect { quote: None, ..Dialect::default() };
    assert_eq!(records_in(&dialect, "\"a,b\"\n\"c"), [sound(&["\"a", "b\""]), sound(&["\"c"])]);
}

#[test]
fn text_after_a_closing_quote_marks_the_record_and_ends_with_the_field() {
    let text = "x,\"a\"b\"c\",d\ny\n\"e\" ,\"f,\n\"\n\"g\"\"\"h\n";
    let expected = [
        faulty(&["x", "ab\"c\"", "d"], TextAfterQuote),
        sound(&["y"]),
        faulty(&["e ", "f,\n"], TextAfterQuote),
        faulty(&["g\"h"], TextAfterQuote),
    ];
    assert_eq!(records_in(&Dialect::default(), text), expected);
}

#[test]
fn a_record_with_an_unclosed_quote_ends_with_its_first_line() {
    let text = "a,b\nc,\"d\ne,f\n\"\",h\n";
    let expected = [sound(&["a", "b"]), faulty(&["c", "d"], UnclosedQuote), sound(&["e", "f"]), sound(&["", "h"])];
    assert_eq!(records_in(&Dialect::default(), text), expected);
    assert_eq!(records_in(&Dialect::default(), "\""), [faulty(&[""], UnclosedQuote)]);
}

#[test]
fn after_an_unclosed_quote_quotes_close_on_their_own_line() {
    let text = "a,\"b\nc\",\"d\n\"\"e\r\n\"\"\"\",g\r\"\"";
    let expected = [
        faulty(&["a", "b"], UnclosedQuote),
        faulty(&["c\"", "d"], UnclosedQuote),
        faulty(&["e"], TextAfterQuote),
        sound(&["\"", "g"]),
        sound(&[""]),
    ];
    assert_eq!(records_in(&Dialect::default(), text), expected);
}

#[test]
fn an_unclosed_quote_outweighs_text_after_a_quote() {
    assert_eq!(records_in(&Dialect::default(), "\"a\"b,\"c\nd"), [faulty(&["ab", "c"], UnclosedQuote), sound(&["d"])]);
}

#[test]
fn an_open_quote_waits_for_more_text() {
    for (name, tokeniser) in tokenisers(&Dialect::default()) {
        let mut index = Index::new();
        assert_eq!(tokeniser.index(b"a\n\"b\nc\n", false, &mut index), 2, "{name}");
        assert_eq!((index.records(), index.faults()), (1, &[][..]), "{name}");
        assert_eq!(tokeniser.index(b"\"b\nc\n\"x", false, &mut index), 0, "{name}");
        assert_eq!((index.records(), index.faults()), (0, &[][..]), "{name}");
    }
}

#[test]
fn a_cr_at_the_end_of_a_chunk_waits_for_the_next_byte() {
    for (name, tokeniser) in tokenisers(&Dialect::default()) {
        let mut index = Index::new();
        assert_eq!(tokeniser.index(b"a\r\nb\r", false, &mut index), 3, "{name}");
        assert_eq!(tokeniser.index(b"b\r\n", false, &mut index), 3, "{name}");
        assert_eq!(tokeniser.index(b"b\rc", false, &mut index), 2, "{name}");
        assert_eq!(tokeniser.index(b"b\r", true, &mut index), 2, "{name}");
        assert_eq!(index.record_ends(), [1], "{name}");
    }
}

#[test]
fn lines_that_begin_with_the_comment_byte_are_skipped() {
    let text = "#a \"b\n# c\r\n1,#2\n #3\n\"#4\",\"\n#5\"\n#\n#\"";
    let expected = [sound(&["1", "#2"]), sound(&[" #3"]), sound(&["#4", "\n#5"])];
    assert_eq!(records_in(&dialect(",", None, Some(b'#')), text), expected);
}

#[test]
fn comments_are_skipped_after_an_unclosed_quote_too() {
    let expected = [faulty(&["a"], UnclosedQuote), sound(&["b"])];
    assert_eq!(records_in(&dialect(",", None, Some(b'#')), "\"a\n#\"\"\nb"), expected);
}

#[test]
fn an_escape_makes_the_next_byte_literal() {
    let text = "a\\,b,\"c\\\"d\\\\\"\ne\\\nf,\\\"g,h\\\r\n\\#i\\";
    let expected = [sound(&["a,b", "c\"d\\"]), sound(&["e\nf", "\"g", "h\r"]), sound(&["#i\\"])];
    assert_eq!(records_in(&dialect(",", Some(b'\\'), Some(b'#')), text), expected);
}

#[test]
fn with_an_escape_a_doubled_quote_is_text_after_a_quote() {
    let expected = [faulty(&["a\"b\""], TextAfterQuote), sound(&["", "c"])];
    assert_eq!(records_in(&dialect(",", Some(b'\\'), None), "\"a\"\"b\"\n\"\",c"), expected);
}

#[test]
fn the_quote_as_escape_means_doubled_quotes() {
    assert_eq!(
        records_in(&dialect(",", Some(b'"'), None), "\"a\"\"b\"\n\"\",c"),
        [sound(&["a\"b"]), sound(&["", "c"])]
    );
}

#[test]
fn a_delimiter_may_have_several_bytes() {
    let text = "a|b||\"c||d\"|||e\n||\"f\"|\n\"g\"||\\|||h|";
    let expected = [faulty(&["a|b", "c||d|e"], TextAfterQuote), faulty(&["", "f|"], TextAfterQuote)];
    let records = records_in(&dialect("||", Some(b'\\'), None), text);
    assert_eq!(records[1..2], expected[1..]);
    assert_eq!(records[0], sound(&["a|b", "c||d", "|e"]));
    assert_eq!(records[2], sound(&["g", "|", "h|"]));
}

#[test]
fn records_with_as_many_fields_are_regular() {
    for (name, tokeniser) in tokenisers(&Dialect::default()) {
        let mut index = Index::new();
        tokeniser.index(b"a,b\n\nc,\"d,\"\ne", false, &mut index);
        assert_eq!(index.regular_fields(), Some(2), "{name}");
        tokeniser.index(b"a,b\nc\n", false, &mut index);
        assert_eq!(index.regular_fields(), None, "{name}");
        tokeniser.index(b"\n", false, &mut index);
        assert_eq!(index.regular_fields(), None, "{name}");
    }
}

#[test]
fn quotes_and_what_is_not_ascii_count_only_in_consumed_bytes() {
    for (name, tokeniser) in tokenisers(&Dialect::default()) {
        let mut index = Index::new();
        tokeniser.index("a,b\nä,\"c".as_bytes(), false, &mut index);
        assert!(index.is_ascii() && !index.has_quotes(), "{name}");
        tokeniser.index("ä,c\nd,\"".as_bytes(), false, &mut index);
        assert!(!index.is_ascii() && !index.has_quotes(), "{name}");
        tokeniser.index(b"a,\"c\"\n", false, &mut index);
        assert!(index.is_ascii() && index.has_quotes(), "{name}");
    }
}

#[test]
fn an_index_keeps_its_buffers() {
    let text = "a,\"b\"c\n".repeat(10_000);
    for (name, tokeniser) in tokenisers(&Dialect::default()) {
        let mut index = Index::new();
        let mut buffers = || {
            tokeniser.index(text.as_bytes(), false, &mut index);
            let positions = [index.field_ends(), index.record_starts(), index.record_ends(), index.first_fields()];
            (positions.map(<[u32]>::as_ptr), index.faults().as_ptr())
        };
        assert_eq!(buffers(), buffers(), "{name}");
    }
}

#[test]
fn a_dialect_gives_no_byte_two_roles() {
    let check = |delimiter: &str, quote, escape, comment| {
        Dialect { delimiter: delimiter.into(), quote, escape, comment }.validate()
    };
    assert_eq!(check("", None, None, None), Err(InvalidDialect::DelimiterLength(0)));
    assert_eq!(check("123456789", None, None, None), Err(InvalidDialect::DelimiterLength(9)));
    assert_eq!(check("\n", None, None, None), Err(InvalidDialect::TwoRoles(b'\n')));
    assert_eq!(check("|\r", None, None, None), Err(InvalidDialect::TwoRoles(b'\r')));
    assert_eq!(check("|\"", Some(b'"'), None, None), Err(InvalidDialect::TwoRoles(b'"')));
    assert_eq!(check(",", Some(b','), None, None), Err(InvalidDialect::TwoRoles(b',')));
    assert_eq!(check(",", Some(b'"'), Some(b','), None), Err(InvalidDialect::TwoRoles(b',')));
    assert_eq!(check(",", Some(b'"'), None, Some(b'"')), Err(InvalidDialect::TwoRoles(b'"')));
    assert_eq!(check(",", Some(b'"'), Some(b'"'), Some(b'#')), Ok(()));
    assert_eq!(check(",#", Some(b'"'), Some(b'\\'), Some(b'#')), Ok(()));
    assert!(Tokeniser::new(&Dialect { delimiter: Vec::new(), ..Dialect::default() }).is_err());
    let message = InvalidDialect::TwoRoles(b'\n').to_string();
    assert!(message.starts_with("'\\n' has two roles"), "{message}");
}

#[test]
fn a_value_is_borrowed_when_nothing_changes() {
    let mut out = Vec::new();
    let plain = Dialect::default();
    assert_eq!(plain.unquote(b"a\"b", &mut out), Unquoted::Borrowed(b"a\"b"));
    assert_eq!(plain.unquote(b"\"a,b\"", &mut out), Unquoted::Borrowed(b"a,b"));
    assert_eq!(plain.unquote(b"\"\"", &mut out), Unquoted::Borrowed(b""));
    assert_eq!(plain.unquote(b"", &mut out), Unquoted::Borrowed(b""));
    assert_eq!(plain.unquote(b"\"a", &mut out), Unquoted::Borrowed(b"a"));
    assert_eq!(dialect(",", Some(b'\\'), None).unquote(b"ab\\", &mut out), Unquoted::Borrowed(b"ab\\"));
    assert_eq!(out, b"");
    assert_eq!(plain.unquote(b"\"a\"\"b\"", &mut out), Unquoted::Appended(3));
    assert_eq!(plain.unquote(b"\"\"\"\"", &mut out), Unquoted::Appended(1));
    assert_eq!(out, b"a\"b\"");
}

#[test]
fn malformed_fields_have_values_too() {
    let escaped = dialect(",", Some(b'\\'), None);
    assert_eq!(value(&escaped, b"\"a\\"), b"a\\");
    assert_eq!(value(&escaped, b"\"a\"b\\,c\\"), b"ab,c\\");
    assert_eq!(value(&escaped, b"\\\\\\"), b"\\\\");
    assert_eq!(value(&Dialect::default(), b"\"a\"\"\"b\""), b"a\"b\"");
    assert_eq!(value(&Dialect::default(), b"\""), b"");
}

#[test]
fn each_line_end_counts_once() {
    assert_eq!(line_ends(b"a\nb\r\nc\rd\r\r\n\n\r"), 7);
    assert_eq!(line_ends(b""), 0);
}
