//! What is wrong with the records of a block.

use stepwell_pipeline::{reject::RejectCode, spec::ColumnType};

/// Which records of a block are bad, and why; the first fault of a record wins.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    records: usize,
    /// Per record, the place of its fault counted from 1; empty as long as there is none.
    places: Vec<u32>,
    faults: Vec<Fault>,
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The column's index, unless the record as a whole is wrong.
    pub(crate) column: Option<usize>,
    /// The reason, for machines.
    pub(crate) code: RejectCode,
    /// The reason, for people.
    pub(crate) message: String,
}

impl Faults {
    /// No faults, for a block of so many records.
    pub(crate) fn new(records: usize) -> Self {
        Self { records, ..Self::default() }
    }

    /// Begins another block.
    pub(crate) fn reset(&mut self, records: usize) {
        self.records = records;
        self.places.clear();
        self.faults.clear();
    }

    /// Whether a record has a fault.
    #[inline]
    pub(crate) fn is_bad(&self, record: usize) -> bool {
        self.places.get(record).is_some_and(|place| *place > 0)
    }

    /// Whether any record has a fault.
    pub(crate) fn any(&self) -> bool {
        !self.faults.is_empty()
    }

    /// How many records have a fault.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.faults.len()
    }

    /// Notes a fault, unless the record has one already.
    pub(crate) fn add(&mut self, record: usize, column: Option<usize>, code: RejectCode, message: impl Into<String>) {
        if self.is_bad(record) {
            return;
        }
        if self.places.len() <= record {
            self.places.resize(self.records.max(record + 1), 0);
        }
        self.faults.push(Fault { column, code, message: message.into() });
        self.places[record] = u32::try_from(self.faults.len()).unwrap_or(u32::MAX);
    }

    /// The bad records with their faults, in the order of the records.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Fault)> {
        let bad = self.places.iter().enumerate().filter(|(_, place)| **place > 0);
        bad.filter_map(|(record, place)| Some((record, self.faults.get(*place as usize - 1)?)))
    }

    /// The indices of the records without fault.
    pub(crate) fn good(&self) -> Vec<u32> {
        (0..self.records)
            .filter(|record| !self.is_bad(*record))
            .filter_map(|record| u32::try_from(record).ok())
            .collect()
    }
}

/// Why a text is no value of a type. Small, since every parser's result carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Not of the type.
    Invalid,
    /// Of the type, but beyond its range.
    OutOfRange,
    /// A decimal number of more digits after the point than the scale.
    TooFine,
    /// The byte at an offset is not UTF-8.
    NotUtf8(u32),
}

impl Unfit {
    pub(super) fn code(self) -> RejectCode {
        match self {
            Self::Invalid => RejectCode::InvalidValue,
            Self::OutOfRange | Self::TooFine => RejectCode::OutOfRange,
            Self::NotUtf8(_) => RejectCode::InvalidEncoding,
        }
    }

    pub(super) fn message(self, column_type: &ColumnType) -> String {
        match (self, column_type) {
            (Self::NotUtf8(at), _) => format!("byte {} of the field is not UTF-8", u64::from(at) + 1),
            (Self::OutOfRange, _) => format!("the value is beyond {column_type}"),
            (Self::TooFine, ColumnType::Decimal { scale, .. }) => {
                format!("the value has more than the {scale} digits after the point of {column_type}")
            }
            (_, ColumnType::Date(format) | ColumnType::Time(format)) => {
                format!("the value is no {column_type} of the format {format}")
            }
            (_, ColumnType::Timestamp(format)) => match &format.zone {
                Some(zone) => format!("the value is no {column_type} of the format {} in {zone}", format.pattern),
                None => format!("the value is no {column_type} of the format {}", format.pattern),
            },
            _ => format!("the value is no {column_type}"),
        }
    }
}
