use std::{
    io::{self, BufRead, Read},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::{Buf, Bytes};
use stepwell_pipeline::{ErrorKind, StageError};

/// The bytes of a decompressed chunk: small enough for the L2 cache in which the decoder finds it, large enough that
/// the inflater's window is seldom moved.
pub(crate) const CHUNK_BYTES: usize = 256 * 1024;

/// The largest window of a zstd frame, as a power of two: 32 MiB, what `zstd -20 --ultra` uses. `--long` and levels
/// 21 and 22 may ask for more, which a stage of 128 MB cannot hold.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

/// What zstd says of bytes that begin no frame; `ZSTD_ErrorCode` does not come through.
const ZSTD_NO_FRAME: &str = "Unknown frame descriptor";

/// How many bytes may come of each compressed one, once [`EXPANSION_FREE_BYTES`] have come. Tables of real values
/// compress to a tenth, monotonous logs to a hundredth; deflate's utmost is 1,032.
const EXPANSION_MAX: u64 = 200;
const EXPANSION_FREE_BYTES: u64 = if cfg!(fuzzing) { 256 * 1024 } else { 128 * 1024 * 1024 };

/// How a file's bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    /// Not at all.
    None,
    /// Gzip members, one after the other (RFC 1952).
    Gzip,
    /// Zstandard frames, one after the other (RFC 8878).
    Zstd,
    /// Bzip2 streams, one after the other.
    Bzip2,
    /// One bare deflate stream (RFC 1951), as zip entries hold it.
    Deflate,
}

impl Compression {
    /// What the first bytes of a file say.
    pub(crate) fn detect(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            // A header may begin with `BZh`; the first block's number, digits of pi or of its root, settles it.
            [b'B', b'Z', b'h', b'1'..=b'9', block @ ..]
                if block.starts_with(b"\x31\x41\x59\x26\x53\x59") || block.starts_with(b"\x17\x72\x45\x38\x50\x90") =>
            {
                Self::Bzip2
            }
            _ => Self::None,
        }
    }

    /// The compression's name, as messages name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Deflate => "deflate",
        }
    }

    /// Whether another stream of this compression may begin with the byte.
    fn may_begin_with(self, byte: u8) -> bool {
        match self {
            Self::None | Self::Deflate => false,
            Self::Gzip => byte == 0x1f,
            Self::Zstd => byte == 0x28 || (0x50..=0x5f).contains(&byte),
            Self::Bzip2 => byte == b'B',
        }
    }
}

/// How many bytes of an object were read and what came of them, over all files in it.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    read: AtomicU64,
    written: AtomicU64,
}

impl Meter {
    /// Bytes of the object that were read so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    pub(crate) fn add_read(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn set_read(&self, bytes: u64) {
        self.read.store(bytes, Relaxed);
    }

    /// Counts decompressed bytes.
    ///
    /// # Errors
    /// `UnreadableSource` for what expands like a decompression bomb.
    fn add_written(&self, bytes: usize, name: &str) -> Result<(), StageError> {
        let written = self.written.fetch_add(bytes as u64, Relaxed) + bytes as u64;
        let read = self.bytes_read();
        if written <= EXPANSION_FREE_BYTES || written / EXPANSION_MAX <= read {
            return Ok(());
        }
        Err(unreadable(format!(
            "{name} expands from {read} to more than {written} bytes, over {EXPANSION_MAX} times its size, as \
             decompression bombs do; recompress its content in smaller files, or upload it uncompressed"
        )))
    }
}

pub(super) fn unreadable(message: impl Into<String>) -> StageError {
    StageError::new(ErrorKind::UnreadableSource, message)
}

/// What a zip archive's directory claims of an entry's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) size: u64,
    pub(crate) crc32: u32,
}

