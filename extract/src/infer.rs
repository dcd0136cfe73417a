//! A first spec from a sample of an object, for a person to correct.

mod delimited;
mod json;
mod object;
mod sample;
mod typed;
mod values;
mod write;

use stepwell_pipeline::spec::Format;

pub use self::object::infer_object;
use self::values::Values;

/// How many bytes of a file are looked at, at most, at each place.
pub const SAMPLE_BYTES_MAX: usize = 8 << 20;

/// What is looked at of a file of text.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The object's name, without folders.
    pub name: &'a str,
    /// The file's name where it is one of an archive.
    pub entry: Option<&'a str>,
    /// The first bytes, decompressed.
    pub head: &'a [u8],
    /// Whether `head` is the whole file.
    pub is_whole: bool,
    /// Bytes from further places, such as the middle and the end.
    pub later: &'a [&'a [u8]],
}

/// Writes a first spec for files of text, in YAML with comments that say what was seen.
///
/// # Errors
/// Why no spec can be inferred: it is no text, or there are no records.
pub fn infer(sample: &Sample<'_>) -> Result<String, String> {
    let is_whole = sample.is_whole && sample.head.len() <= SAMPLE_BYTES_MAX;
    let text = sample::decode(&sample.head[..sample.head.len().min(SAMPLE_BYTES_MAX)])?;
    let later: Vec<String> = sample.later.iter().filter_map(|piece| text.decode_piece(piece)).collect();
    let format = format_of(sample.entry.unwrap_or(sample.name), &text.text);
    let table = if format.is_json() {
        json::read(&text.text, &later, format, is_whole)?
    } else {
        delimited::read(&text.text, &later, is_whole)?
    };
    if table.columns.is_empty() || table.records == 0 {
        return Err(format!("{} has no records to infer a spec from", sample.name));
    }
    Ok(write::text_spec(sample.name, format, text.encoding, &table, is_whole))
}

fn format_of(name: &str, text: &str) -> Format {
    let begins = text.trim_start().chars().next();
    match Format::of_name(name).filter(|format| format.is_text()) {
        Some(format) => format,
        None if begins == Some('[') => Format::Json,
        None if begins == Some('{') => Format::Ndjson,
        None => Format::Csv,
    }
}

/// What was seen of a table.
#[derive(Debug, Default)]
struct Table {
    /// Lines of the section `csv` or `json` of the source.
    options: Vec<String>,
    columns: Vec<Seen>,
    records: u64,
    remarks: Vec<String>,
}

/// What was seen of a column.
#[derive(Debug)]
struct Seen {
    name: String,
    path: Option<String>,
    values: Values,
}

#[cfg(test)]
mod tests;
