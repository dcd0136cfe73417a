//! What a column parser reads from: the cells of a block.

use super::regular::RegularCells;

/// One column's cells of the records of a block.
pub(crate) trait Fields {
    /// The records in the block.
    fn len(&self) -> usize;

    /// The cell's text: unquoted, unescaped, not trimmed. `None`: JSON null, or the record lacks the column.
    fn get(&self, record: usize) -> Option<&[u8]>;

    /// The same with the bytes that follow the text in memory, where there are some: numbers and short strings are read
    /// by whole words. To be overridden where that comes for nothing.
    #[inline]
    fn cell(&self, record: usize) -> Option<Cell<'_>> {
        self.get(record).map(Cell::from)
    }

    /// Whether every cell is known to be ASCII, so that nobody need look at the bytes again.
    fn is_ascii(&self) -> bool {
        false
    }

    /// The same cells, where they are at regular places of one text.
    #[inline]
    fn regular(&self) -> Option<RegularCells<'_>> {
        None
    }
}

/// The text of a cell, at the beginning of a window that may go on behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell<'a> {
    window: &'a [u8],
    len: usize,
}

impl<'a> From<&'a [u8]> for Cell<'a> {
    #[inline]
    fn from(text: &'a [u8]) -> Self {
        Self { window: text, len: text.len() }
    }
}

impl<'a> Cell<'a> {
    /// The first `len` bytes of a window, which has at least as many. What follows them is never looked at as text.
    #[inline]
    pub(crate) fn new(window: &'a [u8], len: usize) -> Self {
        Self { window, len }
    }

    #[inline]
    pub(super) fn text(self) -> &'a [u8] {
        &self.window[..self.len]
    }

    #[inline]
    pub(super) fn len(self) -> usize {
        self.len
    }

    /// The first byte of the window, 0 where it is empty.
    #[inline]
    pub(super) fn first(self) -> u8 {
        self.window.first().copied().unwrap_or(0)
    }

    /// The byte at an offset within the text.
    #[inline]
    pub(super) fn byte(self, at: usize) -> u8 {
        self.window[at]
    }

    /// The text without its first bytes, of which there are at least as many.
    #[inline]
    pub(super) fn skip(self, bytes: usize) -> Self {
        Self { window: &self.window[bytes..], len: self.len - bytes }
    }

    /// The eight bytes from an offset on, the first in the lowest place; zeros where the window ends.
    #[inline]
    pub(super) fn word(self, at: usize) -> u64 {
        match self.window.get(at..).and_then(|rest| rest.first_chunk()) {
            Some(bytes) => u64::from_le_bytes(*bytes),
            None => last_word(self.window, at),
        }
    }

    /// The first `N` bytes of the window, if it is as long.
    #[inline]
    pub(super) fn chunk<const N: usize>(self) -> Option<&'a [u8; N]> {
        self.window.first_chunk()
    }

    /// The text without ASCII white space around it.
    #[inline]
    pub(super) fn trimmed(self) -> Self {
        let leading = self.text().iter().position(|byte| !is_space(*byte)).unwrap_or(self.len);
        let rest = self.skip(leading);
        let len = rest.text().iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1);
        Self { len, ..rest }
    }
}

/// White space as JavaScript and Python have it, vertical tab included.
#[inline]
fn is_space(byte: u8) -> bool {
    byte == b' ' || byte.wrapping_sub(b'\t') < 5
}

/// The last bytes of a window, fewer than eight, as a word.
#[inline]
fn last_word(window: &[u8], at: usize) -> u64 {
    let count = window.len().saturating_sub(at);
    match window.last_chunk() {
        Some(_) if count == 0 => 0,
        Some(bytes) => u64::from_le_bytes(*bytes) >> (64 - 8 * count),
        None => window.iter().skip(at).rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Which records of a block are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Selection<'a> {
    /// All of so many.
    All(usize),
    /// Those of the indices, which ascend.
    Some(&'a [u32]),
}

impl Selection<'_> {
    /// How many records are kept.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::All(records) => *records,
            Self::Some(records) => records.len(),
        }
    }
}
