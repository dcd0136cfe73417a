//! Columns of booleans.

use arrow::{array::BooleanBufferBuilder, buffer::BooleanBuffer};
use parquet::basic::Encoding;

use super::{
    PageValues,
    bounds::{Bound, Bounds},
};

/// The values of a page that is being filled.
pub(super) struct Booleans(BooleanBufferBuilder);

impl Booleans {
    pub(super) fn new() -> Self {
        Self(BooleanBufferBuilder::new(0))
    }

    /// How many bytes the page will have.
    pub(super) fn page_bytes(&self) -> usize {
        self.0.len() / 8
    }

    pub(super) fn push(&mut self, values: &BooleanBuffer, from: usize, to: usize) {
        self.0.append_buffer(&values.slice(from, to - from));
    }

    /// Writes the page's values, and begins the next page.
    pub(super) fn put_page(&mut self, body: &mut Vec<u8>) -> PageValues {
        let values = self.0.finish();
        body.extend_from_slice(&values.values()[..values.len().div_ceil(8)]);
        let trues = values.count_set_bits();
        let bounds = (!values.is_empty())
            .then(|| Bounds { min: Bound::Boolean(trues == values.len()), max: Bound::Boolean(trues > 0) });
        PageValues { encoding: Encoding::PLAIN, bounds, string_bytes: None }
    }
}
