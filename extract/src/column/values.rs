//! What the values of a column can do, whatever their type.

use arrow::array::ArrayRef;

use super::{
    cell::{Fields, Selection},
    coded::Coding,
    conditions::Report,
    nulls::Reader,
};

/// The values of a column: those of the block at hand, and those kept of it and of earlier ones.
pub(super) trait Values {
    /// Parses the cells of a block; reports those that are no values, and nulls where a value is required.
    fn parse<F: Fields>(&mut self, reader: &Reader, fields: &F, report: &mut Report<'_>);

    /// Reports the values of the block that are not among those allowed.
    fn check_allowed<F: Fields>(&self, reader: &Reader, fields: &F, report: &mut Report<'_>);

    /// Reports the values of the block that are below the least or above the greatest allowed.
    fn check_bounds<F: Fields>(&self, reader: &Reader, fields: &F, report: &mut Report<'_>);

    /// The values of the block; those that do not fit are null.
    fn block_array<F: Fields>(&self, reader: &Reader, fields: &F) -> ArrayRef;

    /// A key of a value of the block, `None` for null. Different values have different keys, or such of 127 bits of SHA-256.
    fn unique_key<F: Fields>(&self, reader: &Reader, fields: &F, record: usize) -> Option<u128>;

    /// Keeps the selected values of the block.
    fn keep<F: Fields>(&mut self, reader: &Reader, fields: &F, selection: &Selection<'_>);

    /// How many values are kept.
    fn len(&self) -> usize;

    /// The first kept values; the rest stays.
    fn take(&mut self, records: usize) -> ArrayRef;

    /// Keeps the values of an array; `None`, if it is of another type.
    fn restore(&mut self, array: &ArrayRef) -> Option<()>;

    /// How texts are coded behind those taken.
    fn coding(&self) -> Option<Coding> {
        None
    }

    /// Codes texts as they were where [`Values::coding`] was asked for.
    fn resume(&mut self, _: Coding) {}
}
