use serde_saphyr::Spanned;

use super::super::{CsvDialect, Dialect, Format, SourceSpec, error::Findings};

pub(super) fn check(source: &SourceSpec, findings: &mut Findings<'_>) -> Dialect {
    if let Some(format) = source.format {
        check_sections(source, format, findings);
    }
    if let Some(records) = &source.json.records
        && records.value.split('.').any(str::is_empty)
    {
        let message =
            format!("`{}` is no path: write the names from the document inwards, as in `data.items`", records.value);
        findings.add(records, message);
    }
    check_dialect(&source.csv, source.format, findings)
}

/// Refuses what would silently have no effect on sources of that format.
fn check_sections(source: &SourceSpec, format: Format, findings: &mut Findings<'_>) {
    let name = format.name();
    if let Some(at) = &source.csv.given
        && !format.is_delimited()
    {
        findings.add(at, format!("`csv` goes with the formats `csv` and `tsv`, not with `{name}`; leave it out"));
    }
    if let Some(at) = &source.json.given
        && !format.is_json()
    {
        findings.add(at, format!("`json` goes with the formats `json` and `ndjson`, not with `{name}`; leave it out"));
    } else if let Some(records) = &source.json.records
        && format == Format::Ndjson
    {
        findings
            .add(records, "`records` goes with the format `json`, one document; in `ndjson` every line is a record");
    }
    if let Some(encoding) = &source.encoding
        && !format.is_text()
    {
        findings.add(encoding, format!("`encoding` goes with formats of text, not with `{name}`; leave it out"));
    }
}

fn check_dialect(csv: &CsvDialect, format: Option<Format>, findings: &mut Findings<'_>) -> Dialect {
    let delimiter = match &csv.delimiter {
        None => vec![if format == Some(Format::Tsv) { b'\t' } else { b',' }],
        Some(delimiter) => check_delimiter(delimiter, findings),
    };
    let quote = csv.quote.as_ref().filter(|quote| !quote.value.is_empty());
    let quote = quote.and_then(|quote| Some((check_ascii(quote, "quote", findings)?, quote)));
    let escape = csv.escape.as_ref().and_then(|escape| Some((check_ascii(escape, "escape", findings)?, escape)));
    let comment = csv.comment.as_ref().and_then(|comment| Some((check_ascii(comment, "comment", findings)?, comment)));

    for (name, given) in [("quote", quote), ("escape", escape), ("comment", comment)] {
        if let Some((byte, at)) = given
            && delimiter.contains(&byte)
        {
            findings.add(at, format!("`{name}` and `delimiter` share the character {:?}", char::from(byte)));
        }
    }
    for (name, other) in [("quote", quote), ("escape", escape)] {
        if let (Some((comment, at)), Some((other, _))) = (comment, other)
            && comment == other
        {
            findings.add(at, format!("`comment` and `{name}` are the same character {:?}", char::from(comment)));
        }
    }
    let byte = |given: Option<(u8, &Spanned<String>)>| given.map(|(byte, _)| byte);
    let quote = byte(quote);
    Dialect {
        delimiter,
        quote,
        // A quote that escapes itself is what doubling is.
        escape: byte(escape).filter(|escape| Some(*escape) != quote),
        comment: byte(comment),
    }
}

fn check_delimiter(delimiter: &Spanned<String>, findings: &mut Findings<'_>) -> Vec<u8> {
    let bytes = delimiter.value.as_bytes();
    if matches!(bytes, b"\\t") {
        findings.add(delimiter, "`delimiter` is a backslash and a t; for a tab write \"\\t\" in double quotes");
    } else if bytes.is_empty() || bytes.len() > 8 || bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        let message = format!("`delimiter` is one to eight bytes without a line end, not {:?}", delimiter.value);
        findings.add(delimiter, message);
    }
    bytes.to_vec()
}

fn check_ascii(value: &Spanned<String>, what: &str, findings: &mut Findings<'_>) -> Option<u8> {
    match value.value.as_bytes() {
        // In UTF-8 a single byte is ASCII.
        [byte] if !matches!(byte, b'\n' | b'\r') => Some(*byte),
        _ => {
            let message = format!("`{what}` is one ASCII character other than a line end, not {:?}", value.value);
            findings.add(value, message);
            None
        }
    }
}
