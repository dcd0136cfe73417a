//! The least and greatest values of pages and column chunks, as Parquet's readers skip by them.

use parquet::{
    data_type::{ByteArray, FixedLenByteArray},
    file::statistics::{Statistics, ValueStatistics},
};

/// Longer bounds are cut.
const BYTES_MAX: usize = 64;

/// A least or greatest value. Those of one column are all of one kind; none is NaN.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(super) enum Bound {
    Boolean(bool),
    Int32(i32),
    UInt32(u32),
    Int64(i64),
    UInt64(u64),
    Float(f32),
    Double(f64),
    /// A decimal in so many bytes.
    Decimal(i128, usize),
    Bytes(Vec<u8>),
    Text(Vec<u8>),
}

/// The least and the greatest of some values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bounds {
    pub(super) min: Bound,
    pub(super) max: Bound,
}

impl Bounds {
    pub(super) fn widen(&mut self, other: &Self) {
        if other.min < self.min {
            self.min = other.min.clone();
        }
        if other.max > self.max {
            self.max = other.max.clone();
        }
    }

    /// The bounds as the column index has them.
    pub(super) fn bytes(&self) -> (Vec<u8>, Vec<u8>) {
        (lower(&self.min).0, upper(&self.max).0)
    }
}

/// The statistics of a column chunk whose values have these bounds.
pub(super) fn statistics(bounds: Option<Bounds>, nulls: u64, kind: &Bound, is_signed: bool) -> Statistics {
    macro_rules! of {
        ($kind:ident, $as:ty) => {{
            let (min, max) = match bounds {
                Some(Bounds { min: Bound::$kind(min), max: Bound::$kind(max) }) => (Some(min as $as), Some(max as $as)),
                _ => (None, None),
            };
            ValueStatistics::new(min, max, None, Some(nulls), false).with_backwards_compatible_min_max(is_signed).into()
        }};
    }
    macro_rules! of_bytes {
        ($as:ty) => {{
            let (min, max) =
                (bounds.as_ref().map(|both| lower(&both.min)), bounds.as_ref().map(|both| upper(&both.max)));
            let is_exact = |bound: &Option<(Vec<u8>, bool)>| bound.as_ref().is_some_and(|(_, is_exact)| *is_exact);
            let (min_is_exact, max_is_exact) = (is_exact(&min), is_exact(&max));
            let value = |bound: Option<(Vec<u8>, bool)>| bound.map(|(bytes, _)| <$as>::from(bytes));
            ValueStatistics::new(value(min), value(max), None, Some(nulls), false)
                .with_backwards_compatible_min_max(is_signed)
                .with_min_is_exact(min_is_exact)
                .with_max_is_exact(max_is_exact)
                .into()
        }};
    }
    match kind {
        Bound::Boolean(_) => of!(Boolean, bool),
        Bound::Int32(_) => of!(Int32, i32),
        Bound::UInt32(_) => of!(UInt32, i32),
        Bound::Int64(_) => of!(Int64, i64),
        Bound::UInt64(_) => of!(UInt64, i64),
        Bound::Float(_) => of!(Float, f32),
        Bound::Double(_) => of!(Double, f64),
        Bound::Decimal(..) => of_bytes!(FixedLenByteArray),
        Bound::Bytes(_) | Bound::Text(_) => of_bytes!(ByteArray),
    }
}

/// The bytes of a lower bound, and whether it is exact.
fn lower(bound: &Bound) -> (Vec<u8>, bool) {
    match bound {
        Bound::Bytes(bytes) if bytes.len() > BYTES_MAX => (bytes[..BYTES_MAX].to_vec(), false),
        Bound::Text(bytes) if bytes.len() > BYTES_MAX => (bytes[..whole_characters(bytes)].to_vec(), false),
        other => (plain(other), true),
    }
}

/// The bytes of an upper bound, and whether it is exact.
fn upper(bound: &Bound) -> (Vec<u8>, bool) {
    let cut = match bound {
        Bound::Bytes(bytes) if bytes.len() > BYTES_MAX => next_bytes(&bytes[..BYTES_MAX]),
        Bound::Text(bytes) if bytes.len() > BYTES_MAX => next_text(&bytes[..whole_characters(bytes)]),
        _ => None,
    };
    // What cannot be cut, since nothing of so many bytes is greater, is left whole.
    cut.map_or_else(|| (plain(bound), true), |cut| (cut, false))
}

fn plain(bound: &Bound) -> Vec<u8> {
    match bound {
        Bound::Boolean(value) => vec![u8::from(*value)],
        Bound::Int32(value) => value.to_le_bytes().to_vec(),
        Bound::UInt32(value) => value.to_le_bytes().to_vec(),
        Bound::Int64(value) => value.to_le_bytes().to_vec(),
        Bound::UInt64(value) => value.to_le_bytes().to_vec(),
        Bound::Float(value) => value.to_le_bytes().to_vec(),
        Bound::Double(value) => value.to_le_bytes().to_vec(),
        Bound::Decimal(value, width) => value.to_be_bytes()[size_of::<i128>() - width..].to_vec(),
        Bound::Bytes(bytes) | Bound::Text(bytes) => bytes.clone(),
    }
}

/// The length of the longest beginning of whole characters that is not too long.
fn whole_characters(text: &[u8]) -> usize {
    let begins_character = |at: &usize| text.get(*at).is_none_or(|byte| byte & 0b1100_0000 != 0b1000_0000);
    (1..=BYTES_MAX).rev().find(begins_character).unwrap_or(BYTES_MAX)
}

/// Bytes of this length that are greater than all that begin like this.
fn next_bytes(bytes: &[u8]) -> Option<Vec<u8>> {
    let last = bytes.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut next = bytes.to_vec();
    next[last] += 1;
    next[last + 1..].fill(0);
    Some(next)
}

/// A text of at most this length that is greater than all that begin like this.
fn next_text(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(bytes).ok()?;
    text.char_indices().rev().find_map(|(at, character)| {
        let next = char::from_u32(u32::from(character) + 1).filter(|next| next.len_utf8() == character.len_utf8())?;
        let mut longer = text[..at].to_owned();
        longer.push(next);
        Some(longer.into_bytes())
    })
}
