//! What is known of a column: nulls, least, greatest, how many different values.

mod sketch;

use std::cmp::Ordering;

use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray},
    compute,
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        Time64MicrosecondType, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use chrono::{DateTime, Days, NaiveDate, NaiveTime};
use serde::{Deserialize, Serialize};
use stepwell_pipeline::manifest::ColumnProfile;

use self::sketch::DistinctSketch;

const TEXT_CHARS_MAX: usize = 100;
/// How much of a text is compared at once.
const BEGINNING_BYTES: usize = 16;

/// Observes the values of one column. Serialised, it goes on in another process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ColumnProfiler {
    name: String,
    declared_type: String,
    nulls: u64,
    bounds: Option<Bounds>,
    distinct: DistinctSketch,
}

/// The least and the greatest value so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Bounds {
    /// Of integers, unscaled decimals, days, microseconds and booleans.
    Whole(i128, i128),
    Float(#[serde(with = "float_bits")] f64, #[serde(with = "float_bits")] f64),
    /// At most [`TEXT_CHARS_MAX`] characters of each.
    Text(String, String),
}

/// Floats as their bits: JSON has no infinities.
mod float_bits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.to_bits().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

impl ColumnProfiler {
    /// The profiler of one column among so many.
    pub(crate) fn new(name: &str, declared_type: String, columns: usize) -> Self {
        Self { name: name.to_owned(), declared_type, nulls: 0, bounds: None, distinct: DistinctSketch::new(columns) }
    }

    /// Takes in the values of a batch.
    pub(crate) fn observe(&mut self, array: &ArrayRef) {
        self.nulls += array.null_count() as u64;
        macro_rules! whole {
            ($array_type:ty) => {{
                let array = array.as_primitive::<$array_type>();
                if let (Some(least), Some(greatest)) = (compute::min(array), compute::max(array)) {
                    self.widen(Bounds::Whole(i128::from(least), i128::from(greatest)));
                }
                match array.nulls() {
                    None => array.values().iter().for_each(|value| self.distinct.insert_word(*value as u64)),
                    Some(_) => array.iter().flatten().for_each(|value| self.distinct.insert_word(value as u64)),
                }
            }};
        }
        macro_rules! float {
            ($array_type:ty) => {
                for value in array.as_primitive::<$array_type>().iter().flatten() {
                    let value = f64::from(value);
                    self.distinct.insert_word(value.to_bits());
                    if !value.is_nan() {
                        self.widen(Bounds::Float(value, value));
                    }
                }
            };
        }
        match array.data_type() {
            DataType::Int8 => whole!(Int8Type),
            DataType::Int16 => whole!(Int16Type),
            DataType::Int32 => whole!(Int32Type),
            DataType::Int64 => whole!(Int64Type),
            DataType::UInt8 => whole!(UInt8Type),
            DataType::UInt16 => whole!(UInt16Type),
            DataType::UInt32 => whole!(UInt32Type),
            DataType::UInt64 => whole!(UInt64Type),
            DataType::Date32 => whole!(Date32Type),
            DataType::Time64(_) => whole!(Time64MicrosecondType),
            DataType::Timestamp(..) => whole!(TimestampMicrosecondType),
            DataType::Decimal128(..) => whole!(Decimal128Type),
            DataType::Decimal64(..) => whole!(arrow::datatypes::Decimal64Type),
            DataType::Float32 => float!(Float32Type),
            DataType::Float64 => float!(Float64Type),
            DataType::Boolean => {
                for value in array.as_boolean().iter().flatten() {
                    self.distinct.insert_word(u64::from(value));
                    self.widen(Bounds::Whole(i128::from(value), i128::from(value)));
                }
            }
            DataType::Utf8 => {
                let array = array.as_string::<i32>();
                if let Some((least, greatest)) = text_bounds(array) {
                    self.widen(Bounds::Text(excerpt(least), excerpt(greatest)));
                }
                array.iter().flatten().for_each(|value| self.distinct.insert_bytes(value.as_bytes()));
            }
            DataType::Binary => {
                array.as_binary::<i32>().iter().flatten().for_each(|value| self.distinct.insert_bytes(value));
            }
            // Lists and structs have neither an order nor a value of their own to count.
            _ => {}
        }
    }

