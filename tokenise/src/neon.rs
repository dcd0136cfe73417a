//! 16 bytes at a time with NEON, which every 64-bit ARM processor has.

use std::arch::aarch64::{
    uint8x16_t, vaddq_u32, vandq_u8, vceqq_u8, vdupq_n_u8, vdupq_n_u32, vget_high_u16, vget_low_u16, vgetq_lane_u64,
    vld1_u8, vld1q_u8, vmaxvq_u8, vmovl_u8, vmovl_u16, vorrq_u8, vpaddq_u8, vreinterpretq_u64_u8, vst1q_u32,
};

use crate::blocks::{self, Job};
use crate::index::{Index, ROOM};
use crate::lanes::{BIT_NUMBERS, Block, Lanes, Masks, Needles, parity_by_shifts};

/// NEON is part of the base instruction set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neon;

impl Neon {
    pub(crate) fn index(self, job: &Job<'_>, index: &mut Index) -> usize {
        blocks::index(self, job, index)
    }
}

type Quarters = [uint8x16_t; 4];

/// The weight of each byte within its group of eight.
static WEIGHTS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];

#[inline(always)]
fn equal(quarters: Quarters, byte: u8) -> Quarters {
    // SAFETY: every 64-bit ARM processor has NEON.
    unsafe {
        let bytes = vdupq_n_u8(byte);
        quarters.map(|quarter| vceqq_u8(quarter, bytes))
    }
}

/// Gathers one bit of each byte, all of whose bits are the same.
#[inline(always)]
fn gather(quarters: Quarters) -> u64 {
    // SAFETY: every 64-bit ARM processor has NEON. The load covers the 16 bytes of the table.
    unsafe {
        let weights = vld1q_u8(WEIGHTS.as_ptr());
        let [a, b, c, d] = quarters.map(|quarter| vandq_u8(quarter, weights));
        let sums = vpaddq_u8(vpaddq_u8(a, b), vpaddq_u8(c, d));
        vgetq_lane_u64::<0>(vreinterpretq_u64_u8(vpaddq_u8(sums, sums)))
    }
}

impl Lanes for Neon {
    #[inline(always)]
    fn masks<const QUOTES: bool, const SPECIALS: bool>(self, block: &Block, needles: &Needles) -> Masks {
        // SAFETY: every 64-bit ARM processor has NEON. The four loads cover the 64 bytes of the block.
        unsafe {
            let start = block.as_ptr();
            let quarters = [vld1q_u8(start), vld1q_u8(start.add(16)), vld1q_u8(start.add(32)), vld1q_u8(start.add(48))];
            let [a, b, c, d] = quarters;
            let (line_feeds, returns) = (equal(quarters, b'\n'), equal(quarters, b'\r'));
            let line_ends = std::array::from_fn(|quarter| vorrq_u8(line_feeds[quarter], returns[quarter]));
            let any = vorrq_u8(vorrq_u8(a, b), vorrq_u8(c, d));
            Masks {
                delimiters: gather(equal(quarters, needles.delimiter)),
                line_ends: gather(line_ends),
                quotes: if QUOTES { gather(equal(quarters, needles.quote)) } else { 0 },
                escapes: if SPECIALS { gather(equal(quarters, needles.escape)) } else { 0 },
                comments: if SPECIALS { gather(equal(quarters, needles.comment)) } else { 0 },
                high: u64::from(vmaxvq_u8(any) >> 7),
            }
        }
    }

    #[inline(always)]
    fn parity(self, bits: u64) -> u64 {
        parity_by_shifts(bits)
    }

    #[inline(always)]
    fn positions(self, bits: u64, base: u32, out: &mut [u32]) {
        assert!(out.len() >= ROOM, "no room for the positions of a block");
        let mut written = 0;
        for byte_number in 0..8 {
            let byte = (bits >> (8 * byte_number)) as u8;
            // SAFETY: every 64-bit ARM processor has NEON. The load covers one row of eight bytes. Each earlier byte
            // wrote at most eight positions, so `written` is at most 56 and the eight entries of the two stores are
            // within `out`.
            unsafe {
                let numbers = vmovl_u8(vld1_u8(BIT_NUMBERS[usize::from(byte)].as_ptr()));
                let base = vdupq_n_u32(base + 8 * byte_number);
                let entries = out.as_mut_ptr().add(written);
                vst1q_u32(entries, vaddq_u32(vmovl_u16(vget_low_u16(numbers)), base));
                vst1q_u32(entries.add(4), vaddq_u32(vmovl_u16(vget_high_u16(numbers)), base));
            }
            written += byte.count_ones() as usize;
        }
    }
}
