//! DELTA_BINARY_PACKED.

use super::bits::{PACKED, bit_width, pack, put_varint, put_zigzag};

/// So many differences share a least one.
const BLOCK: usize = 128;
/// So many parts of a block, of 32 differences each, have a width of their own.
const MINIBLOCKS: usize = BLOCK / PACKED;

/// An integer whose differences wrap in its own width, as Parquet wants it.
pub(super) trait Integer: Copy + Ord + Default {
    fn difference(self, other: Self) -> Self;
    fn signed(self) -> i64;
    /// The bits, without the sign's extension.
    fn unsigned(self) -> u64;
}

impl Integer for i32 {
    fn difference(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }

    fn signed(self) -> i64 {
        i64::from(self)
    }

    fn unsigned(self) -> u64 {
        u64::from(self.cast_unsigned())
    }
}

impl Integer for i64 {
    fn difference(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }

    fn signed(self) -> i64 {
        self
    }

    fn unsigned(self) -> u64 {
        self.cast_unsigned()
    }
}

/// Writes all values of a page.
pub(super) fn put_deltas<T: Integer>(values: &[T], out: &mut Vec<u8>) {
    put_varint(BLOCK as u64, out);
    put_varint(MINIBLOCKS as u64, out);
    put_varint(values.len() as u64, out);
    let Some((first, rest)) = values.split_first() else { return put_zigzag(0, out) };
    put_zigzag(first.signed(), out);
    let mut previous = *first;
    let mut differences = [T::default(); BLOCK];
    for block in rest.chunks(BLOCK) {
        for (difference, value) in differences.iter_mut().zip(block) {
            *difference = value.difference(previous);
            previous = *value;
        }
        put_block(&differences[..block.len()], out);
    }
}

fn put_block<T: Integer>(differences: &[T], out: &mut Vec<u8>) {
    let least = differences.iter().copied().min().unwrap_or_default();
    put_zigzag(least.signed(), out);
    let mut above = [[0; PACKED]; MINIBLOCKS];
    for (above, difference) in above.as_flattened_mut().iter_mut().zip(differences) {
        *above = difference.difference(least).unsigned();
    }
    let widths = above.map(|part| bit_width(part.iter().fold(0, |bits, value| bits | value)));
    out.extend(widths.map(|width| width as u8));
    // Parts beyond the last difference have no bits, and so are left out.
    for (part, width) in above.iter().zip(widths) {
        pack(part, width, out);
    }
}
