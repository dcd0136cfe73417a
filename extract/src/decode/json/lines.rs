//! Records of NDJSON: one object a line.

use super::record::RecordReader;

/// What may stand before a record beside white space (RFC 7464).
const RECORD_SEPARATOR: u8 = 0x1E;

/// Reads the records of `text`, which are whole lines, until the block is full: the bytes read.
pub(super) fn read_lines(reader: &mut RecordReader<'_>) -> usize {
    let text = reader.scan.text;
    let mut at = 0;
    while !reader.block.is_full() {
        while matches!(reader.scan.at(at), b' ' | b'\t' | b'\r' | b'\n' | RECORD_SEPARATOR) {
            at += 1;
        }
        if at >= text.len() {
            return text.len();
        }
        let read = reader.read(at).and_then(|end| reader.line_end(end));
        match read {
            Ok(end) => {
                reader.accept(at, without_return(text, end));
                at = end + 1;
            }
            Err(fault) => {
                let end = memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |bytes| at + bytes);
                reader.reject(at, without_return(text, end), fault);
                at = end + 1;
            }
        }
    }
    at.min(text.len())
}

/// The end of a line that ends at `end`, without its carriage return.
#[inline(always)]
fn without_return(text: &[u8], end: usize) -> usize {
    if text[end - 1] == b'\r' { end - 1 } else { end }
}