    fn widen(&mut self, other: Bounds) {
        match (&mut self.bounds, other) {
            (Some(Bounds::Whole(least, greatest)), Bounds::Whole(low, high)) => {
                (*least, *greatest) = ((*least).min(low), (*greatest).max(high));
            }
            (Some(Bounds::Float(least, greatest)), Bounds::Float(low, high)) => {
                (*least, *greatest) = (least.min(low), greatest.max(high));
            }
            (Some(Bounds::Text(least, greatest)), Bounds::Text(low, high)) => {
                if low < *least {
                    *least = low;
                }
                if high > *greatest {
                    *greatest = high;
                }
            }
            (bounds, other) => *bounds = Some(other),
        }
    }

    pub(crate) fn finish(&self, data_type: &DataType) -> ColumnProfile {
        let (min, max) = match &self.bounds {
            None => (None, None),
            Some(Bounds::Whole(low, high)) => (Some(whole_text(*low, data_type)), Some(whole_text(*high, data_type))),
            Some(Bounds::Float(low, high)) => (Some(low.to_string()), Some(high.to_string())),
            Some(Bounds::Text(low, high)) => (Some(low.clone()), Some(high.clone())),
        };
        ColumnProfile {
            name: self.name.clone(),
            data_type: self.declared_type.clone(),
            nulls: self.nulls,
            min,
            max,
            distinct_estimate: self.distinct.estimate(),
        }
    }
}

/// The least and the greatest text. The first sixteen bytes decide nearly always.
fn text_bounds(array: &StringArray) -> Option<(&str, &str)> {
    let first = array.iter().flatten().next()?;
    let (mut least, mut greatest) = ((beginning(first), first), (beginning(first), first));
    for text in array.iter().flatten() {
        let candidate = (beginning(text), text);
        if is_before(candidate, least) {
            least = candidate;
        }
        if is_before(greatest, candidate) {
            greatest = candidate;
        }
    }
    Some((least.1, greatest.1))
}

fn is_before(left: (u128, &str), right: (u128, &str)) -> bool {
    match left.0.cmp(&right.0) {
        Ordering::Less => true,
        Ordering::Greater => false,
        // Of texts that are no longer than their beginning, the shorter ends in zeros of its own.
        Ordering::Equal if left.1.len() <= BEGINNING_BYTES && right.1.len() <= BEGINNING_BYTES => {
            left.1.len() < right.1.len()
        }
        Ordering::Equal => left.1 < right.1,
    }
}

/// The first bytes, zeros where there are fewer, as a number that is in the order of the texts.
fn beginning(text: &str) -> u128 {
    let bytes = text.as_bytes();
    if let Some(first) = bytes.first_chunk::<BEGINNING_BYTES>() {
        return u128::from_be_bytes(*first);
    }
    let (high, low) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) if bytes.len() > 8 => {
            (u64::from_be_bytes(*first), u64::from_be_bytes(*last) << (8 * (BEGINNING_BYTES - bytes.len())))
        }
        (Some(first), _) => (u64::from_be_bytes(*first), 0),
        _ => (bytes.iter().enumerate().fold(0, |word, (at, byte)| word | u64::from(*byte) << (56 - 8 * at)), 0),
    };
    u128::from(high) << 64 | u128::from(low)
}

