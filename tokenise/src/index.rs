//! Where the records and fields of a chunk are.

/// Entries that [`Positions::room`] gives: one for each byte of a block.
pub(crate) const ROOM: usize = 64;

/// What is malformed about a record's quoting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Something other than a delimiter or a line end follows a closing quote. The field goes on to the next of them.
    TextAfterQuote,
    /// A quote does not close: before the end of the text, or, after such a record, before the end of its line. The
    /// record ends with its first line.
    UnclosedQuote,
}

/// Positions that are written 64 at a time, in a buffer that only grows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Positions {
    buffer: Vec<u32>,
    len: usize,
}

impl Positions {
    #[inline]
    pub(crate) fn as_slice(&self) -> &[u32] {
        &self.buffer[..self.len]
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn last(&self) -> Option<u32> {
        self.as_slice().last().copied()
    }

    /// Room for 64 positions behind those written so far; [`Positions::advance`] makes them count.
    #[inline(always)]
    pub(crate) fn room(&mut self) -> &mut [u32] {
        if self.buffer.len() < self.len + ROOM {
            self.grow();
        }
        &mut self.buffer[self.len..self.len + ROOM]
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let entries = (self.len + ROOM).max(self.buffer.len() * 2).max(1024);
        self.buffer.resize(entries, 0);
    }

    /// Makes `count` positions that were written to the room count; at most 64.
    #[inline(always)]
    pub(crate) fn advance(&mut self, count: usize) {
        debug_assert!(self.len + count <= self.buffer.len(), "more positions than room");
        self.len += count;
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, position: u32) {
        self.push_if(true, position);
    }

    /// Adds a position, or not, without a branch on which.
    #[inline(always)]
    pub(crate) fn push_if(&mut self, wanted: bool, position: u32) {
        match self.buffer.get_mut(self.len) {
            Some(entry) => *entry = position,
            None => self.room()[0] = position,
        }
        self.len += usize::from(wanted);
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

/// The whole records of one chunk of text and their fields, as positions in the chunk.
///
/// Made to be reused: once its buffers have grown to the chunks at hand, indexing allocates nothing.
#[derive(Debug, Clone, Default)]
pub struct Index {
    pub(crate) field_ends: Positions,
    pub(crate) record_starts: Positions,
    pub(crate) record_ends: Positions,
    pub(crate) first_fields: Positions,
    pub(crate) faults: Vec<(u32, Fault)>,
    pub(crate) regular_fields: Option<usize>,
    pub(crate) delimiter_bytes: usize,
    pub(crate) has_quotes: bool,
    pub(crate) is_ascii: bool,
}

impl Index {
    /// An empty index.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many records there are.
    #[inline]
    #[must_use]
    pub fn records(&self) -> usize {
        self.record_ends.len()
    }

    /// Where each field of each record ends, record after record: the position just after its last byte.
    ///
    /// A record's first field begins where the record starts, each other one a delimiter's length behind the end of
    /// the field before it.
    #[inline]
    #[must_use]
    pub fn field_ends(&self) -> &[u32] {
        self.field_ends.as_slice()
    }

    /// Where each record starts.
    #[inline]
    #[must_use]
    pub fn record_starts(&self) -> &[u32] {
        self.record_starts.as_slice()
    }

    /// Where each record ends, its line end left out.
    #[inline]
    #[must_use]
    pub fn record_ends(&self) -> &[u32] {
        self.record_ends.as_slice()
    }

    /// Where each record's fields begin in [`Index::field_ends`], and a last entry, where those of one more would.
    #[inline]
    #[must_use]
    pub fn first_fields(&self) -> &[u32] {
        self.first_fields.as_slice()
    }

    /// How many fields every record has; `None` if records differ or there are none.
    #[inline]
    #[must_use]
    pub fn regular_fields(&self) -> Option<usize> {
        self.regular_fields
    }

    /// The records whose quoting is malformed, in order, each once. An unclosed quote outweighs text after a quote.
    #[must_use]
    pub fn faults(&self) -> &[(u32, Fault)] {
        &self.faults
    }

    /// Whether a quote or an escape occurs in the consumed bytes. Without one the raw fields are the values.
    #[inline]
    #[must_use]
    pub fn has_quotes(&self) -> bool {
        self.has_quotes
    }

    /// Whether all consumed bytes are ASCII.
    #[inline]
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.is_ascii
    }

    /// The raw bytes of one field, as they are in the indexed text, quotes and escapes included.
    ///
    /// # Panics
    /// If there is no such record, or if `text` is shorter than what was indexed. A field beyond the record's last one
    /// is a mistake of the caller that gives bytes of a later record.
    #[must_use]
    #[inline]
    pub fn field<'a>(&self, text: &'a [u8], record: usize, field: usize) -> &'a [u8] {
        let ends = self.field_ends();
        let position = self.first_fields()[record] as usize + field;
        let start = match field {
            0 => self.record_starts()[record] as usize,
            _ => ends[position - 1] as usize + self.delimiter_bytes,
        };
        &text[start..ends[position] as usize]
    }

    /// Forgets all records.
    pub(crate) fn clear(&mut self, delimiter_bytes: usize) {
        for positions in [&mut self.field_ends, &mut self.record_starts, &mut self.record_ends, &mut self.first_fields]
        {
            positions.truncate(0);
        }
        self.first_fields.push(0);
        self.faults.clear();
        self.regular_fields = None;
        self.delimiter_bytes = delimiter_bytes;
        self.has_quotes = false;
        self.is_ascii = true;
    }

    /// Where the record starts whose end was not found yet.
    pub(crate) fn open_record(&self) -> Option<usize> {
        (self.record_starts.len() > self.record_ends.len())
            .then(|| self.record_starts.last())
            .flatten()
            .map(|p| p as usize)
    }

    /// Forgets the record whose end was not found yet.
    pub(crate) fn drop_open_record(&mut self) {
        self.record_starts.truncate(self.record_ends.len());
        self.field_ends.truncate(self.first_fields.last().unwrap_or_default() as usize);
    }

    /// Ends the record whose start is already there, its last field included.
    pub(crate) fn end_record(&mut self, position: u32) {
        self.field_ends.push(position);
        self.record_ends.push(position);
        self.first_fields.push(self.field_ends.len() as u32);
    }

    /// Finds out whether all records have the same number of fields.
    pub(crate) fn find_regularity(&mut self) {
        let first_fields = self.first_fields.as_slice();
        let Some(fields) = first_fields.get(1).copied() else { return };
        let differing = first_fields.windows(2).filter(|pair| pair[1] - pair[0] != fields).count();
        self.regular_fields = (differing == 0).then_some(fields as usize);
    }
}
