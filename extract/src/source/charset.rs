use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use encoding_rs::{DecoderResult, EncoderResult, Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE};

use stepwell_pipeline::{ErrorKind, StageError, spec::nearest};

use super::compression::Pool;

/// The bytes before a chunk that a malformed sequence may reach back to: encoding_rs reports at most 4 malformed
/// bytes followed by 3 others.
const LOOK_BACK_BYTES: usize = 8;

/// Labels that a typing error is compared with; `encoding_rs` knows some 200 more.
const COMMON_LABELS: [&str; 24] = [
    "utf-8",
    "utf-16",
    "utf-16le",
    "utf-16be",
    "latin1",
    "ascii",
    "iso-8859-1",
    "iso-8859-2",
    "iso-8859-5",
    "iso-8859-7",
    "iso-8859-15",
    "windows-1250",
    "windows-1251",
    "windows-1252",
    "windows-1253",
    "windows-1254",
    "windows-1256",
    "cp1252",
    "koi8-r",
    "macintosh",
    "shift_jis",
    "euc-jp",
    "gbk",
    "big5",
];

/// The encoding of a label of the WHATWG Encoding Standard, such as `latin1` or `utf-16le`.
///
/// # Errors
/// A message that names the nearest label, for what is none.
pub(crate) fn encoding(label: &str) -> Result<&'static Encoding, String> {
    match Encoding::for_label(label.as_bytes()) {
        Some(encoding) if encoding == REPLACEMENT => {
            Err(format!("the encoding `{label}` is one that no browser supports any more, and neither does Stepwell"))
        }
        Some(encoding) => Ok(encoding),
        None => Err(match nearest(label.trim(), COMMON_LABELS) {
            Some(meant) => format!("unknown encoding `{label}`; did you mean `{meant}`?"),
            None => {
                format!("unknown encoding `{label}`; its name by the WHATWG, such as `utf-8` or `latin1`, is wanted")
            }
        }),
    }
}

/// The encoding that a spec declares, if any.
///
/// # Errors
/// `InvalidSpec` for an unknown label.
pub(crate) fn declared(label: Option<&str>) -> Result<Option<&'static Encoding>, StageError> {
    let invalid = |message| StageError::new(ErrorKind::InvalidSpec, format!("source.encoding: {message}"));
    label.map(encoding).transpose().map_err(invalid)
}

/// The encoding of a text and the length of its byte order mark, by its first bytes (three or more, if it has them).
///
/// A byte order mark goes before what is declared, as in the Encoding Standard; so `utf-16` means either order.
pub(crate) fn detect(declared: Option<&'static Encoding>, start: &[u8]) -> (Charset, usize) {
    match Encoding::for_bom(start) {
        Some((encoding, bytes)) => (Charset(encoding), bytes),
        None => (Charset(declared.unwrap_or(UTF_8)), 0),
    }
}

/// How the original bytes of a text stand for its characters.
///
/// Texts are handled as UTF-8. What in another encoding stands for no character becomes bytes that are not UTF-8, so
/// that no column accepts them: each malformed byte is three bytes of 0xF8 to 0xFF, with two, three and three
/// of its bits, and so can be given back unchanged. UTF-8 itself is passed on as it is, malformed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Charset(&'static Encoding);

impl Charset {
    /// Whether the text's bytes are its original bytes.
    pub(crate) fn is_utf8(self) -> bool {
        self.0 == UTF_8
    }

    /// The text that the first bytes of a file are, without byte order mark.
    pub(crate) fn preview(self, start: Bytes) -> Bytes {
        if self.is_utf8() { start } else { Transcoder::new(self).decode(&mut start.clone(), false) }
    }

    /// The WHATWG name.
    pub(crate) fn name(self) -> &'static str {
        self.0.name()
    }

    /// The original bytes of a piece of text that was cut between characters. The same as read, but for encodings that
    /// spell a character in several ways (Shift_JIS, Big5 and their kin), where the usual spelling is given.
    pub(crate) fn encode(self, text: &[u8]) -> Vec<u8> {
        let mut original = Vec::with_capacity(text.len());
        self.pieces(text, |piece| original.extend_from_slice(piece));
        original
    }

    /// The length of what [`Charset::encode`] gives.
    pub(crate) fn original_len(self, text: &[u8]) -> u64 {
        let mut bytes = 0;
        if self.0.is_single_byte() && text.is_ascii() {
            return text.len() as u64;
        }
        self.pieces(text, |piece| bytes += piece.len() as u64);
        bytes
    }

    fn pieces(self, text: &[u8], mut piece: impl FnMut(&[u8])) {
        if self.is_utf8() {
            return piece(text);
        }
        let mut escape = Escape::default();
        for chunk in text.utf8_chunks() {
            match self.0 {
                encoding if encoding == UTF_16LE => utf16_pieces(chunk.valid(), u16::to_le_bytes, &mut piece),
                encoding if encoding == UTF_16BE => utf16_pieces(chunk.valid(), u16::to_be_bytes, &mut piece),
                encoding => encoder_pieces(encoding, chunk.valid(), &mut piece),
            }
            for byte in chunk.invalid() {
                if let Some(byte) = escape.unescape(*byte) {
                    piece(&[byte]);
                }
            }
        }
    }
}

