//! What is known of a column: nulls, least, greatest, how many different values.

mod seen;
mod sketch;
mod texts;

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, DictionaryArray, PrimitiveArray, StringArray},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        Time64MicrosecondType, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use chrono::{DateTime, Days, NaiveDate, NaiveTime};
use serde::{Deserialize, Serialize};
use stepwell_pipeline::manifest::ColumnProfile;

use self::{seen::SeenRange, sketch::DistinctSketch, texts::TextBounds};

const TEXT_CHARS_MAX: usize = 100;
/// The places that a column's [`SeenRange`] has at most, by the hashes that its sketch keeps.
const PLACES_PER_HASH: usize = 8;

/// Observes the values of one column. Serialised, it goes on in another process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ColumnProfiler {
    name: String,
    declared_type: String,
    nulls: u64,
    bounds: Option<Bounds>,
    distinct: DistinctSketch,
    /// The whole numbers that are in the sketch already, where they are within a narrow range.
    #[serde(skip)]
    seen: SeenRange,
    /// How many texts of the dictionary are.
    #[serde(skip)]
    texts_seen: usize,
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
        Self {
            name: name.to_owned(),
            declared_type,
            nulls: 0,
            bounds: None,
            distinct: DistinctSketch::new(columns),
            seen: SeenRange::default(),
            texts_seen: 0,
        }
    }

    /// Takes in the values of a batch.
    pub(crate) fn observe(&mut self, array: &ArrayRef) {
        self.nulls += array.null_count() as u64;
        macro_rules! whole {
            ($array_type:ty) => {
                self.observe_whole(array.as_primitive::<$array_type>(), |value| value as u64)
            };
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
            DataType::Utf8 => self.observe_texts(array.as_string()),
            DataType::Dictionary(..) => self.observe_dictionary(array.as_dictionary()),
            DataType::Binary => {
                array.as_binary::<i32>().iter().flatten().for_each(|value| self.distinct.insert_bytes(value));
            }
            // Lists and structs have neither an order nor a value of their own to count.
            _ => {}
        }
    }

    /// Values are told apart by their lowest 64 bits.
    fn observe_whole<A>(&mut self, array: &PrimitiveArray<A>, word: impl Fn(A::Native) -> u64)
    where
        A: ArrowPrimitiveType<Native: Ord + Into<i128>>,
    {
        match array.null_count() {
            0 => self.observe_values(array.values().iter().copied(), word),
            _ => self.observe_values(array.iter().flatten(), word),
        }
    }

    fn observe_values<T: Copy + Ord + Into<i128>>(
        &mut self,
        values: impl Iterator<Item = T> + Clone,
        word: impl Fn(T) -> u64,
    ) {
        let Some(first) = values.clone().next() else { return };
        let widened = |(least, greatest): (T, T), value: T| (least.min(value), greatest.max(value));
        let (least, greatest) = values.clone().fold((first, first), widened);
        let (low, high) = (least.into(), greatest.into());
        let is_narrow = match (i64::try_from(low), i64::try_from(high)) {
            (Ok(low), Ok(high)) => self.seen.cover(low, high, PLACES_PER_HASH * self.distinct.kept_max()),
            _ => false,
        };
        if is_narrow {
            for word in values.map(word) {
                if self.seen.add(word.cast_signed()) {
                    self.distinct.insert_word(word);
                }
            }
        } else {
            values.for_each(|value| self.distinct.insert_word(word(value)));
        }
        self.widen(Bounds::Whole(low, high));
    }

    fn observe_texts(&mut self, array: &StringArray) {
        let (bytes, offsets) = (array.value_data(), array.value_offsets());
        let mut bounds = None;
        for (place, ends) in offsets.windows(2).enumerate() {
            if array.null_count() > 0 && array.is_null(place) {
                continue;
            }
            let text = &bytes[ends[0] as usize..ends[1] as usize];
            bounds.get_or_insert_with(|| TextBounds::of(text)).widen(text);
            self.distinct.insert_bytes(text);
        }
        if let Some(bounds) = bounds {
            self.widen(Bounds::Text(excerpt(bounds.least()), excerpt(bounds.greatest())));
        }
    }

    /// The dictionaries of batches go on where those of earlier ones ended, and hold no text that no value has.
    fn observe_dictionary(&mut self, array: &DictionaryArray<UInt8Type>) {
        let texts = array.values().as_string::<i32>();
        let seen = self.texts_seen.min(texts.len());
        self.observe_texts(&texts.slice(seen, texts.len() - seen));
        self.texts_seen = texts.len();
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

/// The beginning of a text in UTF-8.
fn excerpt(text: &[u8]) -> String {
    let text = &text[..text.len().min(4 * TEXT_CHARS_MAX)];
    String::from_utf8_lossy(text).chars().take(TEXT_CHARS_MAX).collect()
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
