//! Compression of pages, which passes over those that do not get smaller.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;

/// The level of pages that do not get much smaller at the next.
const FAST_LEVEL: i32 = 1;
/// The level of the others, and the one of columns that are written elsewhere.
pub(in crate::files) const ZSTD_LEVEL: i32 = 3;
/// It takes twice the time, and so is worth it where pages lose at least this fraction more. Many get larger: numbers in
/// many bytes have short repetitions that cost more than they save.
const MORE_SAVING_LEAST: usize = 12;
/// Pages that lose less than this fraction are stored as they are, which readers undo for nothing.
const SAVING_LEAST: usize = 32;
/// After a page that does not get smaller, so many are stored untried.
const PAGES_UNTRIED: u32 = 7;
/// A frame's magic number, and the header of one whose size is known and is its window (RFC 8878, 3.1.1).
const FRAME_MAGIC: u32 = 0xfd2f_b528;
const FRAME_SIZE_IN_4_BYTES: u8 = 0b1010_0000;
/// The most that a block may hold.
const BLOCK_BYTES_MAX: usize = 128 * 1024;

/// The contexts of all threads. What a context compressed before does not show in what it compresses next.
#[derive(Default)]
pub(in crate::files) struct Compressors(Mutex<Vec<Compressor>>);

/// A context and its buffers, which are large: there is one for each thread.
pub(in crate::files) struct Compressor {
    context: zstd::bulk::Compressor<'static>,
    /// Where a page is put together.
    pub(super) body: Vec<u8>,
    compressed: Vec<u8>,
}

impl Compressors {
    /// Lends a compressor for some work.
    pub(in crate::files) fn with<T, E: From<io::Error>>(
        &self,
        work: impl FnOnce(&mut Compressor) -> Result<T, E>,
    ) -> Result<T, E> {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut compressor = match idle {
            Some(compressor) => compressor,
            None => Compressor::new()?,
        };
        let done = work(&mut compressor);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(compressor);
        done
    }
}

impl Compressor {
    fn new() -> io::Result<Self> {
        Ok(Self { context: zstd::bulk::Compressor::new(ZSTD_LEVEL)?, body: Vec::new(), compressed: Vec::new() })
    }

    fn compress(&mut self, level: i32, frame: &mut Vec<u8>) -> io::Result<()> {
        self.context.set_compression_level(level)?;
        frame.clear();
        frame.reserve(zstd::zstd_safe::compress_bound(self.body.len()));
        self.context.compress_to_buffer(&self.body, frame)?;
        Ok(())
    }

    /// Takes back the buffer of a page that is written.
    pub(super) fn reuse(&mut self, page: Bytes) {
        self.compressed = Vec::from(page);
    }
}

/// What is known of how well the pages of a column get smaller. It is found out with the first.
#[derive(Default)]
pub(super) struct Compressibility {
    level: Option<i32>,
    untried: u32,
}

impl Compressibility {
    /// The compressor's body as a zstd frame, in the compressor's buffer.
    pub(super) fn compress(&mut self, compressor: &mut Compressor) -> io::Result<Bytes> {
        let mut frame = std::mem::take(&mut compressor.compressed);
        if self.untried > 0 {
            self.untried -= 1;
            store(&compressor.body, &mut frame);
            return Ok(frame.into());
        }
        match self.level {
            Some(level) => compressor.compress(level, &mut frame)?,
            None => {
                let mut smaller = Vec::new();
                compressor.compress(FAST_LEVEL, &mut frame)?;
                compressor.compress(ZSTD_LEVEL, &mut smaller)?;
                self.level = Some(FAST_LEVEL);
                if smaller.len() + frame.len() / MORE_SAVING_LEAST < frame.len() {
                    self.level = Some(ZSTD_LEVEL);
                    frame = smaller;
                }
            }
        }
        if frame.len() + compressor.body.len() / SAVING_LEAST > compressor.body.len() {
            *self = Self { level: None, untried: PAGES_UNTRIED };
            store(&compressor.body, &mut frame);
        }
        Ok(frame.into())
    }
}

/// Writes a zstd frame of blocks that are stored as they are.
fn store(body: &[u8], frame: &mut Vec<u8>) {
    frame.clear();
    frame.reserve(body.len() + 16 + body.len() / BLOCK_BYTES_MAX * 3);
    frame.extend_from_slice(&FRAME_MAGIC.to_le_bytes());
    frame.push(FRAME_SIZE_IN_4_BYTES);
    frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
    let mut rest = body;
    loop {
        let (block, after) = rest.split_at(rest.len().min(BLOCK_BYTES_MAX));
        let is_last = u32::from(after.is_empty());
        // The block's type, in the two bits beside, is zero: raw.
        let header = (block.len() as u32) << 3 | is_last;
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.extend_from_slice(block);
        if after.is_empty() {
            return;
        }
        rest = after;
    }
}