fn utf16_pieces(text: &str, bytes: fn(u16) -> [u8; 2], piece: &mut impl FnMut(&[u8])) {
    text.encode_utf16().for_each(|unit| piece(&bytes(unit)));
}

fn encoder_pieces(encoding: &'static Encoding, mut text: &str, piece: &mut impl FnMut(&[u8])) {
    let mut encoder = encoding.new_encoder();
    let mut buffer = [0; 1024];
    loop {
        let (result, read, written) = encoder.encode_from_utf8_without_replacement(text, &mut buffer, true);
        piece(&buffer[..written]);
        text = &text[read..];
        match result {
            EncoderResult::InputEmpty => return,
            EncoderResult::OutputFull => {}
            // Text that was decoded from this encoding holds no such character.
            EncoderResult::Unmappable(_) => piece(b"?"),
        }
    }
}

/// Malformed bytes as bytes that are in no UTF-8.
#[derive(Default)]
struct Escape {
    bits: u16,
    bytes: u8,
}

const ESCAPE: u8 = 0xf8;

impl Escape {
    fn escape(byte: u8) -> [u8; 3] {
        [ESCAPE | (byte >> 6), ESCAPE | ((byte >> 3) & 7), ESCAPE | (byte & 7)]
    }

    fn unescape(&mut self, byte: u8) -> Option<u8> {
        self.bits = (self.bits << 3) | u16::from(byte & 7);
        self.bytes = (self.bytes + 1) % 3;
        (self.bytes == 0).then(|| std::mem::take(&mut self.bits).to_le_bytes()[0])
    }
}

/// Decodes the chunks of a text into UTF-8.
pub(crate) struct Transcoder {
    decoder: encoding_rs::Decoder,
    pool: Pool,
    /// The end of the chunk before.
    behind: VecDeque<u8>,
    /// What does not fit into the chunk.
    malformed: VecDeque<u8>,
    ended: bool,
}

impl Transcoder {
    pub(crate) fn new(charset: Charset) -> Self {
        Self {
            decoder: charset.0.new_decoder_without_bom_handling(),
            pool: Pool::default(),
            behind: VecDeque::new(),
            malformed: VecDeque::new(),
            ended: false,
        }
    }

    /// Decodes from the front of `original`, taking off what it has read. Gives a chunk whenever one is full, and at
    /// the end of `original`; an empty one means that more is needed or, after `last`, that the text has ended.
    pub(crate) fn decode(&mut self, original: &mut Bytes, last: bool) -> Bytes {
        let mut buffer = self.pool.take();
        let mut filled = 0;
        loop {
            while let Some(byte) = self.malformed.front().copied().filter(|_| filled < buffer.len()) {
                buffer[filled] = byte;
                filled += 1;
                self.malformed.pop_front();
            }
            // encoding_rs wants room for one character, and panics when used after its end.
            if self.ended || buffer.len() - filled < 16 {
                break;
            }
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(original, &mut buffer[filled..], last);
            filled += written;
            self.behind.extend(original[..read].iter().skip(read.saturating_sub(LOOK_BACK_BYTES)));
            self.behind.drain(..self.behind.len().saturating_sub(LOOK_BACK_BYTES));
            original.advance(read);
            match result {
                DecoderResult::InputEmpty => {
                    self.ended = last;
                    break;
                }
                DecoderResult::OutputFull => break,
                DecoderResult::Malformed(bytes, beyond) => self.give_back(bytes.into(), beyond.into()),
            }
        }
        self.pool.freeze(buffer, filled)
    }

    /// Escapes malformed bytes, which are followed by `beyond` bytes that were read too.
    fn give_back(&mut self, bytes: usize, beyond: usize) {
        let end = self.behind.len().saturating_sub(beyond);
        let start = end.saturating_sub(bytes);
        self.malformed.extend(self.behind.range(start..end).flat_map(|byte| Escape::escape(*byte)));
    }
}
