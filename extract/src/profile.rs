//! What is known of a column: nulls, least, greatest, how many different values.

use std::cmp::Ordering;

use cardinality_estimator::CardinalityEstimator;
use chrono::{DateTime, Days, NaiveDate};
use stepwell_pipeline::{manifest::ColumnProfile, spec::Column};

use crate::cell::Cell;

const TEXT_CHARS_MAX: usize = 100;

/// Observes the values of one column.
pub(crate) struct ColumnProfiler {
    name: String,
    data_type: String,
    /// Digits after the point, of decimals.
    scale: u8,
    nulls: u64,
    min: Option<Bound>,
    max: Option<Bound>,
    distinct: CardinalityEstimator<[u8]>,
}

enum Bound {
    Text(String),
    Plain(Cell<'static>),
}

impl ColumnProfiler {
    pub(crate) fn new(column: &Column) -> Self {
        let scale = match column.column_type {
            stepwell_pipeline::spec::ColumnType::Decimal { scale, .. } => scale,
            _ => 0,
        };
        Self {
            name: column.name.clone(),
            data_type: column.column_type.to_string(),
            scale,
            nulls: 0,
            min: None,
            max: None,
            distinct: CardinalityEstimator::new(),
        }
    }

    pub(crate) fn observe(&mut self, cell: Option<Cell<'_>>) {
        let Some(cell) = cell else {
            self.nulls += 1;
            return;
        };
        match cell {
            Cell::Int(value) | Cell::Timestamp(value) => self.distinct.insert(&value.to_le_bytes()[..]),
            Cell::Uint(value) => self.distinct.insert(&value.to_le_bytes()[..]),
            Cell::Float(value) => self.distinct.insert(&value.to_le_bytes()[..]),
            Cell::Decimal(value) => self.distinct.insert(&value.to_le_bytes()[..]),
            Cell::Boolean(value) => self.distinct.insert(&[u8::from(value)][..]),
            Cell::String(value) => self.distinct.insert(value.as_bytes()),
            Cell::Date(value) => self.distinct.insert(&value.to_le_bytes()[..]),
        }
        widen(&mut self.min, cell, Ordering::Less);
        widen(&mut self.max, cell, Ordering::Greater);
    }

    pub(crate) fn finish(&self) -> ColumnProfile {
        ColumnProfile {
            name: self.name.clone(),
            data_type: self.data_type.clone(),
            nulls: self.nulls,
            min: self.min.as_ref().map(|bound| self.text(bound)),
            max: self.max.as_ref().map(|bound| self.text(bound)),
            distinct_estimate: self.distinct.estimate() as u64,
        }
    }

    fn text(&self, bound: &Bound) -> String {
        match bound {
            Bound::Text(text) => excerpt(text),
            Bound::Plain(Cell::String(text)) => excerpt(text),
            Bound::Plain(Cell::Int(value)) => value.to_string(),
            Bound::Plain(Cell::Uint(value)) => value.to_string(),
            Bound::Plain(Cell::Float(value)) => value.to_string(),
            Bound::Plain(Cell::Boolean(value)) => value.to_string(),
            Bound::Plain(Cell::Decimal(value)) => decimal_text(*value, usize::from(self.scale)),
            Bound::Plain(Cell::Date(days)) => date_text(*days),
            Bound::Plain(Cell::Timestamp(micros)) => DateTime::from_timestamp_micros(*micros)
                .map(|instant| instant.naive_utc().format("%Y-%m-%dT%H:%M:%S%.f").to_string())
                .unwrap_or_default(),
        }
    }
}

fn widen(bound: &mut Option<Bound>, cell: Cell<'_>, towards: Ordering) {
    let beyond = match (&*bound, cell) {
        (None, _) => true,
        (Some(Bound::Text(text)), Cell::String(value)) => value.cmp(text.as_str()) == towards,
        (Some(Bound::Plain(known)), cell) => cell.partial_cmp(known) == Some(towards),
        (Some(Bound::Text(_)), _) => false,
    };
    if beyond {
        *bound = Some(match cell {
            Cell::String(value) => Bound::Text(value.to_owned()),
            Cell::Int(value) => Bound::Plain(Cell::Int(value)),
            Cell::Uint(value) => Bound::Plain(Cell::Uint(value)),
            Cell::Float(value) => Bound::Plain(Cell::Float(value)),
            Cell::Decimal(value) => Bound::Plain(Cell::Decimal(value)),
            Cell::Boolean(value) => Bound::Plain(Cell::Boolean(value)),
            Cell::Date(value) => Bound::Plain(Cell::Date(value)),
            Cell::Timestamp(value) => Bound::Plain(Cell::Timestamp(value)),
        });
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
    use stepwell_pipeline::spec::ColumnType;

    use super::*;

    fn profile<'a>(column_type: ColumnType, cells: impl IntoIterator<Item = Option<Cell<'a>>>) -> ColumnProfile {
        let mut profiler = ColumnProfiler::new(&Column::new("c", column_type));
        cells.into_iter().for_each(|cell| profiler.observe(cell));
        profiler.finish()
    }

    #[test]
    fn bounds_are_in_the_columns_own_order_and_spelling() {
        let decimal = profile(
            ColumnType::Decimal { precision: 5, scale: 2 },
            [Some(Cell::Decimal(-5)), None, Some(Cell::Decimal(1234)), Some(Cell::Decimal(-5))],
        );
        assert_eq!((decimal.min.as_deref(), decimal.max.as_deref()), (Some("-0.05"), Some("12.34")));
        assert_eq!((decimal.nulls, decimal.distinct_estimate), (1, 2));
        let date = profile(ColumnType::Date(String::new()), [Some(Cell::Date(-1)), Some(Cell::Date(365))]);
        assert_eq!((date.min.as_deref(), date.max.as_deref()), (Some("1969-12-31"), Some("1971-01-01")));
        let text = profile(ColumnType::String, ["b", "a", "ab"].map(|text| Some(Cell::String(text))));
        assert_eq!((text.min.as_deref(), text.max.as_deref()), (Some("a"), Some("b")));
        let int = profile(ColumnType::Int(64), [9, 10, -3].map(|value| Some(Cell::Int(value))));
        assert_eq!((int.min.as_deref(), int.max.as_deref()), (Some("-3"), Some("10")));
    }

    #[test]
    fn distinct_values_are_estimated_within_a_few_percent() {
        let cells = (0..300_000).map(|value| Some(Cell::Int(value % 100_000)));
        let estimate = profile(ColumnType::Int(64), cells).distinct_estimate;
        assert!((95_000..105_000).contains(&estimate), "{estimate}");
    }
}
