//! From text or typed columns to blocks of records whose cells can be looked up by column.

mod avro;
pub(crate) mod csv;
mod header;
mod json;
pub(crate) mod json_text;
mod parquet;
mod typed;
pub(crate) mod typed_records;
pub(crate) mod windows;

use std::borrow::Cow;

use stepwell_pipeline::StageError;

pub(crate) use self::{avro::AvroFile, parquet::ParquetFile};
use crate::{
    checkpoint::Position,
    column::{Faults, Fields},
};

/// The most bytes that one record may have.
pub(crate) const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Finds the records of a text that comes in windows.
pub(crate) trait TextDecoder {
    /// The records found in one window.
    type Block<'a>: Block
    where
        Self: 'a;

    /// Finds the whole records of a window. Returns how many bytes were dealt with; the rest is to be given again with
    /// more behind it.
    ///
    /// # Errors
    /// `UnreadableSource` and `SchemaMismatch`.
    fn index(&mut self, text: &[u8], at_end: bool) -> Result<usize, StageError>;

    /// The records that were found in the window last indexed.
    fn block<'a>(&'a self, text: &'a [u8]) -> Self::Block<'a>;

    /// The line on which the next record begins, from 1.
    fn line(&self) -> u64;

    /// What rejects need before them to be a file of their own.
    fn header(&self) -> Option<&[u8]>;

    /// What a decoder needs to go on behind the window last indexed, in another process.
    fn save(&self) -> serde_json::Value;

    /// Goes on where [`TextDecoder::save`] was.
    fn restore(&mut self, position: &Position) -> Result<(), StageError>;

    /// Sees to it that a file that ends here is whole.
    fn finish(&self) -> Result<(), StageError>;
}

/// Some records of a source, in its order.
pub(crate) trait Block {
    /// The cells of a column.
    type Cells<'a>: Fields
    where
        Self: 'a;

    /// How many records there are.
    fn records(&self) -> usize;

    /// The bytes that a record has in the source, about.
    fn record_bytes(&self, record: usize) -> usize;

    /// Marks the records that are not well-formed.
    fn mark(&self, faults: &mut Faults);

    /// The cells of a declared column.
    fn cells(&self, column: usize) -> Self::Cells<'_>;

    /// What of the records no column declares, as JSON, where it is to be kept.
    fn extra(&self) -> Self::Cells<'_>;

    /// Where the record begins; `before` is the place of an earlier one of the block, to count from.
    fn place(&self, record: usize, before: Option<Place>) -> Place;

    /// The record's own bytes, without the values of the masked columns.
    fn original(&self, record: usize, masked: &[usize]) -> Cow<'_, [u8]>;
}

/// Where a record begins in its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Counted from 1; for sources without lines, the record's number.
    pub(crate) line: u64,
    /// The first byte in the block's text.
    pub(crate) position: usize,
}
