//! What is known of the quality of an input: figures of its columns, and which conditions its records fulfilled.

use std::collections::BTreeMap;

use super::facet::{Assertion, Assertions, ColumnMetrics, Metrics};
use crate::{
    manifest::ColumnProfile,
    reject::{ReasonCount, RejectCode},
    spec::{CheckedSpec, Column},
};

/// What came of reading an input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome<'a> {
    pub(super) records_read: u64,
    pub(super) records_rejected: u64,
    pub(super) bytes_read: u64,
    pub(super) files_read: u64,
    pub(super) reasons: &'a [ReasonCount],
    pub(super) profile: &'a [ColumnProfile],
}

impl Outcome<'_> {
    pub(super) fn metrics(&self, spec: &CheckedSpec) -> Metrics {
        let accepted = self.records_read.saturating_sub(self.records_rejected);
        let of_column = |profile: &ColumnProfile| {
            let column = spec.columns.iter().find(|column| column.name == profile.name);
            // Of personal data no value is told, hashed or not.
            let is_told = column.is_some_and(|column| column.pii.is_none() && column.column_type.is_number());
            let number = |value: &Option<String>| value.as_ref().filter(|_| is_told).and_then(|text| finite(text));
            let metrics = ColumnMetrics {
                null_count: profile.nulls,
                distinct_count: profile.distinct_estimate,
                count: accepted.saturating_sub(profile.nulls),
                min: number(&profile.min),
                max: number(&profile.max),
            };
            (profile.name.clone(), metrics)
        };
        Metrics {
            row_count: accepted,
            bytes: self.bytes_read,
            file_count: self.files_read,
            column_metrics: self.profile.iter().map(of_column).collect(),
        }
    }

    pub(super) fn assertions(&self, spec: &CheckedSpec) -> Assertions {
        let mut rejected: BTreeMap<(Option<&str>, Condition), u64> = BTreeMap::new();
        for column in &spec.columns {
            let name = Some(column.name.as_str());
            rejected.extend(Condition::of_column(column).map(|condition| ((name, condition), 0)));
        }
        rejected.insert((None, Condition::WellFormed), 0);
        for reason in self.reasons {
            let column = reason.column.as_deref().filter(|name| spec.columns.iter().any(|known| known.name == *name));
            let condition = match column {
                Some(_) => Condition::broken(reason.code),
                None => Condition::WellFormed,
            };
            let column = column.filter(|_| condition != Condition::WellFormed);
            *rejected.entry((column, condition)).or_default() += reason.records;
        }
        let tolerated = Assertion {
            assertion: "rejects_tolerated",
            success: !spec.tolerance.is_exceeded(self.records_rejected, self.records_read),
            column: None,
            severity: "error",
            expected: format!("at most {}", spec.tolerance),
            actual: format!("{} of {} records", self.records_rejected, self.records_read),
            content: None,
            content_type: None,
        };
        let conditions = rejected.into_iter().map(|((column, condition), records)| {
            let column = column.and_then(|name| spec.columns.iter().find(|column| column.name == name));
            condition.assertion(column, records)
        });
        Assertions { assertions: std::iter::once(tolerated).chain(conditions).collect() }
    }
}

/// JSON has neither infinities nor NaN.
fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// What is asked of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Condition {
    WellFormed,
    ValidType,
    NotNull,
    Unique,
    AcceptedValues,
    MatchesPattern,
    InRange,
    LengthInRange,
    Check,
}

impl Condition {
    /// What a spec asks of a column.
    fn of_column(column: &Column) -> impl Iterator<Item = Self> {
        [
            (Self::ValidType, true),
            (Self::NotNull, column.required),
            (Self::Unique, column.unique),
            (Self::AcceptedValues, !column.allowed.is_empty()),
            (Self::MatchesPattern, column.pattern.is_some()),
            (Self::InRange, column.min.is_some() || column.max.is_some()),
            (Self::LengthInRange, column.min_length.is_some() || column.max_length.is_some()),
            (Self::Check, column.check.is_some()),
        ]
        .into_iter()
        .filter_map(|(condition, is_asked)| is_asked.then_some(condition))
    }

    /// What a reject did not fulfil.
    fn broken(code: RejectCode) -> Self {
        match code {
            RejectCode::TooFewFields
            | RejectCode::TooManyFields
            | RejectCode::Malformed
            | RejectCode::UnknownColumn => Self::WellFormed,
            RejectCode::InvalidValue | RejectCode::OutOfRange | RejectCode::InvalidEncoding => Self::ValidType,
            RejectCode::RequiredMissing => Self::NotNull,
            RejectCode::NotUnique => Self::Unique,
            RejectCode::NotAllowed => Self::AcceptedValues,
            RejectCode::PatternMismatch => Self::MatchesPattern,
            RejectCode::OutOfBounds => Self::InRange,
            RejectCode::InvalidLength => Self::LengthInRange,
            RejectCode::CheckFailed => Self::Check,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::WellFormed => "well_formed",
            Self::ValidType => "valid_type",
            Self::NotNull => "not_null",
            Self::Unique => "unique",
            Self::AcceptedValues => "accepted_values",
            Self::MatchesPattern => "matches_pattern",
            Self::InRange => "in_range",
            Self::LengthInRange => "length_in_range",
            Self::Check => "custom_sql",
        }
    }

    fn assertion(self, column: Option<&Column>, records: u64) -> Assertion {
        let condition = column.and_then(|column| column.check.as_ref()).filter(|_| self == Self::Check);
        Assertion {
            assertion: self.name(),
            success: records == 0,
            column: column.map(|column| column.name.clone()),
            // A record that breaks it is set aside, and the run goes on.
            severity: "warn",
            expected: "0".to_owned(),
            actual: records.to_string(),
            content: condition.map(|condition| condition.value.clone()),
            content_type: condition.map(|_| "sql"),
        }
    }
}
