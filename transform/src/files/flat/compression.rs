//! Compression of pages, which passes over those that do not get smaller.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;

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
#[derive(Default)]
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
        let mut compressor = idle.unwrap_or_default();
        let done = work(&mut compressor);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(compressor);
        done
    }
}

impl Compressor {
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

/// Compresses the pages of a column chunk.
pub(super) struct PageCompression {
    level: i32,
    untried: u32,
}

impl PageCompression {
    pub(super) fn new(level: i32) -> Self {
        Self { level, untried: 0 }
    }

    /// The compressor's body as a zstd frame, in the compressor's buffer.
    pub(super) fn compress(&mut self, compressor: &mut Compressor) -> io::Result<Bytes> {
        let mut frame = std::mem::take(&mut compressor.compressed);
        if self.untried > 0 {
            self.untried -= 1;
            store(&compressor.body, &mut frame);
            return Ok(frame.into());
        }
        compressor.compress(self.level, &mut frame)?;
        if frame.len() + compressor.body.len() / SAVING_LEAST > compressor.body.len() {
            self.untried = PAGES_UNTRIED;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "tests fail by panicking")]

    use super::*;

    /// Bytes that get smaller the fewer different ones there are.
    fn body(length: usize, different: u64) -> Vec<u8> {
        let byte = |at: u64| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) % different;
        (0..length as u64).map(|at| byte(at / 3) as u8).collect()
    }

    fn compressed(compressor: &mut Compressor, level: i32, body: &[u8]) -> Bytes {
        compressor.body.clear();
        compressor.body.extend_from_slice(body);
        let frame = PageCompression::new(level).compress(compressor).expect("compresses");
        compressor.reuse(frame.clone());
        frame
    }

    #[test]
    fn a_page_is_the_same_whatever_the_context_compressed_before() {
        let bodies: Vec<Vec<u8>> = (1..60).map(|index| body(index * index * 83, 1 + index as u64 * 4)).collect();
        let mut used = Compressor::default();
        for level in [1, 3, 1] {
            for body in bodies.iter().rev() {
                let fresh = compressed(&mut Compressor::default(), level, body);
                assert_eq!(compressed(&mut used, level, body), fresh, "{} bytes", body.len());
            }
        }
    }

    #[test]
    fn pages_that_do_not_get_smaller_are_frames_too() {
        for length in [0, 1, 255, BLOCK_BYTES_MAX - 1, BLOCK_BYTES_MAX, BLOCK_BYTES_MAX + 1, 3 * BLOCK_BYTES_MAX] {
            let body = body(length, 256);
            let mut frame = vec![1, 2, 3];
            store(&body, &mut frame);
            assert!(frame.len() <= body.len() + 9 + 3 * (length / BLOCK_BYTES_MAX + 1));
            assert_eq!(zstd::bulk::decompress(&frame, length).expect("a frame"), body);
        }
    }
}