/// Decompresses `input`, handing on chunks of [`CHUNK_BYTES`] (the last may be shorter) until `sink` wants no more.
///
/// Wants a thread of its own, since `input` may wait.
///
/// # Errors
/// `UnreadableSource` for content that is corrupt, truncated, followed by something else, not what `claim` says, or
/// a bomb; and what the input says.
pub(crate) fn decompress(
    compression: Compression,
    claim: Option<Claim>,
    input: Input<'_>,
    mut sink: impl FnMut(Bytes) -> bool,
) -> Result<(), StageError> {
    let meter = input.meter.clone();
    let name = input.name.clone();
    let mut content = Content::new(compression, input)?;
    let pool = Pool::default();
    let (mut size, mut crc32) = (0, crc32fast::Hasher::new());
    loop {
        let mut buffer = pool.take();
        let filled = content.fill(&mut buffer)?;
        if filled == 0 {
            break;
        }
        meter.add_written(filled, &name)?;
        let chunk = pool.freeze(buffer, filled);
        size += filled as u64;
        if let Some(claim) = claim {
            crc32.update(&chunk);
            if size > claim.size {
                return Err(unreadable(format!("{name} holds more than the {} bytes that it says", claim.size)));
            }
        }
        if !sink(chunk) {
            return Ok(());
        }
    }
    match claim {
        Some(claim) if size != claim.size => {
            Err(unreadable(format!("{name} holds {size} and not the {} bytes that it says", claim.size)))
        }
        Some(claim) if crc32.finalize() != claim.crc32 => {
            Err(unreadable(format!("{name} is damaged: its checksum (CRC-32) does not fit its content")))
        }
        _ => Ok(()),
    }
}

/// Compressed bytes, pulled as they are needed.
pub(crate) struct Input<'a> {
    next: Box<dyn FnMut() -> Result<Option<Bytes>, StageError> + Send + 'a>,
    chunk: Bytes,
    consumed: u64,
    meter: Arc<Meter>,
    name: String,
}

impl<'a> Input<'a> {
    /// Bytes as `next` gives them, until it gives nothing; `name` is what messages call them.
    pub(crate) fn new(
        next: impl FnMut() -> Result<Option<Bytes>, StageError> + Send + 'a,
        meter: Arc<Meter>,
        name: String,
    ) -> Self {
        Self { next: Box::new(next), chunk: Bytes::new(), consumed: 0, meter, name }
    }
}

impl Read for Input<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let from = self.fill_buf()?;
        let bytes = from.len().min(into.len());
        into[..bytes].copy_from_slice(&from[..bytes]);
        self.consume(bytes);
        Ok(bytes)
    }
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.chunk.is_empty() {
            match (self.next)().map_err(io::Error::other)? {
                Some(chunk) => self.chunk = chunk,
                None => break,
            }
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, bytes: usize) {
        self.chunk.advance(bytes);
        self.consumed += bytes as u64;
        self.meter.add_read(bytes);
    }
}

/// The decompressed content of all streams of an input.
struct Content<'a> {
    compression: Compression,
    name: String,
    /// None at the end.
    stream: Option<Stream<'a>>,
    streams: u64,
    /// Bytes that came of the present stream.
    stream_bytes: u64,
}

enum Stream<'a> {
    None(Input<'a>),
    Gzip(Box<flate2::bufread::GzDecoder<Input<'a>>>),
    Deflate(Box<flate2::bufread::DeflateDecoder<Input<'a>>>),
    Zstd(zstd::stream::read::Decoder<'static, Input<'a>>),
    Bzip2(Box<bzip2::bufread::BzDecoder<Input<'a>>>),
}

impl<'a> Stream<'a> {
    fn new(compression: Compression, input: Input<'a>) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::None(input),
            Compression::Gzip => Self::Gzip(Box::new(flate2::bufread::GzDecoder::new(input))),
            Compression::Deflate => Self::Deflate(Box::new(flate2::bufread::DeflateDecoder::new(input))),
            Compression::Bzip2 => Self::Bzip2(Box::new(bzip2::bufread::BzDecoder::new(input))),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?.single_frame();
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Self::Zstd(decoder)
            }
        })
    }

    fn into_input(self) -> Input<'a> {
        match self {
            Self::None(input) => input,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Deflate(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
            Self::Bzip2(decoder) => decoder.into_inner(),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::None(input) => input.read(into),
            Self::Gzip(decoder) => decoder.read(into),
            Self::Deflate(decoder) => decoder.read(into),
            Self::Zstd(decoder) => decoder.read(into),
            Self::Bzip2(decoder) => decoder.read(into),
        }
    }
}

