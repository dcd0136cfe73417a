//! The tokeniser 64 bytes at a time, for dialects with a delimiter of one byte.

use crate::index::Index;
use crate::lanes::{BLOCK_BYTES, Block, Lanes, Masks, Needles};
use crate::scalar::{QuotesClose, Scalar};

/// What to index, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) at_end: bool,
    pub(crate) needles: Needles,
    pub(crate) has_quote: bool,
    pub(crate) has_escape: bool,
    pub(crate) has_comment: bool,
    /// What takes the lines that blocks cannot.
    pub(crate) scalar: &'a Scalar,
}

/// What one block must know of the bytes before it; each is one bit, at the lowest place, but for `within_quotes`.
#[derive(Debug, Clone, Copy)]
struct Before {
    /// All ones within quotes.
    within_quotes: u64,
    closing_quote: u64,
    line_end: u64,
    separator: u64,
}

impl Before {
    const LINE: Self = Self { within_quotes: 0, closing_quote: 0, line_end: 1, separator: 1 };
}

/// What one block says.
struct Structure {
    /// Where fields end; within the text by delimiters and by line ends that are not those of blank lines.
    field_ends: u64,
    record_starts: u64,
    record_ends: u64,
    /// Where parity would go wrong, or something is that takes a closer look. All before the first is right.
    doubtful: u64,
    /// Those doubtful places that are quotes within unquoted fields. The first doubtful one means nothing.
    bare_quotes: u64,
    /// What the next block must know.
    after: Before,
}

/// Indexes all whole records of the text, and gives where the first one starts that is not whole.
#[inline(always)]
pub(crate) fn index<L: Lanes>(lanes: L, job: &Job<'_>, index: &mut Index) -> usize {
    match (job.has_quote, job.has_escape || job.has_comment) {
        (true, false) => index_with::<L, true, false>(lanes, job, index),
        (false, false) => index_with::<L, false, false>(lanes, job, index),
        (true, true) => index_with::<L, true, true>(lanes, job, index),
        (false, true) => index_with::<L, false, true>(lanes, job, index),
    }
}

#[inline(always)]
fn index_with<L: Lanes, const QUOTES: bool, const SPECIALS: bool>(lanes: L, job: &Job<'_>, index: &mut Index) -> usize {
    let text = job.text;
    let mut position = 0;
    let mut before = Before::LINE;
    let (mut high, mut quotes) = (0, 0);
    let mut padded = [0; BLOCK_BYTES];
    while position < text.len() {
        let (block, present) = match text[position..].first_chunk() {
            Some(block) => (block, u64::MAX),
            None => (pad(&text[position..], &mut padded), !(u64::MAX << (text.len() - position))),
        };
        let mut masks = lanes.masks::<QUOTES, SPECIALS>(block, &job.needles).only(present);
        high |= masks.high;
        quotes |= masks.quotes | masks.escapes;
        let structure = loop {
            let structure = structure_of::<L, QUOTES, SPECIALS>(lanes, &masks, present, before, job);
            let first = lowest(structure.doubtful);
            if structure.doubtful == 0 || structure.bare_quotes & first == 0 {
                break structure;
            }
            masks.quotes ^= first;
        };
        if structure.doubtful == 0 {
            write(lanes, &structure, position as u32, u64::MAX, index);
            before = structure.after;
            position += BLOCK_BYTES;
            continue;
        }
        let first = structure.doubtful.trailing_zeros();
        write(lanes, &structure, position as u32, !(u64::MAX << first), index);
        let line = index.open_record().unwrap_or(position + first as usize);
        index.drop_open_record();
        // What the line has beyond this block is not looked at here.
        (high, quotes) = (1, 1);
        match job.scalar.line(text, line, job.at_end, QuotesClose::Anywhere, index) {
            Some(next) => {
                position = next;
                before = Before::LINE;
            }
            None => {
                before = Before { within_quotes: u64::MAX, ..Before::LINE };
                index.record_starts.push(line as u32);
                break;
            }
        }
    }
    index.is_ascii = high == 0;
    index.has_quotes = quotes != 0;
    end(before, job, index)
}

