//! What an instruction set must give to the block-wise tokeniser, and that from plain machine words.

use crate::index::ROOM;

/// Bytes that are looked at together, one bit of a mask each.
pub(crate) const BLOCK_BYTES: usize = 64;

pub(crate) type Block = [u8; BLOCK_BYTES];

/// The bytes to look for. Those that the dialect lacks are not looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needles {
    pub(crate) delimiter: u8,
    pub(crate) quote: u8,
    pub(crate) escape: u8,
    pub(crate) comment: u8,
}

/// Where in a block the needles are; bit 0 is the first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Masks {
    pub(crate) delimiters: u64,
    pub(crate) line_ends: u64,
    pub(crate) quotes: u64,
    pub(crate) escapes: u64,
    pub(crate) comments: u64,
    /// Not zero if a byte is not ASCII.
    pub(crate) high: u64,
}

/// An instruction set. A value of the type shows that the processor has it.
pub(crate) trait Lanes: Copy {
    /// Finds the needles in a block: the quotes with `QUOTES`, escapes and comments with `SPECIALS`.
    fn masks<const QUOTES: bool, const SPECIALS: bool>(self, block: &Block, needles: &Needles) -> Masks;

    /// Gives for every bit the parity of the bits up to it, itself included.
    fn parity(self, bits: u64) -> u64;

    /// Writes `base` plus the number of each set bit, in order, to the front of `out`, which has at least 64 entries.
    /// What is behind the last of them is left undefined.
    fn positions(self, bits: u64, base: u32, out: &mut [u32]);
}

/// Parity by doubling the distance.
#[cfg_attr(not(target_arch = "aarch64"), allow(dead_code, reason = "other instruction sets multiply without carry"))]
pub(crate) fn parity_by_shifts(mut bits: u64) -> u64 {
    for distance in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << distance;
    }
    bits
}

/// Eight bytes to a machine word, on any processor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words;

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// The high bit of each byte of `word` that equals `byte`.
#[inline(always)]
fn equal(word: u64, byte: u8) -> u64 {
    let difference = word ^ (LOW_BITS * u64::from(byte));
    !(((difference & !HIGH_BITS) + !HIGH_BITS) | difference) & HIGH_BITS
}

/// Gathers the high bits of eight bytes.
#[inline(always)]
fn gather(high_bits: u64) -> u64 {
    (high_bits >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

impl Lanes for Words {
    #[inline(always)]
    fn masks<const QUOTES: bool, const SPECIALS: bool>(self, block: &Block, needles: &Needles) -> Masks {
        let mut masks = Masks { delimiters: 0, line_ends: 0, quotes: 0, escapes: 0, comments: 0, high: 0 };
        let (words, _) = block.as_chunks::<8>();
        for (number, bytes) in words.iter().enumerate() {
            let word = u64::from_le_bytes(*bytes);
            let shift = 8 * number;
            masks.delimiters |= gather(equal(word, needles.delimiter)) << shift;
            masks.line_ends |= gather(equal(word, b'\n') | equal(word, b'\r')) << shift;
            if QUOTES {
                masks.quotes |= gather(equal(word, needles.quote)) << shift;
            }
            if SPECIALS {
                masks.escapes |= gather(equal(word, needles.escape)) << shift;
                masks.comments |= gather(equal(word, needles.comment)) << shift;
            }
            masks.high |= word & HIGH_BITS;
        }
        masks
    }

    #[inline(always)]
    fn parity(self, bits: u64) -> u64 {
        parity_by_shifts(bits)
    }

    #[inline(always)]
    fn positions(self, mut bits: u64, base: u32, out: &mut [u32]) {
        for entry in &mut out[..ROOM] {
            if bits == 0 {
                break;
            }
            *entry = base + bits.trailing_zeros();
            bits &= bits - 1;
        }
    }
}

/// The numbers of the set bits of each byte, in order; the rest zeros.
pub(crate) static BIT_NUMBERS: [[u8; 8]; 256] = bit_numbers();

const fn bit_numbers() -> [[u8; 8]; 256] {
    let mut table = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut bit, mut count) = (0, 0);
        while bit < 8 {
            if byte >> bit & 1 == 1 {
                table[byte][count] = bit as u8;
                count += 1;
            }
            bit += 1;
        }
        byte += 1;
    }
    table
}
