use std::{
    borrow::Cow,
    io::{BufReader, Read},
};

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use super::SAMPLE_BYTES_MAX;

/// The text of a sample and its encoding.
pub(super) struct Text {
    pub(super) text: String,
    pub(super) encoding: &'static Encoding,
}

/// The first bytes of what was compressed; a cut at the sample's end is no error.
pub(super) fn decompress(head: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    match head {
        [0x1f, 0x8b, ..] => first_bytes(flate2::read::MultiGzDecoder::new(head)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = zstd::stream::read::Decoder::with_buffer(BufReader::new(head));
            first_bytes(decoder.map_err(|error| format!("the zstd stream cannot be read: {error}"))?)
        }
        [b'P', b'K', 3, 4, ..] => Err("zip archives cannot be sampled: unpack a file of it first".to_owned()),
        [b'B', b'Z', b'h', ..] => Err("bzip2 cannot be sampled: decompress the file first".to_owned()),
        _ => Ok(Cow::Borrowed(&head[..head.len().min(SAMPLE_BYTES_MAX)])),
    }
}

fn first_bytes(reader: impl Read) -> Result<Cow<'static, [u8]>, String> {
    let mut bytes = Vec::new();
    let read = reader.take(SAMPLE_BYTES_MAX as u64).read_to_end(&mut bytes);
    match read {
        Err(error) if bytes.is_empty() => Err(format!("the file cannot be decompressed: {error}")),
        _ => Ok(Cow::Owned(bytes)),
    }
}

/// Decodes the beginning of a file, telling the encoding from the byte order mark, else from the bytes.
pub(super) fn decode(bytes: &[u8]) -> Result<Text, String> {
    let (encoding, mark) = Encoding::for_bom(bytes).unwrap_or_else(|| (guess(bytes), 0));
    let text = encoding.decode_without_bom_handling(whole_characters(encoding, &bytes[mark..])).0.into_owned();
    if text.contains('\0') {
        return Err("the file is not text of a known format".to_owned());
    }
    Ok(Text { text, encoding })
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    let ascii_pairs =
        |at: usize| bytes.chunks_exact(2).take(512).filter(|pair| pair[at] == 0 && pair[1 - at] != 0).count();
    let pairs = (bytes.len() / 2).min(512);
    if pairs > 0 && ascii_pairs(1) * 2 > pairs {
        encoding_rs::UTF_16LE
    } else if pairs > 0 && ascii_pairs(0) * 2 > pairs {
        encoding_rs::UTF_16BE
    } else if std::str::from_utf8(whole_characters(UTF_8, bytes)).is_ok() {
        UTF_8
    } else {
        WINDOWS_1252
    }
}

/// The bytes without a character that the sample's end cuts.
fn whole_characters<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> &'a [u8] {
    if encoding != UTF_8 {
        return bytes;
    }
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    }
}

impl Text {
    /// A later piece, from its second line on: the first is likely to be cut.
    pub(super) fn decode_piece(&self, piece: &[u8]) -> Option<String> {
        if self.encoding != UTF_8 && self.encoding != WINDOWS_1252 {
            return None;
        }
        let end = piece.iter().position(|byte| *byte == b'\n')?;
        let piece = whole_characters(self.encoding, &piece[end + 1..]);
        Some(self.encoding.decode_without_bom_handling(piece).0.into_owned())
    }
}
