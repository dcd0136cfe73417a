//! Cells at regular places of one text.

use super::cell::{Cell, Fields};

/// One column's cells of records that all have the same number of fields, as pieces of one text, so that to find a cell
/// takes no decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RegularCells<'a> {
    /// What the cells are pieces of.
    pub(crate) text: &'a [u8],
    /// How many records there are.
    pub(crate) records: usize,
    /// Where the cell of each record begins, less `lead`: the first entry and each `start_stride`-th behind it.
    pub(crate) starts: &'a [u32],
    /// The distance of the records in `starts`.
    pub(crate) start_stride: usize,
    /// What is to be added to `starts`.
    pub(crate) lead: usize,
    /// Where the cell of each record ends: the first entry and each `end_stride`-th behind it.
    pub(crate) ends: &'a [u32],
    /// The distance of the records in `ends`.
    pub(crate) end_stride: usize,
    /// A byte that stands before and behind the value of any cell that begins with it.
    pub(crate) quote: Option<u8>,
    /// Whether all of the text is ASCII.
    pub(crate) is_ascii: bool,
}

impl RegularCells<'_> {
    #[inline(always)]
    fn value(&self, record: usize) -> Cell<'_> {
        let start = self.starts[record * self.start_stride] as usize + self.lead;
        let end = self.ends[record * self.end_stride] as usize;
        // A record that has fewer fields than all others has no cell there, and its end may be that of the text.
        let window = self.text.get(start..).unwrap_or_default();
        let len = end.saturating_sub(start).min(window.len());
        match self.quote {
            Some(quote) if len >= 2 && window[0] == quote => Cell::new(&window[1..], len - 2),
            _ => Cell::new(window, len),
        }
    }
}

impl Fields for RegularCells<'_> {
    #[inline]
    fn len(&self) -> usize {
        self.records
    }

    #[inline]
    fn get(&self, record: usize) -> Option<&[u8]> {
        Some(self.value(record).text())
    }

    #[inline(always)]
    fn cell(&self, record: usize) -> Option<Cell<'_>> {
        Some(self.value(record))
    }

    fn is_ascii(&self) -> bool {
        self.is_ascii
    }
}
