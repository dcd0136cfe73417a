use stepwell_pipeline::spec::{CheckedSpec, Format};
use stepwell_tokenise::{Dialect, Index, Tokeniser, Unquoted};

use super::{Record, Unread};

/// The first record of delimited text, after the lines to skip and the header.
pub(super) fn first(spec: &CheckedSpec, format: Format, text: &str, is_whole: bool) -> Result<Record, Unread> {
    let csv = &spec.spec.source.csv;
    let Some(table) = skipped(text, csv.skip_lines) else { return Err(missing(is_whole)) };
    let dialect = dialect(spec, format);
    let tokeniser = Tokeniser::new(&dialect).map_err(|error| Unread::Unreadable(error.to_string()))?;
    let mut index = Index::new();
    tokeniser.index(table.as_bytes(), is_whole, &mut index);
    let values = |record: usize| -> Vec<String> {
        let fields = (index.first_fields()[record + 1] - index.first_fields()[record]) as usize;
        (0..fields).map(|field| unquoted(&dialect, index.field(table.as_bytes(), record, field))).collect()
    };
    let record = usize::from(csv.header);
    if index.records() <= record {
        return Err(missing(is_whole));
    }
    let names: Vec<String> = if csv.header {
        values(0).into_iter().map(|name| name.trim().to_owned()).collect()
    } else {
        spec.columns.iter().map(|column| column.path[0].clone()).collect()
    };
    let is_trimmed = |name: &str| {
        let column = spec.columns.iter().find(|column| column.path[0] == name);
        column.map_or(csv.trim, |column| column.trim)
    };
    let fields = names.into_iter().zip(values(record)).map(|(name, value)| {
        let value = if is_trimmed(&name) { value.trim().to_owned() } else { value };
        (name, value)
    });
    Ok(Record::Fields(fields.collect()))
}

fn missing(is_whole: bool) -> Unread {
    if is_whole { Unread::Unreadable("there is none".to_owned()) } else { Unread::Longer }
}

fn dialect(spec: &CheckedSpec, format: Format) -> Dialect {
    let written = &spec.dialect;
    let is_tabbed = format == Format::Tsv && spec.spec.source.csv.delimiter.is_none();
    Dialect {
        delimiter: if is_tabbed { b"\t".to_vec() } else { written.delimiter.clone() },
        quote: written.quote,
        escape: written.escape,
        comment: written.comment,
    }
}

/// The text behind so many lines; nothing where there are fewer.
fn skipped(text: &str, lines: u64) -> Option<&str> {
    let mut rest = text;
    for _ in 0..lines {
        let end = rest.find(['\n', '\r'])?;
        rest = rest[end..].strip_prefix("\r\n").unwrap_or(&rest[end + 1..]);
    }
    Some(rest)
}

fn unquoted(dialect: &Dialect, raw: &[u8]) -> String {
    let mut copied = Vec::new();
    let value = match dialect.unquote(raw, &mut copied) {
        Unquoted::Borrowed(value) => value,
        Unquoted::Appended(_) => &copied,
    };
    String::from_utf8_lossy(value).into_owned()
}
