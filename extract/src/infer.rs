//! A first spec from a sample of an object, for a person to correct.

mod delimited;
mod json;
mod sample;
mod values;
mod write;

use stepwell_pipeline::spec::Format;

use self::values::Values;

/// How many bytes of an object are looked at, at most, at each place.
pub const SAMPLE_BYTES_MAX: usize = 8 << 20;

/// What is looked at of a file.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The file's name, without folders.
    pub name: &'a str,
    /// The first bytes, compressed if the file is.
    pub head: &'a [u8],
    /// Whether `head` is the whole file.
    pub is_whole: bool,
    /// Bytes from further places, such as the middle and the end; not of use for compressed files.
    pub later: &'a [&'a [u8]],
}

/// Writes a first spec, in YAML with comments that say what was seen.
///
/// # Errors
/// Why no spec can be inferred: the format is not supported, or there are no records.
pub fn infer(sample: &Sample<'_>) -> Result<String, String> {
    let head = sample::decompress(sample.head)?;
    let is_whole = sample.is_whole && head.len() < SAMPLE_BYTES_MAX;
    if head.starts_with(b"PAR1") || head.starts_with(b"Obj\x01") {
        let format = if head.starts_with(b"PAR1") { "Parquet" } else { "Avro" };
        return Err(format!(
            "{} is {format}, which declares its types itself: write the columns wanted into a spec",
            sample.name
        ));
    }
    let text = sample::decode(&head)?;
    let later: Vec<String> = match head {
        // Later pieces of a compressed file cannot be read alone.
        std::borrow::Cow::Owned(_) => Vec::new(),
        std::borrow::Cow::Borrowed(_) => sample.later.iter().filter_map(|piece| text.decode_piece(piece)).collect(),
    };
    let format = format_of(sample.name, &text.text);
    let table = if format.is_json() {
        json::read(&text.text, &later, format, is_whole)?
    } else {
        delimited::read(&text.text, &later, is_whole)?
    };
    if table.columns.is_empty() || table.records == 0 {
        return Err(format!("{} has no records to infer a spec from", sample.name));
    }
    Ok(write::spec(sample.name, format, text.encoding, &table, is_whole))
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
