//! The tokeniser as a plain state machine: the twin that defines what the block-wise one must find, and what the
//! latter hands single lines to.

use memchr::{memchr, memchr2, memchr3};

use crate::dialect::Dialect;
use crate::index::{Fault, Index};

/// How far unquoted text is looked at byte by byte before a call of memchr pays.
const SHORT_FIELD_BYTES: usize = 24;

/// Where a quoted field may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QuotesClose {
    /// On any later line.
    Anywhere,
    /// On the line on which they open; so is the rest of a text treated after a quote that never closes.
    OnTheirLine,
}

/// How a field ended.
enum FieldEnd {
    Delimiter,
    Line,
}

/// The end of the text came first.
struct Incomplete;

#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    delimiter: Vec<u8>,
    quote: Option<u8>,
    escape: Option<u8>,
    comment: Option<u8>,
    /// The bytes at which unquoted text may end or change its meaning.
    stops: Box<[bool; 256]>,
}

impl Scalar {
    pub(crate) fn new(dialect: &Dialect) -> Self {
        let escape = dialect.distinct_escape();
        let mut stops = Box::new([false; 256]);
        for byte in [Some(b'\n'), Some(b'\r'), dialect.delimiter.first().copied(), escape].into_iter().flatten() {
            stops[usize::from(byte)] = true;
        }
        let delimiter = dialect.delimiter.clone();
        Self { delimiter, quote: dialect.quote, escape, comment: dialect.comment, stops }
    }

    /// Indexes the lines from `position` on, and gives where the first one starts that is not whole.
    pub(crate) fn lines(
        &self,
        text: &[u8],
        mut position: usize,
        at_end: bool,
        mut quotes: QuotesClose,
        index: &mut Index,
    ) -> usize {
        while position < text.len() {
            match self.line(text, position, at_end, quotes, index) {
                Some(next) => position = next,
                None if at_end => quotes = QuotesClose::OnTheirLine,
                None => break,
            }
        }
        position
    }

    /// Takes the one line that starts at `start`: nothing, a comment or a record, however many line ends this has
    /// within quotes. Gives where the next line starts, or `None` if the line is not whole: `at_end` only because of a
    /// quote that does not close.
    pub(crate) fn line(
        &self,
        text: &[u8],
        start: usize,
        at_end: bool,
        quotes: QuotesClose,
        index: &mut Index,
    ) -> Option<usize> {
        let first = text.get(start).copied();
        if matches!(first, Some(b'\n' | b'\r')) {
            return Some(start + 1);
        }
        if first.is_some() && first == self.comment {
            let end = memchr2(b'\n', b'\r', &text[start..]).map(|bytes| start + bytes + 1);
            return end.or(at_end.then_some(text.len()));
        }
        index.record_starts.push(start as u32);
        if let Ok(end) = self.record(text, start, quotes, index)
            && (at_end || end < text.len())
        {
            index.end_record(end as u32);
            // The LF of a CRLF is left to be taken for a blank line.
            return Some(text.len().min(end + 1));
        }
        let open = index.record_ends.len() as u32;
        index.faults.pop_if(|(record, _)| *record == open);
        index.drop_open_record();
        None
    }

    /// Takes the fields of one record but for its last one's end, which it gives.
    fn record(
        &self,
        text: &[u8],
        mut position: usize,
        quotes: QuotesClose,
        index: &mut Index,
    ) -> Result<usize, Incomplete> {
        loop {
            let unquoted_from = if self.quote.is_some() && text.get(position).copied() == self.quote {
                self.quoted(text, position, quotes, index)?
            } else {
                position
            };
            let (end, kind) = self.unquoted(text, unquoted_from);
            match kind {
                FieldEnd::Line => return Ok(end),
                FieldEnd::Delimiter => {
                    index.field_ends.push(end as u32);
                    position = end + self.delimiter.len();
                }
            }
        }
    }

    /// Gives the position just after a quoted field's closing quote, or of the line end that cuts the field off.
    fn quoted(&self, text: &[u8], start: usize, quotes: QuotesClose, index: &mut Index) -> Result<usize, Incomplete> {
        let mut position = start + 1;
        loop {
            let rest = text.get(position..).unwrap_or_default();
            let Some(bytes) = self.find_in_quotes(rest, quotes) else {
                return match quotes {
                    QuotesClose::Anywhere => Err(Incomplete),
                    QuotesClose::OnTheirLine => {
                        mark(index, Fault::UnclosedQuote);
                        Ok(text.len())
                    }
                };
            };
            position += bytes;
            let special = Some(text[position]);
            if special == self.escape {
                position += 2;
            } else if special != self.quote {
                mark(index, Fault::UnclosedQuote);
                return Ok(position);
            } else if self.escape.is_none() && text.get(position + 1).copied() == self.quote {
                position += 2;
            } else {
                position += 1;
                break;
            }
        }
        let rest = &text[position..];
        if !(rest.is_empty() || matches!(rest[0], b'\n' | b'\r') || rest.starts_with(&self.delimiter)) {
            mark(index, Fault::TextAfterQuote);
        }
        Ok(position)
    }

    /// Finds the first byte that means something within quotes.
    fn find_in_quotes(&self, rest: &[u8], quotes: QuotesClose) -> Option<usize> {
        let quote = self.quote?;
        match (quotes, self.escape) {
            (QuotesClose::Anywhere, None) => memchr(quote, rest),
            (QuotesClose::Anywhere, Some(escape)) => memchr2(quote, escape, rest),
            (QuotesClose::OnTheirLine, None) => memchr3(quote, b'\n', b'\r', rest),
            (QuotesClose::OnTheirLine, Some(escape)) => {
                rest.iter().position(|byte| [quote, escape, b'\n', b'\r'].contains(byte))
            }
        }
    }

    /// Gives where unquoted text ends, and by what. The end of the text ends a line.
    #[inline]
    fn unquoted(&self, text: &[u8], mut position: usize) -> (usize, FieldEnd) {
        loop {
            position = self.find_stop(text, position);
            let Some(byte) = text.get(position).copied() else { return (text.len(), FieldEnd::Line) };
            if matches!(byte, b'\n' | b'\r') {
                return (position, FieldEnd::Line);
            }
            if Some(byte) == self.escape {
                position += 2;
            } else if self.delimiter.len() == 1 || text[position..].starts_with(&self.delimiter) {
                return (position, FieldEnd::Delimiter);
            } else {
                position += 1;
            }
        }
    }

    /// Finds the next byte at which unquoted text may end or change its meaning; the text's length or more if none.
    #[inline]
    fn find_stop(&self, text: &[u8], start: usize) -> usize {
        let rest = text.get(start..).unwrap_or_default();
        let near = &rest[..rest.len().min(SHORT_FIELD_BYTES)];
        if let Some(bytes) = near.iter().position(|byte| self.stops[usize::from(*byte)]) {
            return start + bytes;
        }
        let far = &rest[near.len()..];
        let bytes = match self.escape {
            None => memchr3(self.delimiter[0], b'\n', b'\r', far),
            Some(_) => far.iter().position(|byte| self.stops[usize::from(*byte)]),
        };
        start + near.len() + bytes.unwrap_or(far.len())
    }
}

/// Marks the record that is being taken; an unclosed quote outweighs text after a quote.
#[cold]
fn mark(index: &mut Index, fault: Fault) {
    let record = index.record_ends.len() as u32;
    match index.faults.last_mut() {
        Some((marked, kept)) if *marked == record => {
            if fault == Fault::UnclosedQuote {
                *kept = fault;
            }
        }
        _ => index.faults.push((record, fault)),
    }
}