/// Takes the record that is open at the end of the text, and gives what is consumed.
fn end(before: Before, job: &Job<'_>, index: &mut Index) -> usize {
    let text = job.text;
    let Some(line) = index.open_record() else { return text.len() };
    if !job.at_end {
        index.drop_open_record();
        return line;
    }
    if before.within_quotes != 0 {
        index.drop_open_record();
        return job.scalar.lines(text, line, true, QuotesClose::OnTheirLine, index);
    }
    index.end_record(text.len() as u32);
    text.len()
}

fn pad<'a>(bytes: &[u8], padded: &'a mut Block) -> &'a Block {
    padded[..bytes.len()].copy_from_slice(bytes);
    padded
}

impl Masks {
    #[inline(always)]
    fn only(self, present: u64) -> Self {
        Self {
            delimiters: self.delimiters & present,
            line_ends: self.line_ends & present,
            quotes: self.quotes & present,
            escapes: self.escapes & present,
            comments: self.comments & present,
            high: self.high,
        }
    }
}

#[inline(always)]
fn structure_of<L: Lanes, const QUOTES: bool, const SPECIALS: bool>(
    lanes: L,
    masks: &Masks,
    present: u64,
    before: Before,
    job: &Job<'_>,
) -> Structure {
    let (mut line_ends, mut delimiters) = (masks.line_ends, masks.delimiters);
    let (mut within, mut closing) = (0, 0);
    let (mut bare_quotes, mut doubtful) = (0, 0);
    if QUOTES && (masks.quotes | before.within_quotes | before.closing_quote) != 0 {
        within = lanes.parity(masks.quotes) ^ before.within_quotes;
        line_ends &= !within;
        delimiters &= !within;
        closing = masks.quotes & !within;
        let opening = masks.quotes & within;
        let separators = line_ends | delimiters;
        let after_separator = separators << 1 | before.separator;
        let after_closing = closing << 1 | before.closing_quote;
        // With an escape, a doubled quote is text after a closing one.
        let doubled = if SPECIALS && job.has_escape { 0 } else { after_closing & opening };
        bare_quotes = opening & !(after_separator | after_closing);
        doubtful = bare_quotes | (after_closing & !separators & !doubled & present);
    }
    let after_line = line_ends << 1 | before.line_end;
    let record_ends = line_ends & !after_line;
    let record_starts = !line_ends & after_line & present;
    if SPECIALS {
        let escapes = if job.has_escape { masks.escapes } else { 0 };
        let comments = if job.has_comment { masks.comments & record_starts } else { 0 };
        doubtful |= escapes | comments;
    }
    let after = Before {
        within_quotes: ((within.cast_signed()) >> 63).cast_unsigned(),
        closing_quote: closing >> 63,
        line_end: line_ends >> 63,
        separator: (line_ends | delimiters) >> 63,
    };
    Structure { field_ends: delimiters | record_ends, record_starts, record_ends, doubtful, bare_quotes, after }
}

/// Writes the positions of those bits that `kept` has.
#[inline(always)]
fn write<L: Lanes>(lanes: L, structure: &Structure, base: u32, kept: u64, index: &mut Index) {
    let fields = structure.field_ends & kept;
    let starts = structure.record_starts & kept;
    let mut ends = structure.record_ends & kept;
    let fields_before = index.field_ends.len() as u32;
    lanes.positions(fields, base, index.field_ends.room());
    index.field_ends.advance(fields.count_ones() as usize);

    // Most blocks have at most one record's end and start: these are written without a branch.
    index.record_starts.push_if(starts != 0, base + starts.trailing_zeros());
    let mut more_starts = starts & starts.wrapping_sub(1);
    while more_starts != 0 {
        index.record_starts.push(base + more_starts.trailing_zeros());
        more_starts &= more_starts - 1;
    }
    index.record_ends.push_if(ends != 0, base + ends.trailing_zeros());
    index.first_fields.push_if(ends != 0, fields_before + fields_up_to_first(fields, ends));
    ends &= ends.wrapping_sub(1);
    while ends != 0 {
        index.record_ends.push(base + ends.trailing_zeros());
        index.first_fields.push(fields_before + fields_up_to_first(fields, ends));
        ends &= ends - 1;
    }
}

#[inline(always)]
fn lowest(bits: u64) -> u64 {
    bits & bits.wrapping_neg()
}

/// How many fields end up to the first of `ends`, which is itself a field's end.
#[inline(always)]
fn fields_up_to_first(fields: u64, ends: u64) -> u32 {
    (fields & (ends ^ ends.wrapping_sub(1))).count_ones()
}
