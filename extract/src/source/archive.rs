use std::{io, ops::Range, sync::Arc};

use rawzip::{CompressionMethod, RECOMMENDED_BUFFER_SIZE, ReaderAt, ZipLocator};
use stepwell_pipeline::{ErrorKind, StageError};
use tokio::runtime::Handle;
use tracing::Span;

use super::{
    compression::{Claim, Compression, unreadable},
    ranges::Object,
};

/// The largest directory that is read, and the most entries.
const DIRECTORY_BYTES_MAX: u64 = 8 * 1024 * 1024;
const ENTRIES_MAX: u64 = 65_536;
const NAME_BYTES_MAX: usize = 1024;

/// The archive's end, in which its directory is looked for: the end record with the longest comment, and the records
/// that zip64 adds (APPNOTE 4.3.14 to 4.3.16).
const TAIL_BYTES: u64 = 22 + 65_535 + 20 + 56;

/// The bytes of a local file header before its name (APPNOTE 4.3.7).
pub(crate) const LOCAL_HEADER_BYTES: usize = 30;

/// A file within a zip archive, as the directory describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// What the archive calls it. Never used as a path.
    pub(crate) name: String,
    pub(crate) compression: Compression,
    pub(crate) claim: Claim,
    compressed_size: u64,
    method: u16,
    name_bytes: Vec<u8>,
    /// Where its local header begins, and what begins after it: another entry or the directory.
    pub(crate) room: Range<u64>,
}

impl Entry {
    /// Where the entry's compressed bytes are, by its local header: the first bytes of its room.
    ///
    /// # Errors
    /// `UnreadableSource` if the header contradicts the directory.
    pub(crate) fn data(&self, header: &[u8], object: &str) -> Result<Range<u64>, StageError> {
        let contradiction = || {
            let name = &self.name;
            unreadable(format!("{object} is damaged: what precedes its entry `{name}` is not what its directory says"))
        };
        let field = |at: usize| Some(u16::from_le_bytes([*header.get(at)?, *header.get(at + 1)?]));
        let (Some(flags), Some(method), Some(name_bytes), Some(extra_bytes)) =
            (field(6), field(8), field(26), field(28))
        else {
            return Err(contradiction());
        };
        if flags & 1 != 0 {
            return Err(encrypted(&self.name, object));
        }
        let name = header.get(LOCAL_HEADER_BYTES..LOCAL_HEADER_BYTES + usize::from(name_bytes));
        if !header.starts_with(b"PK\x03\x04") || method != self.method || name != Some(&self.name_bytes) {
            return Err(contradiction());
        }
        let start = self.room.start + LOCAL_HEADER_BYTES as u64 + u64::from(name_bytes) + u64::from(extra_bytes);
        match start.checked_add(self.compressed_size) {
            Some(end) if end <= self.room.end => Ok(start..end),
            _ => Err(contradiction()),
        }
    }

    /// How many bytes of the room [`Entry::data`] wants to see.
    pub(crate) fn header_bytes(&self) -> u64 {
        (LOCAL_HEADER_BYTES + self.name_bytes.len()) as u64
    }
}

/// The files of a zip archive, in the directory's order, without folders and what macOS adds.
///
/// # Errors
/// `UnreadableSource` for archives that are damaged, encrypted, too large in their directory, compressed by methods
/// that few write, name entries as no honest archive does, or hold no file; and what the store says.
pub(crate) async fn directory(object: &Object) -> Result<Arc<[Entry]>, StageError> {
    let (object, handle, span) = (object.clone(), Handle::current(), Span::current());
    tokio::task::spawn_blocking(move || {
        let _entered = span.entered();
        let size = object.size();
        let tail_start = size.saturating_sub(TAIL_BYTES);
        let fetch = |range: Range<u64>| handle.block_on(object.read(range));
        let archive = Window { tail: fetch(tail_start..size)?, tail_start, size, fetch: &fetch };
        entries(&archive, size, &object.name())
    })
    .await
    .map_err(|error| StageError::with_source(ErrorKind::Internal, "reading a zip directory was cancelled", error))?
}

