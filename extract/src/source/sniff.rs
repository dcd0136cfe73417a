use stepwell_pipeline::{StageError, spec::Format};

use super::compression::unreadable;

/// How many bytes of a file's content are looked at, at most.
pub(crate) const SNIFF_BYTES: usize = 64 * 1024;

/// Files that are one thing and hold another, and that need unpacking first.
const PACKED: [(&[u8], &str); 10] = [
    (b"\x1f\x8b\x08", "gzip data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"BZh\x311AY&SY", "bzip2 data"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\xfd7zXZ\x00", "xz data"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"\x04\x22\x4d\x18", "lz4 data"),
    (b"\x1f\x9d", "data of `compress`"),
];

/// Formats that no stage reads.
const FOREIGN: [(&[u8], &str); 7] = [
    (b"%PDF-", "a PDF document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old office document; export it as CSV"),
    (b"SQLite format 3\x00", "an SQLite database; export its tables"),
    (b"ARROW1\x00\x00", "an Arrow IPC file; write it as Parquet"),
    (b"ORC", "an ORC file; write it as Parquet"),
    (b"\x89PNG\r\n", "a picture"),
    (b"\x7fELF", "a program"),
];

const TAR_MAGIC_OFFSET: usize = 257;

/// What is packed once more, by the first bytes.
pub(crate) fn packed(start: &[u8]) -> Option<&'static str> {
    if start.get(TAR_MAGIC_OFFSET..).is_some_and(|rest| rest.starts_with(b"ustar")) {
        return Some("a tar archive");
    }
    PACKED.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, what)| *what)
}

/// The format of a file: what is declared, else what the content and then the suffix say.
///
/// `name` is what messages call the file, `key` its name, and `start` the first bytes of its decompressed content;
/// `text` is the same in UTF-8.
///
/// # Errors
/// `UnreadableSource` for content that is plainly not of the declared format, or of none.
pub(crate) fn format(
    declared: Option<Format>,
    name: &str,
    key: &str,
    start: &[u8],
    text: &[u8],
) -> Result<Format, StageError> {
    let found = match start {
        [b'P', b'A', b'R', b'1', ..] => Some(Format::Parquet),
        [b'P', b'A', b'R', b'E', ..] => return Err(unreadable(format!("{name} is an encrypted Parquet file"))),
        [b'O', b'b', b'j', 1, ..] => Some(Format::Avro),
        _ => None,
    };
    match (declared, found) {
        (Some(declared), Some(found)) if declared != found => {
            return Err(unreadable(format!(
                "{name} holds {}, but `format` says {}",
                described(found),
                declared.name()
            )));
        }
        (_, Some(found)) => return Ok(found),
        (Some(declared @ (Format::Parquet | Format::Avro)), None) => {
            let what = described(declared);
            return Err(unreadable(format!("{name} does not begin as {what} does, which `format` says it is")));
        }
        (_, None) => {}
    }
    if let Some((_, what)) = FOREIGN.iter().find(|(magic, _)| start.starts_with(magic) && is_binary(start, magic)) {
        return Err(unreadable(format!("{name} is {what}")));
    }
    refuse_binary(name, text)?;
    Ok(declared.unwrap_or_else(|| text_format(key, text)))
}

fn described(format: Format) -> &'static str {
    match format {
        Format::Parquet => "a Parquet file",
        Format::Avro => "an Avro file",
        Format::Csv | Format::Tsv => "delimited text",
        Format::Ndjson | Format::Json => "JSON",
    }
}

/// Whether content that begins with a magic number of letters is not the header of a table after all.
fn is_binary(start: &[u8], magic: &[u8]) -> bool {
    magic.len() > 3 || start.iter().take(4096).any(|byte| *byte < b'\t')
}

/// # Errors
/// `UnreadableSource` for text with NUL characters, as text never has and binary data and UTF-16 always do.
fn refuse_binary(name: &str, text: &[u8]) -> Result<(), StageError> {
    let Some(at) = text.iter().position(|byte| *byte == 0) else { return Ok(()) };
    let nul = |odd: usize| text.iter().skip(odd).step_by(2).take(256).filter(|byte| **byte == 0).count();
    let (even, odd) = (nul(0), nul(1));
    let advice = match text.len().min(512) / 2 {
        units if odd * 2 > units && even * 8 < units => {
            "UTF-16 without a byte order mark? Then say `encoding: utf-16le`"
        }
        units if even * 2 > units && odd * 8 < units => {
            "UTF-16 without a byte order mark? Then say `encoding: utf-16be`"
        }
        _ => "it is no text, or damaged",
    };
    Err(unreadable(format!("{name} has a NUL byte at byte {at} of its content: {advice}")))
}

fn text_format(key: &str, text: &[u8]) -> Format {
    let by_suffix = suffix_format(key);
    json_format(by_suffix, text).or(by_suffix).unwrap_or_else(|| Format::of_delimited(text))
}

/// The format that the key's suffix names, those of compression left out.
fn suffix_format(key: &str) -> Option<Format> {
    let name = key.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let packing = [".gz", ".gzip", ".zst", ".zstd", ".bz2", ".zip"];
    let name = packing.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(&name);
    match name.rsplit_once('.')?.1 {
        "csv" => Some(Format::Csv),
        "tsv" | "tab" => Some(Format::Tsv),
        "ndjson" | "jsonl" | "ldjson" | "jsonlines" => Some(Format::Ndjson),
        "json" => Some(Format::Json),
        _ => None,
    }
}

/// Whether the text begins as JSON does, and which kind.
///
/// One bracket is not enough: a header may begin with `[id]`.
fn json_format(by_suffix: Option<Format>, text: &[u8]) -> Option<Format> {
    let text = text.trim_ascii_start();
    let (first, rest) = text.split_first()?;
    match (first, rest.trim_ascii_start().first()) {
        (b'[', Some(b'{' | b']')) => Some(Format::Json),
        (b'{', Some(b'"' | b'}')) => Some(object_format(by_suffix, text)),
        _ => None,
    }
}

/// Whether the objects stand one a line, or one object is the document.
fn object_format(by_suffix: Option<Format>, text: &[u8]) -> Format {
    let whole = |line: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok();
    match text.iter().position(|byte| *byte == b'\n') {
        Some(end) if !whole(&text[..end]) => Format::Json,
        Some(end) if !text[end..].trim_ascii().is_empty() => Format::Ndjson,
        // One line, whole or longer than what is seen: an object with the records in it, or a single record.
        _ => by_suffix.filter(|format| *format == Format::Json).unwrap_or(Format::Ndjson),
    }
}
