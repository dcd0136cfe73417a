//! Integers, floating-point numbers and booleans.

use std::{marker::PhantomData, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray},
    buffer::{BooleanBuffer, NullBuffer},
    datatypes::{DataType, Float32Type, Float64Type},
};
use stepwell_pipeline::spec::BooleanSpellings;

use super::{
    cell::Cell,
    faults::Unfit,
    fixed::{Parser, Value},
};

/// An array of a primitive type, with the parameters (time zone, precision) of the data type.
pub(super) fn primitive<A: ArrowPrimitiveType>(
    data_type: &DataType,
    values: Vec<A::Native>,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<A>::new(values.into(), nulls).with_data_type(data_type.clone()))
}

/// The values of an array that [`primitive`] made.
pub(super) fn natives<A: ArrowPrimitiveType>(array: &dyn Array) -> Option<Vec<A::Native>> {
    array.as_primitive_opt::<A>().map(|array| array.values().to_vec())
}

const ZEROS: u64 = 0x3030_3030_3030_3030;
const HIGH_HALVES: u64 = 0xF0F0_F0F0_F0F0_F0F0;

/// The number that the first `digits` bytes of a word spell, the first in the lowest place; 1 to 8 of them.
///
/// All eight at once: neighbours are joined to pairs, pairs to fours, fours to the eight (after D. Lemire, "Quickly
/// parsing eight digits", 2018).
#[inline]
pub(super) fn eight_digits(word: u64, digits: usize) -> Option<u64> {
    let shift = 64 - 8 * digits as u32;
    let word = word << shift | ZEROS & !(u64::MAX << shift);
    let above_nine = word.wrapping_add(0x0606_0606_0606_0606);
    if (word & HIGH_HALVES) | ((above_nine & HIGH_HALVES) >> 4) != 0x3333_3333_3333_3333 {
        return None;
    }
    let digits = word & !HIGH_HALVES;
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    const ENDS: u64 = 0x0000_00FF_0000_00FF;
    let upper = (pairs & ENDS).wrapping_mul(100 + (1_000_000 << 32));
    let lower = (pairs >> 16 & ENDS).wrapping_mul(1 + (10_000 << 32));
    Some(upper.wrapping_add(lower) >> 32)
}

/// The number that the digits of a text spell, however many zeros lead.
#[inline]
pub(super) fn magnitude(cell: Cell<'_>) -> Result<u64, Unfit> {
    let digits = match cell.len() {
        0 => None,
        len @ 1..=8 => eight_digits(cell.word(0), len),
        len @ 9..=16 => match (eight_digits(cell.word(0), len - 8), eight_digits(cell.word(len - 8), 8)) {
            (Some(upper), Some(lower)) => Some(upper * 100_000_000 + lower),
            _ => None,
        },
        _ => return long_magnitude(cell.text()),
    };
    digits.ok_or(Unfit::Invalid)
}

#[inline(never)]
fn long_magnitude(text: &[u8]) -> Result<u64, Unfit> {
    u64::try_from(wide_magnitude(text)?).map_err(|_| Unfit::OutOfRange)
}

/// The number that the digits of a text spell; beyond 128 bits it is out of range, but only if all are digits.
pub(super) fn wide_magnitude(text: &[u8]) -> Result<u128, Unfit> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(Unfit::Invalid);
    }
    text.iter()
        .try_fold(0_u128, |value, digit| value.checked_mul(10)?.checked_add(u128::from(digit - b'0')))
        .ok_or(Unfit::OutOfRange)
}

/// The text behind its sign, and whether that is a minus.
#[inline]
pub(super) fn signed(cell: Cell<'_>) -> (bool, Cell<'_>) {
    match cell.first() {
        b'-' if cell.len() > 0 => (true, cell.skip(1)),
        b'+' if cell.len() > 0 => (false, cell.skip(1)),
        _ => (false, cell),
    }
}

/// An integer of a fixed width.
pub(crate) trait Integer: Value {
    /// The number of that magnitude and sign, if it is within the type's range.
    fn new(magnitude: u64, is_negative: bool) -> Option<Self>;
}

macro_rules! integers {
    ($($integer:ident: $magnitude_of_least:expr;)+) => {
        $(
            impl Integer for $integer {
                #[inline]
                fn new(magnitude: u64, is_negative: bool) -> Option<Self> {
                    let limit = if is_negative { $magnitude_of_least } else { $integer::MAX as u64 };
                    let value = if is_negative { magnitude.wrapping_neg() } else { magnitude };
                    (magnitude <= limit).then_some(value as $integer)
                }
            }

            impl Value for $integer {
                fn key(self) -> u128 {
                    self as u128
                }
            }
        )+
    };
}

