//! 32 bytes at a time with AVX2, and carry-less multiplication.

use std::arch::x86_64::{
    __m256i, _mm_clmulepi64_si128, _mm_cvtsi64_si128, _mm_cvtsi128_si64, _mm_loadl_epi64, _mm_set1_epi8,
    _mm256_add_epi32, _mm256_cmpeq_epi8, _mm256_cvtepu8_epi32, _mm256_loadu_si256, _mm256_movemask_epi8,
    _mm256_or_si256, _mm256_set1_epi8, _mm256_set1_epi32, _mm256_storeu_si256,
};

use crate::blocks::{self, Job};
use crate::index::{Index, ROOM};
use crate::lanes::{BIT_NUMBERS, Block, Lanes, Masks, Needles};

/// Exists only where the processor has AVX2 and the smaller extensions that came before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn detect() -> Option<Self> {
        let present = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2");
        present.then_some(Self(()))
    }

    pub(crate) fn index(self, job: &Job<'_>, index: &mut Index) -> usize {
        // SAFETY: `self` exists, so the processor has these features.
        unsafe { self.index_with_features(job, index) }
    }

    #[target_feature(enable = "avx2,pclmulqdq,popcnt,bmi1,bmi2")]
    fn index_with_features(self, job: &Job<'_>, index: &mut Index) -> usize {
        blocks::index(self, job, index)
    }
}

#[inline(always)]
fn equal(halves: [__m256i; 2], byte: u8) -> [__m256i; 2] {
    // SAFETY: called by the methods of `Avx2` alone, which exists only where AVX2 does.
    unsafe {
        let bytes = _mm256_set1_epi8(byte.cast_signed());
        [_mm256_cmpeq_epi8(halves[0], bytes), _mm256_cmpeq_epi8(halves[1], bytes)]
    }
}

#[inline(always)]
fn gather(halves: [__m256i; 2]) -> u64 {
    // SAFETY: called by the methods of `Avx2` alone, which exists only where AVX2 does.
    unsafe {
        let low = _mm256_movemask_epi8(halves[0]).cast_unsigned();
        let high = _mm256_movemask_epi8(halves[1]).cast_unsigned();
        u64::from(low) | u64::from(high) << 32
    }
}

impl Lanes for Avx2 {
    #[inline(always)]
    fn masks<const QUOTES: bool, const SPECIALS: bool>(self, block: &Block, needles: &Needles) -> Masks {
        // SAFETY: `self` exists, so AVX2 does. The unaligned loads cover the block's bytes 0 to 31 and 32 to 63.
        unsafe {
            let start = block.as_ptr();
            let halves = [_mm256_loadu_si256(start.cast()), _mm256_loadu_si256(start.add(32).cast())];
            let (line_feeds, returns) = (equal(halves, b'\n'), equal(halves, b'\r'));
            let line_ends = [_mm256_or_si256(line_feeds[0], returns[0]), _mm256_or_si256(line_feeds[1], returns[1])];
            Masks {
                delimiters: gather(equal(halves, needles.delimiter)),
                line_ends: gather(line_ends),
                quotes: if QUOTES { gather(equal(halves, needles.quote)) } else { 0 },
                escapes: if SPECIALS { gather(equal(halves, needles.escape)) } else { 0 },
                comments: if SPECIALS { gather(equal(halves, needles.comment)) } else { 0 },
                high: u64::from(_mm256_movemask_epi8(_mm256_or_si256(halves[0], halves[1])).cast_unsigned()),
            }
        }
    }

    #[inline(always)]
    fn parity(self, bits: u64) -> u64 {
        // SAFETY: `self` exists, so PCLMULQDQ does.
        unsafe {
            let product = _mm_clmulepi64_si128::<0>(_mm_cvtsi64_si128(bits.cast_signed()), _mm_set1_epi8(-1));
            _mm_cvtsi128_si64(product).cast_unsigned()
        }
    }

    #[inline(always)]
    fn positions(self, bits: u64, base: u32, out: &mut [u32]) {
        assert!(out.len() >= ROOM, "no room for the positions of a block");
        // SAFETY: `self` exists, so AVX2 does.
        let (mut base, eight) = unsafe { (_mm256_set1_epi32(base.cast_signed()), _mm256_set1_epi32(8)) };
        for byte_number in 0..8 {
            let byte = (bits >> (8 * byte_number)) as u8;
            let written = (bits & !(u64::MAX << (8 * byte_number))).count_ones() as usize;
            // SAFETY: `self` exists, so AVX2 does. The load covers one row of eight bytes. Of `bits` at most 56 are
            // below this byte, so `written` is at most 56 and the eight entries of the store are within `out`.
            unsafe {
                let numbers = _mm256_cvtepu8_epi32(_mm_loadl_epi64(BIT_NUMBERS[usize::from(byte)].as_ptr().cast()));
                _mm256_storeu_si256(out.as_mut_ptr().add(written).cast(), _mm256_add_epi32(numbers, base));
                base = _mm256_add_epi32(base, eight);
            }
        }
    }
}
