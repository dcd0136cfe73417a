//! The first record of an object, out of its first bytes, for `match.where`.

mod json;
mod table;

use std::{borrow::Cow, io::Read};

use encoding_rs::{Encoding, UTF_8};
use serde_json::{Map, Value};
use stepwell_pipeline::spec::{CheckedSpec, FieldCondition, Format};

/// The most bytes that are looked at of what decompresses.
const PLAIN_BYTES_MAX: u64 = 1024 * 1024;
/// The largest window of a zstd frame, as a power of two: 32 MiB, what `extract` takes.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

/// The first record of an object.
#[derive(Debug, PartialEq)]
pub(crate) enum Record {
    /// A JSON object.
    Object(Map<String, Value>),
    /// The fields of delimited text, with the names that the header or the schema gives them.
    Fields(Vec<(String, String)>),
}

/// Why there is no record to look at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// The bytes end before it does.
    Longer,
    /// It cannot be read, and why.
    Unreadable(String),
}

impl Record {
    pub(crate) fn fits(&self, condition: &FieldCondition) -> bool {
        match self {
            Self::Object(object) => condition.fits_object(object),
            Self::Fields(fields) => {
                let field = fields.iter().find(|(name, _)| *name == condition.name);
                field.is_some_and(|(_, text)| condition.fits_text(text))
            }
        }
    }
}

/// The first record in the first bytes of an object, which may be the whole of it.
pub(crate) fn read(spec: &CheckedSpec, key: &str, start: &[u8], is_whole: bool) -> Result<Record, Unread> {
    let (plain, is_whole) = plain(start, is_whole)?;
    refuse_other_formats(&plain)?;
    let encoding = match &spec.spec.source.encoding {
        None => UTF_8,
        Some(label) => Encoding::for_label(label.value.as_bytes())
            .ok_or_else(|| Unread::Unreadable(format!("`{}` is no encoding", label.value)))?,
    };
    // A byte order mark goes before what is declared; a character that is cut is part of what is not seen whole.
    let (text, ..) = encoding.decode(&plain);
    match spec.spec.source.format.unwrap_or_else(|| format_of(key, &text)) {
        format @ (Format::Json | Format::Ndjson) => {
            let records = spec.spec.source.json.records.as_ref().filter(|_| format == Format::Json);
            json::first(&text, records.map(|records| records.value.as_str()), is_whole)
        }
        format @ (Format::Csv | Format::Tsv) => table::first(spec, format, &text, is_whole),
        other => Err(unreadable(other)),
    }
}

fn unreadable(format: Format) -> Unread {
    Unread::Unreadable(format!("`where` looks into text, not into {}", format.name()))
}

/// The first bytes of the content, and whether they are all of it.
fn plain(start: &[u8], is_whole: bool) -> Result<(Cow<'_, [u8]>, bool), Unread> {
    match start {
        [0x1f, 0x8b, 8, ..] => inflated("gzip", flate2::read::MultiGzDecoder::new(start), is_whole),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            let decoder = zstd::stream::read::Decoder::with_buffer(start).and_then(|mut decoder| {
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Ok(decoder)
            });
            let decoder = decoder.map_err(|error| Unread::Unreadable(format!("zstd: {error}")))?;
            inflated("zstd", decoder, is_whole)
        }
        _ => Ok((Cow::Borrowed(start), is_whole)),
    }
}

fn inflated<'a>(name: &str, decoder: impl Read, is_whole: bool) -> Result<(Cow<'a, [u8]>, bool), Unread> {
    let mut plain = Vec::new();
    let ended = decoder.take(PLAIN_BYTES_MAX).read_to_end(&mut plain);
    match ended {
        // Of an object that is not seen whole, an error may be no more than the cut.
        Err(_) if !is_whole => Ok((Cow::Owned(plain), false)),
        Err(error) if plain.is_empty() => Err(Unread::Unreadable(format!("{name}: {error}"))),
        Err(_) => Ok((Cow::Owned(plain), true)),
        Ok(_) => {
            let is_all = is_whole && (plain.len() as u64) < PLAIN_BYTES_MAX;
            Ok((Cow::Owned(plain), is_all))
        }
    }
}

fn refuse_other_formats(plain: &[u8]) -> Result<(), Unread> {
    let name = match plain {
        [b'P', b'A', b'R', b'1', ..] => "Parquet",
        [b'O', b'b', b'j', 1, ..] => "Avro",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', ..] => "bzip2 data",
        _ => return Ok(()),
    };
    Err(Unread::Unreadable(format!("`where` looks into plain, gzip and zstd text, not into {name}")))
}

/// The format as `extract` tells it where none is declared: by the content, then by the suffix.
fn format_of(key: &str, text: &str) -> Format {
    let bytes = text.trim_start().as_bytes();
    let next = bytes.get(1..).and_then(|rest| rest.trim_ascii_start().first());
    let by_suffix = Format::of_name(key).filter(|format| format.is_text());
    match (bytes.first(), next) {
        (Some(b'['), Some(b'{' | b']')) => Format::Json,
        // Whether one object a line or one that is the document, the first is the record, or holds it.
        (Some(b'{'), Some(b'"' | b'}')) => by_suffix.filter(|format| format.is_json()).unwrap_or(Format::Json),
        _ => by_suffix.unwrap_or_else(|| Format::of_delimited(text.as_bytes())),
    }
}

#[cfg(test)]
mod tests;
