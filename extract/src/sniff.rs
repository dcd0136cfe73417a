use stepwell_pipeline::{ErrorKind, StageError};

const FOREIGN: [(&[u8], &str); 8] = [
    (b"\x1f\x8b", "gzip data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"BZh", "bzip2 data"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet"),
    (b"PAR1", "a Parquet file"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
    (b"%PDF", "a PDF document"),
];

/// The length of the UTF-8 byte order mark that the object begins with.
///
/// # Errors
/// `UnreadableSource` for content that plainly is no CSV text in UTF-8.
pub(crate) fn byte_order_mark_bytes(key: &str, start: &[u8]) -> Result<usize, StageError> {
    let foreign = FOREIGN.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, what)| *what);
    let binary = start.iter().take(4096).any(|byte| *byte == 0).then_some("binary data or UTF-16 text");
    if let Some(what) = foreign.or(binary) {
        return Err(StageError::new(
            ErrorKind::UnreadableSource,
            format!("{key} holds {what}, and not CSV text in UTF-8"),
        ));
    }
    Ok(if start.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 })
}