impl<'a> Content<'a> {
    fn new(compression: Compression, input: Input<'a>) -> Result<Self, StageError> {
        let name = input.name.clone();
        let stream = Stream::new(compression, input).map_err(|error| corrupt(compression, &name, error))?;
        Ok(Self { compression, name, stream: Some(stream), streams: 1, stream_bytes: 0 })
    }

    /// Fills the buffer, but for the last time, and says how far.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, StageError> {
        let mut filled = 0;
        while let (Some(stream), true) = (&mut self.stream, filled < buffer.len()) {
            let read = match stream.read(&mut buffer[filled..]) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.failed(error)),
            };
            filled += read;
            self.stream_bytes += read as u64;
            if read == 0 {
                self.next_stream()?;
            }
        }
        Ok(filled)
    }

    fn next_stream(&mut self) -> Result<(), StageError> {
        let Some(stream) = self.stream.take() else { return Ok(()) };
        let mut input = stream.into_input();
        let failed = |error| corrupt(self.compression, &self.name, error);
        let padded = self.compression == Compression::Gzip && skip_zeros(&mut input).map_err(failed)?;
        let Some(byte) = input.fill_buf().map_err(failed)?.first().copied() else { return Ok(()) };
        if padded || !self.compression.may_begin_with(byte) {
            return Err(self.followed(input.consumed));
        }
        self.stream = Some(Stream::new(self.compression, input).map_err(failed)?);
        self.streams += 1;
        self.stream_bytes = 0;
        Ok(())
    }

    /// The error of a stream. What cannot be begun after a whole stream is no stream at all.
    fn failed(&mut self, error: io::Error) -> StageError {
        let no_header = error.kind() == io::ErrorKind::InvalidInput || error.to_string() == ZSTD_NO_FRAME;
        match self.stream.take() {
            Some(stream) if no_header && self.streams > 1 && self.stream_bytes == 0 => {
                self.followed(stream.into_input().consumed)
            }
            _ => corrupt(self.compression, &self.name, error),
        }
    }

    fn followed(&self, offset: u64) -> StageError {
        unreadable(format!(
            "{} goes on with something else after the end of its {} data, near compressed byte {offset}",
            self.name,
            self.compression.name()
        ))
    }
}

/// Skips the zeros with which gzip files are padded to whole blocks, and says whether there were any.
fn skip_zeros(input: &mut Input<'_>) -> io::Result<bool> {
    let mut padded = false;
    loop {
        let bytes = input.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let more = zeros > 0 && zeros == bytes.len();
        padded |= zeros > 0;
        input.consume(zeros);
        if !more {
            return Ok(padded);
        }
    }
}

fn corrupt(compression: Compression, name: &str, error: io::Error) -> StageError {
    let error = match error.downcast::<StageError>() {
        Ok(error) => return error,
        Err(error) => error,
    };
    let kind = compression.name();
    // zstd's own message names the limit in no unit that a person could act on.
    if compression == Compression::Zstd && error.to_string().contains("too much memory") {
        return unreadable(format!(
            "{name} needs a zstd window of more than {} MiB; compress it without `--long` and with a level up to 20",
            (1_u64 << ZSTD_WINDOW_LOG_MAX) / (1024 * 1024)
        ));
    }
    let message = match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("{name} is truncated: its {kind} data end before their end"),
        _ => format!("{name} is damaged: its {kind} data cannot be decompressed"),
    };
    StageError::with_source(ErrorKind::UnreadableSource, message, error)
}

/// Buffers of [`CHUNK_BYTES`] that come back when the last reader of their chunk lets go of it. Allocating them anew
/// costs a page fault for every 4 KiB.
#[derive(Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<Vec<Box<[u8]>>>>);

impl Pool {
    pub(crate) fn take(&self) -> Box<[u8]> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| vec![0; CHUNK_BYTES].into_boxed_slice())
    }

    /// The first `filled` bytes of a buffer as a chunk.
    pub(crate) fn freeze(&self, buffer: Box<[u8]>, filled: usize) -> Bytes {
        Bytes::from_owner(Pooled { buffer, filled, pool: self.clone() })
    }
}

struct Pooled {
    buffer: Box<[u8]>,
    filled: usize,
    pool: Pool,
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        self.pool.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}
