use bytes::{Buf, Bytes};
use futures::{Stream, StreamExt};
use stepwell_pipeline::StageError;

use super::unreadable;

const MAGIC: &[u8] = b"Obj\x01";
const SYNC_BYTES: usize = 16;
/// What a file's header may have.
const HEADER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What a block may have as it is in the file.
const BLOCK_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What a file's header says.
pub(super) struct Header {
    pub(super) schema: String,
    pub(super) codec: String,
}

/// A block as it is in the file.
pub(super) struct Frame {
    /// The offset of its first byte.
    pub(super) offset: u64,
    pub(super) records: u64,
    pub(super) data: Bytes,
}

/// Cuts a file into its header and its blocks.
pub(super) struct Frames<S> {
    object: String,
    chunks: S,
    chunk: Bytes,
    offset: u64,
    sync: Bytes,
}

impl<S: Stream<Item = Result<Bytes, StageError>> + Unpin> Frames<S> {
    pub(super) fn new(object: &str, chunks: S) -> Self {
        Self { object: object.to_owned(), chunks, chunk: Bytes::new(), offset: 0, sync: Bytes::new() }
    }

    /// Reads the header. Goes before [`Self::next`].
    pub(super) async fn header(&mut self) -> Result<Header, StageError> {
        let mut magic = Vec::new();
        while magic.len() < MAGIC.len()
            && let Some(byte) = self.byte().await?
        {
            magic.push(byte);
        }
        if magic != MAGIC {
            return Err(unreadable(&self.object, "is no Avro object container file: it does not begin as one does"));
        }
        let (mut schema, mut codec) = (None, String::new());
        loop {
            let mut entries = self.needed_long().await?;
            if entries == 0 {
                break;
            }
            if entries < 0 {
                // The map's block then gives its size too.
                self.needed_long().await?;
                entries = entries.saturating_neg();
            }
            for _ in 0..entries {
                let (key, value) = (self.header_bytes().await?, self.header_bytes().await?);
                let text = || String::from_utf8(value.to_vec());
                match &*key {
                    b"avro.schema" => schema = text().ok(),
                    b"avro.codec" => codec = text().unwrap_or_else(|_| "?".to_owned()),
                    _ => {}
                }
            }
        }
        self.sync = self.take(SYNC_BYTES as u64).await?;
        let Some(schema) = schema else { return Err(unreadable(&self.object, "has no schema in its header")) };
        Ok(Header { schema, codec })
    }

    /// The next block, or nothing at the file's end.
    pub(super) async fn next(&mut self) -> Result<Option<Frame>, StageError> {
        let offset = self.offset;
        let Some(records) = self.long().await? else { return Ok(None) };
        let bytes = self.needed_long().await?;
        let (Ok(records), Ok(bytes)) = (u64::try_from(records), u64::try_from(bytes)) else {
            return Err(self.broken(offset, "its size is negative"));
        };
        if bytes > BLOCK_BYTES_MAX {
            let message = format!("it has {bytes} bytes where {BLOCK_BYTES_MAX} are allowed");
            return Err(self.broken(offset, &message));
        }
        let data = self.take(bytes).await?;
        if self.take(SYNC_BYTES as u64).await? != self.sync {
            return Err(self.broken(offset, "it does not end with the file's sync marker"));
        }
        Ok(Some(Frame { offset, records, data }))
    }

    fn broken(&self, offset: u64, message: &str) -> StageError {
        unreadable(&self.object, &format!("is broken in the block at byte {offset}: {message}"))
    }

    fn cut_off(&self) -> StageError {
        unreadable(&self.object, &format!("is cut off: it ends within a block at byte {}", self.offset))
    }

    async fn header_bytes(&mut self) -> Result<Bytes, StageError> {
        let bytes = u64::try_from(self.needed_long().await?).unwrap_or(u64::MAX);
        if self.offset.saturating_add(bytes) > HEADER_BYTES_MAX {
            let message = format!("has a header of more than {HEADER_BYTES_MAX} bytes");
            return Err(unreadable(&self.object, &message));
        }
        self.take(bytes).await
    }

    /// Whether there is another byte.
    async fn fill(&mut self) -> Result<bool, StageError> {
        while self.chunk.is_empty() {
            let Some(chunk) = self.chunks.next().await else { return Ok(false) };
            self.chunk = chunk?;
        }
        Ok(true)
    }

    async fn byte(&mut self) -> Result<Option<u8>, StageError> {
        if !self.fill().await? {
            return Ok(None);
        }
        self.offset += 1;
        Ok(Some(self.chunk.get_u8()))
    }

    /// A number, or nothing at the file's end.
    async fn long(&mut self) -> Result<Option<i64>, StageError> {
        let offset = self.offset;
        let mut zigzag = 0_u64;
        for shift in (0..64).step_by(7) {
            let Some(byte) = self.byte().await? else {
                return if shift == 0 { Ok(None) } else { Err(self.cut_off()) };
            };
            zigzag |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(Some((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed()));
            }
        }
        Err(self.broken(offset, "a number is too long"))
    }

    async fn needed_long(&mut self) -> Result<i64, StageError> {
        self.long().await?.ok_or_else(|| self.cut_off())
    }

    async fn take(&mut self, bytes: u64) -> Result<Bytes, StageError> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.offset += bytes as u64;
        if self.chunk.len() >= bytes {
            return Ok(self.chunk.split_to(bytes));
        }
        let mut joined = Vec::new();
        while joined.len() < bytes {
            if !self.fill().await? {
                self.offset -= (bytes - joined.len()) as u64;
                return Err(self.cut_off());
            }
            let part = self.chunk.split_to(self.chunk.len().min(bytes - joined.len()));
            joined.extend_from_slice(&part);
        }
        Ok(joined.into())
    }
}

/// A number as Avro writes it: variable-length, zigzag.
pub(super) fn write_long(value: i64, out: &mut Vec<u8>) {
    let mut zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while zigzag >= 0x80 {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}
