//! For fuzz targets: sources in pieces so small that every record goes over many of them.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

static PIECE_BYTES: AtomicUsize = AtomicUsize::new(usize::MAX);

/// From now on the bytes of a source come, and are decoded, in pieces of so many bytes at most.
pub fn set_piece_bytes(bytes: usize) {
    PIECE_BYTES.store(bytes.max(1), Ordering::Relaxed);
}

/// The size, unless that of a piece is smaller.
pub(crate) fn at_most(bytes: usize) -> usize {
    bytes.min(PIECE_BYTES.load(Ordering::Relaxed))
}

/// A piece of a chunk, and the rest.
pub(crate) fn split(mut chunk: Bytes) -> (Bytes, Option<Bytes>) {
    let piece = chunk.split_to(at_most(chunk.len()));
    (piece, (!chunk.is_empty()).then_some(chunk))
}
