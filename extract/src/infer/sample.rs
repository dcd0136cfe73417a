use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// The text of a sample and its encoding.
pub(super) struct Text {
    pub(super) text: String,
    pub(super) encoding: &'static Encoding,
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
