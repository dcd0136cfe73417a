//! Which cells are null, and where nulls are in a column.

use arrow::{
    array::{Array, BooleanBufferBuilder},
    buffer::NullBuffer,
};
use stepwell_pipeline::spec::Column;

use super::cell::{Cell, Fields, Selection};

/// Reads cells as the column declares: trimmed or not, its spellings of null as null.
pub(super) struct Reader {
    trim: bool,
    spellings: Vec<Vec<u8>>,
    /// The lengths that spellings have, as bits; the highest bit stands for all lengths from there on.
    lengths: u64,
}

const LENGTH_MAX: usize = 63;

impl Reader {
    pub(super) fn new(column: &Column) -> Self {
        let spellings: Vec<_> = column.nulls.iter().map(|spelling| spelling.as_bytes().to_vec()).collect();
        let lengths = spellings.iter().fold(0, |bits, spelling| bits | 1 << spelling.len().min(LENGTH_MAX));
        Self { trim: column.trim, spellings, lengths }
    }

    /// The text of a record's cell, `None` for null.
    #[inline(always)]
    pub(super) fn read<'a, F: Fields>(&self, fields: &'a F, record: usize) -> Option<Cell<'a>> {
        let cell = fields.cell(record)?;
        let cell = if self.trim { cell.trimmed() } else { cell };
        if self.lengths >> cell.len().min(LENGTH_MAX) & 1 == 1 && (cell.len() == 0 || self.is_null(cell.text())) {
            return None;
        }
        Some(cell)
    }

    #[inline(never)]
    fn is_null(&self, text: &[u8]) -> bool {
        self.spellings.iter().any(|spelling| spelling == text)
    }
}

/// The places of the nulls among the values of a column, ascending. Nothing where there are none, as in most columns.
#[derive(Debug, Default)]
pub(super) struct Nulls(Vec<u32>);

impl Nulls {
    #[inline]
    pub(super) fn push(&mut self, place: usize) {
        self.0.push(place as u32);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, place: usize) -> bool {
        self.0.binary_search(&(place as u32)).is_ok()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|place| *place as usize)
    }

    /// Keeps those nulls that a predicate is true of.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(usize) -> bool) {
        self.0.retain(|place| stays(*place as usize));
    }

    /// Appends the nulls of a block's selected records, of which the first takes the place `base`.
    pub(super) fn append(&mut self, base: usize, block: &Self, selection: &Selection<'_>) {
        match selection {
            _ if block.is_empty() => {}
            Selection::All(_) => self.0.extend(block.0.iter().map(|place| base as u32 + place)),
            Selection::Some(records) => {
                let mut nulls = block.0.iter().peekable();
                for (kept, record) in records.iter().enumerate() {
                    while nulls.next_if(|null| *null < record).is_some() {}
                    if nulls.peek() == Some(&record) {
                        self.push(base + kept);
                    }
                }
            }
        }
    }

    /// Appends the nulls of an array whose first value takes the place `base`.
    pub(super) fn append_array(&mut self, base: usize, array: &dyn Array) {
        if array.null_count() > 0 {
            self.0.extend((0..array.len()).filter(|at| array.is_null(*at)).map(|at| (base + at) as u32));
        }
    }

    /// The nulls among so many values.
    pub(super) fn buffer(&self, values: usize) -> Option<NullBuffer> {
        let nulls = &self.0[..self.0.partition_point(|place| (*place as usize) < values)];
        if nulls.is_empty() {
            return None;
        }
        let mut bits = BooleanBufferBuilder::new(values);
        bits.append_n(values, true);
        nulls.iter().for_each(|place| bits.set_bit(*place as usize, false));
        Some(NullBuffer::new(bits.finish()))
    }

    /// Takes away the nulls among the first so many values; the rest moves up.
    pub(super) fn take(&mut self, values: usize) -> Option<NullBuffer> {
        let buffer = self.buffer(values);
        self.0.drain(..self.0.partition_point(|place| (*place as usize) < values));
        self.0.iter_mut().for_each(|place| *place -= values as u32);
        buffer
    }
}
