//! The index of a block of records: where each record and each of its cells is.

use stepwell_pipeline::reject::RejectCode;

use crate::column::Fields;

/// The most cells that a block has, unless a single record has more: 8 bytes each.
const CELLS_MAX: usize = 1 << 20;
/// The most records that a block has.
const RECORDS_MAX: usize = 1 << 16;
/// Columns are spaced by a multiple of the usual cache's line but not of its ways, so that they do not evict each other.
const STRIDE_PADDING: usize = 8;
/// The records that a block has room for at first.
const RECORDS_FIRST: usize = 512;

/// A cell: a span of the text or of the scratch space, or null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    bytes: u32,
}

impl Span {
    pub(super) const NULL: Self = Self { start: u32::MAX, bytes: 0 };
    /// Marks a start as one in the scratch space. Texts and scratch space are shorter than this.
    const SCRATCH: u32 = 1 << 31;

    #[inline(always)]
    pub(super) fn text(start: usize, end: usize) -> Self {
        Self { start: start as u32, bytes: (end - start) as u32 }
    }

    pub(super) fn scratch(start: usize, end: usize) -> Self {
        Self { start: start as u32 | Self::SCRATCH, bytes: (end - start) as u32 }
    }
}

/// A fault that a record has as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonFault {
    /// The record's index in the block.
    pub(crate) record: u32,
    /// The reason, for machines.
    pub(crate) code: RejectCode,
    /// The reason, for people.
    pub(crate) message: String,
}

/// Records of a text and their cells.
#[derive(Debug, Default)]
pub(crate) struct JsonBlock {
    /// Start and end of each record in the text.
    pub(crate) records: Vec<(u32, u32)>,
    /// What is wrong, at most one fault a record, in the records' order. Such records' cells are null.
    pub(crate) faults: Vec<JsonFault>,
    /// Texts that are not in the text as such: strings with escapes, and undeclared members.
    pub(super) scratch: Vec<u8>,
    /// The cells, column after column; after the declared ones that of undeclared members.
    cells: Vec<Span>,
    columns: usize,
    stride: usize,
    /// The bytes of scratch space that belong to records that have ended.
    scratch_kept: usize,
}

impl JsonBlock {
    /// The cells of a declared column. `text` is what the block was indexed from.
    pub(crate) fn column<'a>(&'a self, text: &'a [u8], column: usize) -> JsonFields<'a> {
        let start = column * self.stride;
        JsonFields { text, scratch: &self.scratch, cells: &self.cells[start..start + self.records.len()] }
    }

    /// The members that no column declares, as a JSON object; null where there are none, or they are not kept. A member that
    /// occurs twice is there twice.
    pub(crate) fn extra<'a>(&'a self, text: &'a [u8]) -> JsonFields<'a> {
        self.column(text, self.columns)
    }

    pub(super) fn clear(&mut self, columns: usize) {
        if self.columns != columns || self.stride == 0 {
            self.columns = columns;
            self.stride = RECORDS_FIRST.min(Self::records_max(columns)) + STRIDE_PADDING;
            self.cells.clear();
            self.cells.resize((columns + 1) * self.stride, Span::NULL);
        } else {
            for column in self.cells.chunks_exact_mut(self.stride) {
                column[..self.records.len()].fill(Span::NULL);
            }
        }
        self.records.clear();
        self.faults.clear();
        self.scratch.clear();
        self.scratch_kept = 0;
    }

    fn records_max(columns: usize) -> usize {
        (CELLS_MAX / (columns + 1)).clamp(1, RECORDS_MAX)
    }

    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= Self::records_max(self.columns)
    }

    /// Begins a record, whose cells are null.
    #[inline(always)]
    pub(super) fn begin(&mut self) {
        if self.records.len() + STRIDE_PADDING >= self.stride {
            self.grow();
        }
    }

    #[inline(never)]
    fn grow(&mut self) {
        let stride = (self.stride - STRIDE_PADDING) * 2 + STRIDE_PADDING;
        let mut cells = Vec::with_capacity((self.columns + 1) * stride);
        for column in self.cells.chunks_exact(self.stride) {
            cells.extend_from_slice(column);
            cells.resize(cells.len() + stride - self.stride, Span::NULL);
        }
        self.cells = cells;
        self.stride = stride;
    }

    /// Sets a cell of the record that was begun.
    #[inline(always)]
    pub(super) fn set(&mut self, column: usize, span: Span) {
        let record = self.records.len();
        if let Some(cell) = self.cells.get_mut(column * self.stride + record) {
            *cell = span;
        }
    }

    pub(super) fn set_extra(&mut self, span: Span) {
        self.set(self.columns, span);
    }

    #[inline(always)]
    pub(super) fn accept(&mut self, start: usize, end: usize) {
        self.records.push((start as u32, end as u32));
        self.scratch_kept = self.scratch.len();
    }

    /// Ends the record as a bad one.
    pub(super) fn reject(&mut self, start: usize, end: usize, code: RejectCode, message: String) {
        self.scratch.truncate(self.scratch_kept);
        let record = self.records.len();
        self.clear_cells(record);
        self.faults.push(JsonFault { record: record as u32, code, message });
        self.records.push((start as u32, end as u32));
    }

    /// Leaves out the record that was begun.
    pub(super) fn abandon(&mut self) {
        self.scratch.truncate(self.scratch_kept);
        self.clear_cells(self.records.len());
    }

    fn clear_cells(&mut self, record: usize) {
        for column in 0..=self.columns {
            self.cells[column * self.stride + record] = Span::NULL;
        }
    }

    /// Makes records bad ones, whatever else was wrong with them. The faults are in the records' order.
    pub(super) fn overrule(&mut self, mut faults: Vec<JsonFault>) {
        for fault in &faults {
            self.clear_cells(fault.record as usize);
        }
        faults.append(&mut self.faults);
        // The sort is stable: of two faults of a record, the overruling one comes first.
        faults.sort_by_key(|fault| fault.record);
        faults.dedup_by_key(|fault| fault.record);
        self.faults = faults;
    }
}

/// One column's cells.
pub(crate) struct JsonFields<'a> {
    text: &'a [u8],
    scratch: &'a [u8],
    cells: &'a [Span],
}

impl Fields for JsonFields<'_> {
    fn len(&self) -> usize {
        self.cells.len()
    }

    #[inline(always)]
    fn get(&self, record: usize) -> Option<&[u8]> {
        let Span { start, bytes } = self.cells[record];
        if start & Span::SCRATCH == 0 {
            let start = start as usize;
            return Some(&self.text[start..start + bytes as usize]);
        }
        if start == u32::MAX {
            return None;
        }
        let start = (start & !Span::SCRATCH) as usize;
        Some(&self.scratch[start..start + bytes as usize])
    }
}