/// The entries of the archive of `size` bytes; `object` is what messages call it.
pub(crate) fn entries(archive: impl ReaderAt, size: u64, object: &str) -> Result<Arc<[Entry]>, StageError> {
    let damaged = |error: rawzip::Error| damaged(object, error);
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let archive = ZipLocator::new()
        .max_search_space(TAIL_BYTES)
        .locate_in_reader(archive, &mut buffer, size)
        .map_err(|(_, error)| damaged(error))?;
    let (start, end) = (archive.directory_offset(), archive.eocd_offset());
    let hint = archive.entries_hint();
    if end.saturating_sub(start) > DIRECTORY_BYTES_MAX || hint > ENTRIES_MAX {
        return Err(unreadable(format!(
            "the zip archive {object} has a directory of {hint} entries in {} bytes, more than the {ENTRIES_MAX} in \
             {DIRECTORY_BYTES_MAX} that are read; split it",
            end.saturating_sub(start)
        )));
    }
    let mut buffer = vec![0; rawzip::MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
    let mut records = archive.entries(&mut buffer);
    let (mut entries, mut count) = (Vec::new(), 0);
    while let Some(record) = records.next_entry().map_err(damaged)? {
        count += 1;
        if count > hint {
            break;
        }
        let name_bytes = record.file_path().as_bytes();
        let name = checked_name(name_bytes, object)?;
        let method = record.compression_method();
        let room = record.local_header_offset()..start;
        let (compressed_size, size) = (record.compressed_size_hint(), record.uncompressed_size_hint());
        if record.flags().is_encrypted() {
            return Err(encrypted(&name, object));
        }
        let is_folder = record.is_dir() && size == 0;
        let compression = if is_folder { Compression::None } else { compression(method, &name, object)? };
        let claim = Claim { size, crc32: record.crc32() };
        let (name_bytes, method) = (name_bytes.to_vec(), method.as_u16());
        entries.push(Entry { name, compression, claim, compressed_size, method, name_bytes, room });
    }
    if count != hint {
        return Err(unreadable(format!(
            "the zip archive {object} is damaged: its directory has not the {hint} entries that it says"
        )));
    }
    bound_rooms(&mut entries, object)?;
    entries.retain(|entry| !is_passed_over(&entry.name));
    refuse_documents(&entries, object)?;
    Ok(entries.into())
}

/// Ends each entry's room where the next begins. Entries that share bytes are how small archives hold petabytes
/// (Fifield, "A better zip bomb", 2019).
fn bound_rooms(entries: &mut [Entry], object: &str) -> Result<(), StageError> {
    let mut by_offset: Vec<usize> = (0..entries.len()).collect();
    by_offset.sort_by_key(|index| entries[*index].room.start);
    for pair in by_offset.windows(2) {
        entries[pair[0]].room.end = entries[pair[1]].room.start;
    }
    for Entry { name, room, compressed_size, name_bytes, .. } in entries {
        let needed = compressed_size.checked_add((LOCAL_HEADER_BYTES + name_bytes.len()) as u64);
        if needed.is_none_or(|needed| room.end.checked_sub(room.start).is_none_or(|bytes| bytes < needed)) {
            return Err(unreadable(format!(
                "the zip archive {object} is damaged or malicious: its entry `{name}` shares bytes with another"
            )));
        }
    }
    Ok(())
}

fn refuse_documents(entries: &[Entry], object: &str) -> Result<(), StageError> {
    if entries.iter().any(|entry| entry.name == "[Content_Types].xml" || entry.name == "content.xml") {
        return Err(unreadable(format!(
            "{object} is an office document such as a spreadsheet, and no archive of data files; export it as CSV"
        )));
    }
    if entries.is_empty() {
        return Err(unreadable(format!("the zip archive {object} holds no file")));
    }
    let mut names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(unreadable(format!("the zip archive {object} holds two entries named `{}`", pair[0]))),
        None => Ok(()),
    }
}

