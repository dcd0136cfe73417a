//! Rejects: records that do not fit the schema, kept with their reason.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{figures::thousands, run::Run};

/// Why a record was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectCode {
    /// The record has fewer fields than the header.
    TooFewFields,
    /// The record has more fields than the header.
    TooManyFields,
    /// A required column is null.
    RequiredMissing,
    /// A value does not parse as its declared type.
    InvalidValue,
    /// A value parses but is beyond its type's range.
    OutOfRange,
    /// A field is not valid in the source's character encoding.
    InvalidEncoding,
    /// The record is not well-formed in its format: text after a closing quote, an unclosed quote, broken JSON.
    Malformed,
    /// The record has a field that the schema does not declare.
    UnknownColumn,
    /// A value that must be unique within the object occurred before.
    NotUnique,
    /// A condition is false.
    CheckFailed,
    /// A value is not among those allowed.
    NotAllowed,
    /// A text does not match its pattern.
    PatternMismatch,
    /// A value is below the least or above the greatest allowed.
    OutOfBounds,
    /// A text has too few or too many characters.
    InvalidLength,
}

impl RejectCode {
    /// The code's name as it stands in `reasons.ndjson`.
    pub fn name(self) -> &'static str {
        match self {
            RejectCode::TooFewFields => "too_few_fields",
            RejectCode::TooManyFields => "too_many_fields",
            RejectCode::RequiredMissing => "required_missing",
            RejectCode::InvalidValue => "invalid_value",
            RejectCode::OutOfRange => "out_of_range",
            RejectCode::InvalidEncoding => "invalid_encoding",
            RejectCode::Malformed => "malformed",
            RejectCode::UnknownColumn => "unknown_column",
            RejectCode::NotUnique => "not_unique",
            RejectCode::CheckFailed => "check_failed",
            RejectCode::NotAllowed => "not_allowed",
            RejectCode::PatternMismatch => "pattern_mismatch",
            RejectCode::OutOfBounds => "out_of_bounds",
            RejectCode::InvalidLength => "invalid_length",
        }
    }
}

/// One line of `reasons.ndjson`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reject {
    /// The object, as a URL.
    pub object: String,
    /// The line on which the record begins, counted from 1.
    pub line: u64,
    /// The offset of the record's first byte in the object.
    pub byte_offset: u64,
    /// The column, unless the record as a whole is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The reason, for machines.
    pub code: RejectCode,
    /// The reason, for people.
    pub message: String,
    /// The offending value, cut to at most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// How often a reason occurred, with the first record that it befell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReasonCount {
    /// The column, unless the records as a whole are wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The reason.
    pub code: RejectCode,
    /// How many records have it.
    pub records: u64,
    /// The first of them.
    pub sample: Reject,
}

impl ReasonCount {
    /// Where the first of the records is, for people: its line, and its file where the run reads several.
    pub fn place(&self, run: &Run) -> String {
        let line = thousands(self.sample.line);
        if self.sample.object == run.source_ref().to_string() {
            return format!("line {line}");
        }
        format!("line {line} of {}", self.sample.object)
    }
}

/// Counts rejects by column and code.
#[derive(Clone, Debug, Default)]
pub struct ReasonTally {
    counts: BTreeMap<(Option<String>, RejectCode), ReasonCount>,
}

impl ReasonTally {
    /// A tally that goes on from counts.
    pub fn from_counts(counts: Vec<ReasonCount>) -> Self {
        Self { counts: counts.into_iter().map(|count| ((count.column.clone(), count.code), count)).collect() }
    }

    /// Counts one reject.
    pub fn add(&mut self, reject: &Reject) {
        self.counts.entry((reject.column.clone(), reject.code)).and_modify(|count| count.records += 1).or_insert_with(
            || ReasonCount { column: reject.column.clone(), code: reject.code, records: 1, sample: reject.clone() },
        );
    }

    /// The reasons, the commonest first.
    pub fn commonest(&self) -> Vec<ReasonCount> {
        let mut reasons: Vec<_> = self.counts.values().cloned().collect();
        reasons.sort_by_key(|reason| (std::cmp::Reverse(reason.records), reason.sample.line));
        reasons
    }
}
