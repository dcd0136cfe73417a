//! Conditions on the values of one column.

use regex::bytes::Regex;
use stepwell_pipeline::{reject::RejectCode, spec::Column};

use super::{
    cell::Fields,
    faults::{Faults, Unfit},
    nulls::Reader,
};

/// Which limit of the declaration a value is beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Allowed,
    Min,
    Max,
}

/// Notes the faults of one column. Messages are made for bad records only, and never of values.
pub(super) struct Report<'a> {
    pub(super) faults: &'a mut Faults,
    pub(super) index: usize,
    pub(super) column: &'a Column,
}

impl Report<'_> {
    pub(super) fn is_bad(&self, record: usize) -> bool {
        self.faults.is_bad(record)
    }

    #[cold]
    pub(super) fn add(&mut self, record: usize, code: RejectCode, message: impl FnOnce() -> String) {
        if !self.faults.is_bad(record) {
            self.faults.add(record, Some(self.index), code, message());
        }
    }

    #[cold]
    pub(super) fn unfit(&mut self, record: usize, unfit: Unfit) {
        let column_type = &self.column.column_type;
        self.add(record, unfit.code(), || unfit.message(column_type));
    }

    #[cold]
    pub(super) fn missing(&mut self, record: usize) {
        self.add(record, RejectCode::RequiredMissing, || "a required value is missing".to_owned());
    }

    #[cold]
    pub(super) fn beyond(&mut self, record: usize, code: RejectCode, limit: Limit) {
        let column = self.column;
        let bound = |bound: &Option<String>| excerpt(bound.as_deref().unwrap_or_default());
        self.add(record, code, || match limit {
            Limit::Allowed => format!("the value is not among those allowed: {}", listed(&column.allowed)),
            Limit::Min => format!("the value is below the least allowed, {}", bound(&column.min)),
            Limit::Max => format!("the value is above the greatest allowed, {}", bound(&column.max)),
        });
    }
}

const EXCERPT_CHARS_MAX: usize = 200;

/// The beginning of a text of the spec.
pub(super) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn listed(allowed: &[String]) -> String {
    const LISTED_MAX: usize = 20;
    let first: Vec<&str> = allowed.iter().take(LISTED_MAX).map(String::as_str).collect();
    let first = excerpt(&first.join(", "));
    if allowed.len() > LISTED_MAX { format!("{first}, … ({} in all)", allowed.len()) } else { first }
}

/// Conditions on the text of values, as the source writes them.
pub(super) struct TextConditions {
    pattern: Option<Regex>,
    min_length: Option<u64>,
    max_length: Option<u64>,
}

impl TextConditions {
    /// The column's conditions, or what is wrong with them.
    pub(super) fn new(column: &Column, wrong: &mut Vec<String>) -> Self {
        let pattern = column.pattern.as_ref().and_then(|pattern| {
            let compiled = Regex::new(pattern).and_then(|_| Regex::new(&format!(r"\A(?:{pattern})\z")));
            let message = |error: regex::Error| format!("`pattern`: {}", one_line(&error.to_string()));
            compiled.map_err(|error| wrong.push(message(error))).ok()
        });
        let (min_length, max_length) = (column.min_length, column.max_length);
        if min_length.zip(max_length).is_some_and(|(min, max)| min > max) {
            wrong.push("`min_length` is greater than `max_length`".into());
        }
        Self { pattern, min_length, max_length }
    }

    pub(super) fn check_pattern<F: Fields>(&self, reader: &Reader, fields: &F, report: &mut Report<'_>) {
        let Some(pattern) = &self.pattern else { return };
        for record in 0..fields.len() {
            let Some(cell) = reader.read(fields, record) else { continue };
            if !report.is_bad(record) && !pattern.is_match(cell.text()) {
                let spelt = report.column.pattern.as_deref().unwrap_or_default();
                report.add(record, RejectCode::PatternMismatch, || {
                    format!("the value does not match the pattern {}", excerpt(spelt))
                });
            }
        }
    }

    pub(super) fn check_lengths<F: Fields>(&self, reader: &Reader, fields: &F, report: &mut Report<'_>) {
        if self.min_length.is_none() && self.max_length.is_none() {
            return;
        }
        let (min, max) = (self.min_length.unwrap_or(0), self.max_length.unwrap_or(u64::MAX));
        let is_ascii = fields.is_ascii();
        for record in 0..fields.len() {
            let Some(cell) = reader.read(fields, record) else { continue };
            let chars = if is_ascii { cell.len() } else { chars(cell.text()) } as u64;
            if chars < min {
                report.add(record, RejectCode::InvalidLength, || {
                    format!("the value has {chars} characters, fewer than {min}")
                });
            } else if chars > max {
                report.add(record, RejectCode::InvalidLength, || {
                    format!("the value has {chars} characters, more than {max}")
                });
            }
        }
    }
}

/// The characters of a text in UTF-8: each has one byte that continues none.
fn chars(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

/// A message of several lines, in which a pattern is underlined, as one.
fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
