use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryViewArray},
    buffer::NullBuffer,
    datatypes::{DataType, Time64NanosecondType, TimeUnit, TimestampNanosecondType},
};
use stepwell_pipeline::{reject::RejectCode, spec::ColumnType};

use super::{json, value};
use crate::column::Fields;

/// A column of a block of a typed source, as text.
#[derive(Debug)]
pub(crate) struct TextColumn {
    cells: Cells,
    faults: Vec<CellFault>,
}

/// What is wrong with a cell before it is parsed.
#[derive(Debug, PartialEq)]
pub(crate) struct CellFault {
    /// The record within the block.
    pub(crate) record: usize,
    /// The reason, for machines.
    pub(crate) code: RejectCode,
    /// The reason, for people.
    pub(crate) message: &'static str,
}

#[derive(Debug)]
enum Cells {
    Absent(usize),
    /// The source's own bytes.
    Views(BinaryViewArray, Option<NullBuffer>),
    Written {
        ends: Vec<usize>,
        text: Vec<u8>,
        nulls: Option<NullBuffer>,
    },
}

impl TextColumn {
    /// A column that the source lacks.
    pub(super) fn absent(records: usize) -> Self {
        Self { cells: Cells::Absent(records), faults: Vec::new() }
    }

    /// The text of an array for a column of a type. `outer` are the nulls of the structs around it.
    pub(super) fn new(array: &ArrayRef, outer: Option<&NullBuffer>, target: &ColumnType) -> Self {
        let array = &json::undictionaried(array);
        let nulls = NullBuffer::union(array.logical_nulls().as_ref(), outer);
        let faults = finer_than_micros(array, nulls.as_ref(), target);
        let cells = match array.data_type() {
            DataType::Null => Cells::Absent(array.len()),
            DataType::Utf8View => Cells::Views(array.as_string_view().clone().to_binary_view(), nulls),
            DataType::BinaryView if !matches!(target, ColumnType::Binary(_)) => {
                Cells::Views(array.as_binary_view().clone(), nulls)
            }
            _ => Self::written(array, nulls, target),
        };
        Self { cells, faults }
    }

    /// One text per record, or null.
    pub(super) fn collect(records: usize, mut write: impl FnMut(usize, &mut Vec<u8>) -> bool) -> Self {
        let mut text = Vec::new();
        let mut ends = Vec::with_capacity(records);
        let mut valid = Vec::with_capacity(records);
        for record in 0..records {
            let start = text.len();
            valid.push(write(record, &mut text));
            if valid.last() == Some(&false) {
                text.truncate(start);
            }
            ends.push(text.len());
        }
        let nulls = Some(NullBuffer::from(valid));
        Self { cells: Cells::Written { ends, text, nulls }, faults: Vec::new() }
    }

    fn written(array: &dyn Array, nulls: Option<NullBuffer>, target: &ColumnType) -> Cells {
        let scalar;
        let write = match array.data_type() {
            data_type if data_type.is_nested() && !matches!(data_type, DataType::Union(_, _)) => {
                json::writer(array, Some(target))
            }
            DataType::Union(_, _) => {
                scalar = json::writer(array, Some(target));
                Box::new(|row, out: &mut Vec<u8>| unquoted(&scalar, row, out))
            }
            _ => value::writer(array, Some(target)),
        };
        let mut text = Vec::new();
        let mut ends = Vec::with_capacity(array.len());
        for row in 0..array.len() {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                write(row, &mut text);
            }
            ends.push(text.len());
        }
        Cells::Written { ends, text, nulls }
    }

    /// Cells that no text can give without losing something.
    pub(crate) fn faults(&self) -> &[CellFault] {
        &self.faults
    }
}

/// Of a union's value, a string without its quotes; everything else as in JSON.
fn unquoted(write: &value::Writer<'_>, row: usize, out: &mut Vec<u8>) {
    let mut json = Vec::new();
    write(row, &mut json);
    match serde_json::from_slice::<String>(&json) {
        Ok(text) => out.extend_from_slice(text.as_bytes()),
        Err(_) => out.extend_from_slice(&json),
    }
}

impl Fields for TextColumn {
    fn len(&self) -> usize {
        match &self.cells {
            Cells::Absent(records) => *records,
            Cells::Views(values, _) => values.len(),
            Cells::Written { ends, .. } => ends.len(),
        }
    }

    fn get(&self, record: usize) -> Option<&[u8]> {
        match &self.cells {
            Cells::Views(values, nulls) if is_valid(nulls.as_ref(), record) => Some(values.value(record)),
            Cells::Written { ends, text, nulls } if is_valid(nulls.as_ref(), record) => {
                let start = record.checked_sub(1).map_or(0, |before| ends[before]);
                Some(&text[start..ends[record]])
            }
            _ => None,
        }
    }
}

fn is_valid(nulls: Option<&NullBuffer>, record: usize) -> bool {
    nulls.is_none_or(|nulls| nulls.is_valid(record))
}

/// Timestamps and times are kept to the microsecond; what has more is not cut.
fn finer_than_micros(array: &dyn Array, nulls: Option<&NullBuffer>, target: &ColumnType) -> Vec<CellFault> {
    let values = match (array.data_type(), target) {
        (DataType::Timestamp(TimeUnit::Nanosecond, _), ColumnType::Timestamp(_)) => {
            array.as_primitive::<TimestampNanosecondType>().values()
        }
        (DataType::Time64(TimeUnit::Nanosecond), ColumnType::Time(_)) => {
            array.as_primitive::<Time64NanosecondType>().values()
        }
        _ => return Vec::new(),
    };
    let finer = values.iter().enumerate().filter(|(record, value)| **value % 1000 != 0 && is_valid(nulls, *record));
    finer
        .map(|(record, _)| CellFault {
            record,
            code: RejectCode::OutOfRange,
            message: "the time has nanoseconds where microseconds are kept; round it in the source",
        })
        .collect()
}
