//! Decimal numbers, exact: at no point a float.

use arrow::{
    array::{Array, ArrayRef},
    buffer::NullBuffer,
    datatypes::{DataType, Decimal64Type, Decimal128Type},
};

use super::{
    cell::Cell,
    faults::Unfit,
    fixed::Parser,
    number::{eight_digits, magnitude, natives, primitive, signed, wide_magnitude},
};

/// Digits that always fit 64 bits.
pub(super) const NARROW_DIGITS: u8 = 18;

/// The length of regular texts at most: 16 digits and the point.
const LENGTH_MAX: usize = 17;

/// What is read of a text at once.
const WINDOW: usize = 24;

#[inline]
fn word(window: &[u8; WINDOW], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&window[at..at + 8]);
    u64::from_le_bytes(bytes)
}

/// Where the point is among the digits of a text, and what they must stay below.
struct Shape {
    scale: usize,
    /// 10 to the scale, if 64 bits hold it.
    unit: Option<u64>,
    /// 10 to the precision.
    limit: u128,
    data_type: DataType,
}

impl Shape {
    fn new(precision: u8, scale: u8, data_type: DataType) -> Self {
        let (unit, limit) = (10_u64.checked_pow(u32::from(scale)), 10_u128.pow(u32::from(precision)));
        Self { scale: usize::from(scale), unit, limit, data_type }
    }

    /// The unscaled magnitude of an unsigned text with as many digits behind its point as the scale has, as most columns
    /// of money are written, if it has at most 16 digits; or of one of at most eight digits and no point.
    #[inline(always)]
    fn regular(&self, cell: Cell<'_>) -> Option<u64> {
        let joined = match cell.chunk::<WINDOW>() {
            Some(window) => self.joined(cell, |at| word(window, at)),
            None => self.joined(cell, |at| cell.word(at)),
        };
        joined.or_else(|| self.whole(cell))
    }

    #[inline]
    fn whole(&self, cell: Cell<'_>) -> Option<u64> {
        let is_short = cell.len().wrapping_sub(1) < 8;
        let digits = if is_short { eight_digits(cell.word(0), cell.len())? } else { return None };
        digits.checked_mul(self.unit?)
    }

    #[inline(always)]
    fn joined(&self, cell: Cell<'_>, word: impl Fn(usize) -> u64) -> Option<u64> {
        let len = cell.len();
        let point = len.wrapping_sub(self.scale + 1);
        if self.scale == 0 || point >= len || len > LENGTH_MAX || cell.byte(point) != b'.' {
            return None;
        }
        let digits = len - 1;
        if digits <= 8 {
            let whole = (1_u64 << (8 * point)) - 1;
            return eight_digits(word(0) & whole | word(1) & !whole, digits);
        }
        let wide = |at| u128::from(word(at)) | u128::from(word(at + 8)) << 64;
        let whole = (1_u128 << (8 * point)) - 1;
        let joined = wide(0) & whole | wide(1) & !whole;
        let upper = eight_digits(joined as u64, digits - 8)?;
        let lower = eight_digits((joined >> (8 * (digits - 8))) as u64, 8)?;
        Some(upper * 100_000_000 + lower)
    }

    /// The unscaled magnitude of any unsigned text.
    fn irregular(&self, cell: Cell<'_>) -> Result<u128, Unfit> {
        let text = cell.text();
        let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
            Some(point) => (&text[..point], &text[point + 1..]),
            None => (text, &[][..]),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(Unfit::Invalid);
        }
        let (kept, beyond) = fraction.split_at(fraction.len().min(self.scale));
        let kept_value = if kept.is_empty() { 0 } else { part(kept)? };
        if !beyond.iter().all(u8::is_ascii_digit) {
            return Err(Unfit::Invalid);
        }
        // What is wrong with the digits before the point goes before too many behind it.
        let whole_value = if whole.is_empty() { 0 } else { part(whole)? };
        if beyond.iter().any(|digit| *digit != b'0') {
            return Err(Unfit::TooFine);
        }
        let shifted = whole_value.checked_mul(power(self.scale)).ok_or(Unfit::OutOfRange)?;
        shifted.checked_add(kept_value * power(self.scale - kept.len())).ok_or(Unfit::OutOfRange)
    }

    #[inline(never)]
    fn magnitude(&self, cell: Cell<'_>) -> Result<u128, Unfit> {
        let value = match self.regular(cell) {
            Some(value) => u128::from(value),
            None => self.irregular(cell)?,
        };
        if value < self.limit { Ok(value) } else { Err(Unfit::OutOfRange) }
    }
}

#[inline]
fn part(digits: &[u8]) -> Result<u128, Unfit> {
    if digits.len() <= 16 { magnitude(Cell::from(digits)).map(u128::from) } else { wide_magnitude(digits) }
}

#[inline]
fn power(exponent: usize) -> u128 {
    10_u128.pow(exponent as u32)
}

/// Parses decimals of up to 18 digits.
pub(crate) struct NarrowDecimalParser {
    shape: Shape,
    limit: u64,
}

impl NarrowDecimalParser {
    pub(super) fn new(precision: u8, scale: u8, data_type: DataType) -> Self {
        Self {
            shape: Shape::new(precision, scale, data_type),
            limit: 10_u64.pow(u32::from(precision.min(NARROW_DIGITS))),
        }
    }
}

impl Parser for NarrowDecimalParser {
    type Value = i64;

    #[inline(always)]
    fn parse_usual(&self, cell: Cell<'_>) -> Option<i64> {
        self.shape.regular(cell).filter(|value| *value < self.limit).map(u64::cast_signed)
    }

    #[inline]
    fn parse(&mut self, cell: Cell<'_>) -> Result<i64, Unfit> {
        let (is_negative, digits) = signed(cell);
        let value = self.shape.magnitude(digits)? as i64;
        Ok(if is_negative { -value } else { value })
    }

    fn array(&self, values: Vec<i64>, nulls: Option<NullBuffer>) -> ArrayRef {
        match &self.shape.data_type {
            narrow @ DataType::Decimal64(..) => primitive::<Decimal64Type>(narrow, values, nulls),
            wide => primitive::<Decimal128Type>(wide, values.into_iter().map(i128::from).collect(), nulls),
        }
    }

    fn values(&self, array: &dyn Array) -> Option<Vec<i64>> {
        let narrowed = |values: Vec<i128>| values.into_iter().map(|value| value as i64).collect();
        natives::<Decimal64Type>(array).or_else(|| natives::<Decimal128Type>(array).map(narrowed))
    }
}

/// Parses decimals of up to 38 digits.
pub(crate) struct WideDecimalParser {
    shape: Shape,
}

impl WideDecimalParser {
    pub(super) fn new(precision: u8, scale: u8, data_type: DataType) -> Self {
        Self { shape: Shape::new(precision, scale, data_type) }
    }
}

impl Parser for WideDecimalParser {
    type Value = i128;

    #[inline]
    fn parse(&mut self, cell: Cell<'_>) -> Result<i128, Unfit> {
        let (is_negative, digits) = signed(cell);
        let value = self.shape.magnitude(digits)? as i128;
        Ok(if is_negative { -value } else { value })
    }

    fn array(&self, values: Vec<i128>, nulls: Option<NullBuffer>) -> ArrayRef {
        primitive::<Decimal128Type>(&self.shape.data_type, values, nulls)
    }

    fn values(&self, array: &dyn Array) -> Option<Vec<i128>> {
        natives::<Decimal128Type>(array)
    }
}
