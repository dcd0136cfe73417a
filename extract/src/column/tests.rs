//! Columns as the stage uses them: block by block, with faults, selections and batches.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod coded;
mod conditions;
mod oracle;
mod round_trip;
mod spelling;

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, TimestampMicrosecondType},
};
use stepwell_pipeline::{
    reject::RejectCode,
    spec::{Column, ColumnType, TimestampFormat},
};

use super::{ColumnParser, Faults, Fields, Selection, cell::Cell};

/// Texts themselves, where an array has codes of them.
pub(super) fn plain(array: ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Dictionary(_, texts) => arrow::compute::cast(&array, texts).expect("codes of texts"),
        _ => array,
    }
}

/// Cells in one stretch of memory, as they are in a block of CSV: behind each comes the next.
pub(super) struct Block {
    text: Vec<u8>,
    cells: Vec<Option<(usize, usize)>>,
    has_window: bool,
}

impl Block {
    pub(super) fn new<T: AsRef<[u8]>>(cells: impl IntoIterator<Item = Option<T>>, has_window: bool) -> Self {
        let mut block = Self { text: Vec::new(), cells: Vec::new(), has_window };
        for cell in cells {
            block.cells.push(cell.map(|cell| {
                let begin = block.text.len();
                block.text.extend_from_slice(cell.as_ref());
                block.text.push(b'7');
                (begin, cell.as_ref().len())
            }));
        }
        block
    }

    pub(super) fn of(cells: &[&str]) -> Self {
        Self::new(cells.iter().map(|cell| Some(*cell)), true)
    }
}

impl Fields for Block {
    fn len(&self) -> usize {
        self.cells.len()
    }

    fn get(&self, record: usize) -> Option<&[u8]> {
        self.cells[record].map(|(begin, len)| &self.text[begin..begin + len])
    }

    fn cell(&self, record: usize) -> Option<Cell<'_>> {
        if self.has_window {
            self.cells[record].map(|(begin, len)| Cell::new(&self.text[begin..], len))
        } else {
            self.get(record).map(Cell::from)
        }
    }

    fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }
}

pub(super) fn timestamp(pattern: &str, zone: Option<&str>) -> ColumnType {
    ColumnType::Timestamp(TimestampFormat { pattern: pattern.into(), zone: zone.map(str::to_owned) })
}

pub(super) fn parser(column: &Column) -> ColumnParser {
    ColumnParser::new(3, column, None).expect("a valid column")
}

/// Parses one cell, once with a window and once without; its value as Arrow prints it, or its fault.
pub(super) fn outcome(column: &Column, cell: impl AsRef<[u8]>) -> Result<Option<String>, (RejectCode, String)> {
    let results = [true, false].map(|has_window| {
        let block = Block::new([Some(cell.as_ref())], has_window);
        let mut parser = parser(column);
        let mut faults = Faults::new(1);
        parser.parse(&block, &mut faults);
        if let Some((record, fault)) = faults.iter().next() {
            assert_eq!((record, fault.column), (0, Some(3)));
            return Err((fault.code, fault.message.clone()));
        }
        parser.keep(&block, &Selection::All(1));
        Ok(printed(&plain(parser.take(1))).remove(0))
    });
    let [with_window, without] = results;
    assert_eq!(with_window, without);
    with_window
}

pub(super) fn value(column_type: &ColumnType, cell: impl AsRef<[u8]>) -> Result<String, RejectCode> {
    outcome(&column_without_nulls(column_type), cell).map(|value| value.expect("not null")).map_err(|(code, _)| code)
}

pub(super) fn column_without_nulls(column_type: &ColumnType) -> Column {
    Column { nulls: Vec::new(), ..Column::new("c", column_type.clone()) }
}

pub(super) fn printed(array: &ArrayRef) -> Vec<Option<String>> {
    // Arrow prints zones by name only if it has them built in.
    let in_utc = array.as_primitive_opt::<TimestampMicrosecondType>().filter(|array| array.timezone().is_some());
    let array =
        &in_utc.map_or_else(|| array.clone(), |array| -> ArrayRef { Arc::new(array.clone().with_timezone("+00:00")) });
    let options = arrow::util::display::FormatOptions::default();
    let formatter = arrow::util::display::ArrayFormatter::try_new(array, &options).expect("printable");
    (0..array.len()).map(|at| array.is_valid(at).then(|| formatter.value(at).to_string())).collect()
}