fn whole_text(value: i128, data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => (value != 0).to_string(),
        DataType::Decimal128(_, scale) | DataType::Decimal64(_, scale) => {
            decimal_text(value, usize::from(scale.unsigned_abs()))
        }
        DataType::Date32 => date_text(value as i32),
        DataType::Time64(_) => {
            let seconds = (value / 1_000_000) as u32;
            let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds, (value % 1_000_000) as u32 * 1_000);
            time.map(|time| time.format("%H:%M:%S%.f").to_string()).unwrap_or_default()
        }
        DataType::Timestamp(_, zone) => {
            let pattern = if zone.is_some() { "%Y-%m-%dT%H:%M:%S%.fZ" } else { "%Y-%m-%dT%H:%M:%S%.f" };
            DateTime::from_timestamp_micros(value as i64)
                .map(|instant| instant.naive_utc().format(pattern).to_string())
                .unwrap_or_default()
        }
        _ => value.to_string(),
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

fn decimal_text(unscaled: i128, scale: usize) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = format!("{:0width$}", unscaled.unsigned_abs(), width = scale + 1);
    match digits.split_at(digits.len() - scale) {
        (whole, "") => format!("{sign}{whole}"),
        (whole, fraction) => format!("{sign}{whole}.{fraction}"),
    }
}

fn date_text(days: i32) -> String {
    let distance = Days::new(u64::from(days.unsigned_abs()));
    let epoch = NaiveDate::default();
    let date = if days < 0 { epoch.checked_sub_days(distance) } else { epoch.checked_add_days(distance) };
    date.map(|date| date.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "tests fail by panicking")]

    use std::sync::Arc;

    use arrow::array::{Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray};

    use super::*;

    fn profile(batches: &[ArrayRef]) -> ColumnProfile {
        let mut profiler = ColumnProfiler::new("c", "any".to_owned(), 1);
        for batch in batches {
            profiler.observe(batch);
            let saved = serde_json::to_string(&profiler).expect("saves");
            profiler = serde_json::from_str(&saved).expect("goes on");
        }
        profiler.finish(batches[0].data_type())
    }

    fn bounds(profile: &ColumnProfile) -> (Option<&str>, Option<&str>) {
        (profile.min.as_deref(), profile.max.as_deref())
    }

    #[test]
    fn texts_are_ordered_as_strings_are() {
        let long = "0123456789abcdef";
        let mut texts: Vec<String> = (0..=long.len()).map(|end| long[..end].to_owned()).collect();
        texts.extend(
            ["\0", "0\0", "01234567\0", "0123456789abcdef\0", "0123456789abcdefZ", "é", "a"].map(str::to_owned),
        );
        for left in &texts {
            for right in &texts {
                let pair = |text| (beginning(text), text);
                assert_eq!(is_before(pair(left), pair(right)), left < right, "{left:?} {right:?}");
            }
        }
    }

    #[test]
    fn bounds_are_in_the_columns_own_order_and_spelling() {
        let decimals = Decimal128Array::from(vec![Some(-5), None, Some(1234), Some(-5)]);
        let decimal = profile(&[Arc::new(decimals.with_precision_and_scale(5, 2).expect("fits"))]);
        assert_eq!(bounds(&decimal), (Some("-0.05"), Some("12.34")));
        assert_eq!((decimal.nulls, decimal.distinct_estimate), (1, 2));
        let date = profile(&[Arc::new(Date32Array::from(vec![-1])), Arc::new(Date32Array::from(vec![365]))]);
        assert_eq!(bounds(&date), (Some("1969-12-31"), Some("1971-01-01")));
        let text = profile(&[Arc::new(StringArray::from(vec!["b", "a", "ab"]))]);
        assert_eq!(bounds(&text), (Some("a"), Some("b")));
        let int = profile(&[Arc::new(Int64Array::from(vec![9])), Arc::new(Int64Array::from(vec![10, -3]))]);
        assert_eq!(bounds(&int), (Some("-3"), Some("10")));
        let float = profile(&[Arc::new(Float64Array::from(vec![f64::NAN, 1.5, -2.0]))]);
        assert_eq!(bounds(&float), (Some("-2"), Some("1.5")));
        let endless = profile(&[Arc::new(Float64Array::from(vec![f64::NEG_INFINITY, f64::INFINITY]))]);
        assert_eq!(bounds(&endless), (Some("-inf"), Some("inf")));
    }
}