/// An entry's name, if it is one that an honest archive gives. It is shown to people and never used as a path; an
/// archive made to escape from a folder is refused nonetheless.
fn checked_name(bytes: &[u8], object: &str) -> Result<String, StageError> {
    let shown: String = String::from_utf8_lossy(bytes).chars().take(100).flat_map(char::escape_debug).collect();
    let refused = |why| Err(unreadable(format!("the zip archive {object} has an entry whose name {why}: `{shown}`")));
    if bytes.is_empty() || bytes.len() > NAME_BYTES_MAX {
        return refused("is empty or too long");
    }
    if bytes.starts_with(b"/") || bytes.get(1) == Some(&b':') {
        return refused("is an absolute path");
    }
    if bytes.split(|byte| *byte == b'/' || *byte == b'\\').any(|part| part == b"..") {
        return refused("leads out of the archive");
    }
    if bytes.contains(&b'\\') {
        return refused("holds a backslash");
    }
    // Names without the UTF-8 flag are in code page 437 or whatever the writer's system used.
    let name = String::from_utf8_lossy(bytes).into_owned();
    if name.chars().any(char::is_control) {
        return refused("holds a control character");
    }
    Ok(name)
}

fn is_passed_over(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or_default();
    file.is_empty() || name.starts_with("__MACOSX/") || file == ".DS_Store" || file.eq_ignore_ascii_case("thumbs.db")
}

fn compression(method: CompressionMethod, name: &str, object: &str) -> Result<Compression, StageError> {
    match method {
        CompressionMethod::STORE => Ok(Compression::None),
        CompressionMethod::DEFLATE => Ok(Compression::Deflate),
        CompressionMethod::BZIP2 => Ok(Compression::Bzip2),
        CompressionMethod::ZSTD | CompressionMethod::ZSTD_DEPRECATED => Ok(Compression::Zstd),
        CompressionMethod::AES => Err(encrypted(name, object)),
        method => Err(unreadable(format!(
            "the entry `{name}` of the zip archive {object} is compressed by {}, and not by deflate, zstd, bzip2 or \
             not at all; zip it anew",
            method.name().map_or_else(|| format!("method {}", method.as_u16()), str::to_owned)
        ))),
    }
}

fn encrypted(name: &str, object: &str) -> StageError {
    unreadable(format!("the entry `{name}` of the zip archive {object} is encrypted; zip it without a password"))
}

fn damaged(object: &str, error: rawzip::Error) -> StageError {
    match error.into_kind() {
        rawzip::ErrorKind::IO(error) => match error.downcast::<StageError>() {
            Ok(error) => error,
            Err(error) => {
                let message = format!("the zip archive {object} is damaged or truncated");
                StageError::with_source(ErrorKind::UnreadableSource, message, error)
            }
        },
        rawzip::ErrorKind::MissingEndOfCentralDirectory => {
            unreadable(format!("the zip archive {object} is truncated: its directory, which is at the end, is missing"))
        }
        kind => unreadable(format!("the zip archive {object} is damaged or truncated: {kind}")),
    }
}

/// An archive whose end is at hand and whose other bytes are fetched.
struct Window<'a, F> {
    tail: bytes::Bytes,
    tail_start: u64,
    size: u64,
    fetch: &'a F,
}

impl<F: Fn(Range<u64>) -> Result<bytes::Bytes, StageError>> ReaderAt for Window<'_, F> {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.size || into.is_empty() {
            return Ok(0);
        }
        if let Some(at) = offset.checked_sub(self.tail_start) {
            let from = usize::try_from(at).ok().and_then(|at| self.tail.get(at..)).unwrap_or_default();
            let bytes = from.len().min(into.len());
            into[..bytes].copy_from_slice(&from[..bytes]);
            return Ok(bytes);
        }
        let end = self.size.min(offset.saturating_add(into.len() as u64));
        let from = (self.fetch)(offset..end).map_err(io::Error::other)?;
        into[..from.len()].copy_from_slice(&from);
        Ok(from.len())
    }
}