integers! {
    i8: 1 << 7;
    i16: 1 << 15;
    i32: 1 << 31;
    i64: 1 << 63;
    u8: 0;
    u16: 0;
    u32: 0;
    u64: 0;
}

impl Value for i128 {
    fn key(self) -> u128 {
        self as u128
    }
}

/// Parses integers: digits, with a sign or without, zeros may lead.
pub(crate) struct IntegerParser<A>(pub(super) PhantomData<A>);

impl<A: ArrowPrimitiveType<Native: Integer>> Parser for IntegerParser<A> {
    type Value = A::Native;

    /// Up to eight digits: one look at eight bytes.
    #[inline(always)]
    fn parse_usual(&self, cell: Cell<'_>) -> Option<A::Native> {
        let is_short = cell.len().wrapping_sub(1) < 8;
        let magnitude = if is_short { eight_digits(cell.word(0), cell.len())? } else { return None };
        A::Native::new(magnitude, false)
    }

    #[inline]
    fn parse(&mut self, cell: Cell<'_>) -> Result<A::Native, Unfit> {
        let (is_negative, digits) = signed(cell);
        A::Native::new(magnitude(digits)?, is_negative).ok_or(Unfit::OutOfRange)
    }

    fn array(&self, values: Vec<A::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
        primitive::<A>(&A::DATA_TYPE, values, nulls)
    }

    fn values(&self, array: &dyn Array) -> Option<Vec<A::Native>> {
        natives::<A>(array)
    }
}

/// Parses binary floating-point numbers. `inf`, `infinity` and `nan` of any case are values.
pub(crate) struct FloatParser<A>(pub(super) PhantomData<A>);

macro_rules! floats {
    ($($arrow:ident: $float:ident;)+) => {
        $(
            impl Parser for FloatParser<$arrow> {
                type Value = $float;

                #[inline]
                fn parse(&mut self, cell: Cell<'_>) -> Result<$float, Unfit> {
                    let value: $float = fast_float2::parse(cell.text()).map_err(|_| Unfit::Invalid)?;
                    // A literal "inf" is a value; a number too large for the type is not.
                    let is_literal = || matches!(signed(cell).1.first(), b'i' | b'I');
                    if value.is_infinite() && !is_literal() { Err(Unfit::OutOfRange) } else { Ok(value) }
                }

                fn array(&self, values: Vec<$float>, nulls: Option<NullBuffer>) -> ArrayRef {
                    primitive::<$arrow>(&$arrow::DATA_TYPE, values, nulls)
                }

                fn values(&self, array: &dyn Array) -> Option<Vec<$float>> {
                    natives::<$arrow>(array)
                }
            }

            impl Value for $float {
                /// Equal for equal numbers, so of one zero; all that are not a number count as one.
                fn key(self) -> u128 {
                    let canonical = if self.is_nan() { $float::NAN } else { self + 0.0 };
                    canonical.to_bits().into()
                }
            }
        )+
    };
}

floats! {
    Float32Type: f32;
    Float64Type: f64;
}

/// Parses booleans by their spellings. `true` and `false`, as JSON has them, are understood unless they are declared
/// to mean the opposite.
pub(crate) struct BooleanParser {
    spellings: Vec<(Vec<u8>, bool)>,
}

impl BooleanParser {
    pub(super) fn new(spellings: &BooleanSpellings) -> Self {
        let declared =
            |texts: &[String], value| texts.iter().map(|text| (text.as_bytes().to_vec(), value)).collect::<Vec<_>>();
        let mut all = declared(&spellings.yes, true);
        all.extend(declared(&spellings.no, false));
        all.extend([(b"true".to_vec(), true), (b"false".to_vec(), false)]);
        Self { spellings: all }
    }
}

impl Parser for BooleanParser {
    type Value = bool;

    #[inline]
    fn parse(&mut self, cell: Cell<'_>) -> Result<bool, Unfit> {
        let text = cell.text();
        let found = self.spellings.iter().find(|(spelling, _)| spelling == text);
        found.map(|(_, value)| *value).ok_or(Unfit::Invalid)
    }

    fn array(&self, values: Vec<bool>, nulls: Option<NullBuffer>) -> ArrayRef {
        Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls))
    }

    fn values(&self, array: &dyn Array) -> Option<Vec<bool>> {
        array.as_boolean_opt().map(|array| array.values().iter().collect())
    }
}

impl Value for bool {
    fn key(self) -> u128 {
        self.into()
    }
}
