//! CSV and TSV: text to blocks of records, cells unquoted.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use stepwell_pipeline::{
    ErrorKind, StageError,
    reject::RejectCode,
    spec::{CheckedSpec, Format, UnknownColumns},
};
use stepwell_tokenise::{Dialect, Fault, Index, Tokeniser, Unquoted, line_ends};

use super::{Block, Place, TextDecoder, header::Layout, json};
use crate::{
    checkpoint::{Position, decoder_state},
    column::{Faults, Fields, RegularCells},
};

const MASK: &[u8] = b"***";

/// Decodes one file.
pub(crate) struct CsvDecoder<'s> {
    spec: &'s CheckedSpec,
    object: String,
    tokeniser: Tokeniser,
    dialect: Dialect,
    index: Index,
    layout: Option<Layout>,
    /// The header as it stands in the file.
    header: Option<Vec<u8>>,
    skip_lines: u64,
    /// The line on which the next block begins, from 1.
    line: u64,
    block_line: u64,
    /// Records of the index that are no records of the table: the header.
    leading: usize,
    quoting: Quoting,
    /// Where fields end, as if every record had as many as declared; empty where they do.
    padded_ends: Vec<u32>,
    /// The values of fields that are no part of the text, by the field's number in the index.
    unquoted: Vec<(u32, u32, u32)>,
    /// What no column declares of each record, where it is kept.
    extra: Vec<(u32, u32)>,
    arena: Vec<u8>,
}

impl<'s> CsvDecoder<'s> {
    pub(crate) fn new(spec: &'s CheckedSpec, format: Format, object: &str) -> Result<Self, StageError> {
        let is_tabbed = format == Format::Tsv && spec.spec.source.csv.delimiter.is_none();
        let dialect = Dialect {
            delimiter: if is_tabbed { b"\t".to_vec() } else { spec.dialect.delimiter.clone() },
            quote: spec.dialect.quote,
            escape: spec.dialect.escape,
            comment: spec.dialect.comment,
        };
        let tokeniser = Tokeniser::new(&dialect)
            .map_err(|error| StageError::with_source(ErrorKind::InvalidSpec, "the dialect of `csv` is wrong", error))?;
        let csv = &spec.spec.source.csv;
        Ok(Self {
            spec,
            object: object.to_owned(),
            tokeniser,
            dialect,
            index: Index::new(),
            layout: (!csv.header).then(|| Layout::by_position(spec.columns.len())),
            header: None,
            skip_lines: csv.skip_lines,
            line: 1,
            block_line: 1,
            leading: 0,
            quoting: Quoting::None,
            padded_ends: Vec::new(),
            unquoted: Vec::new(),
            extra: Vec::new(),
            arena: Vec::new(),
        })
    }

    fn skip_line(&mut self, text: &[u8], at_end: bool) -> usize {
        let consumed = match memchr::memchr2(b'\n', b'\r', text) {
            Some(end) if text[end] == b'\n' => end + 1,
            Some(end) => match text.get(end + 1) {
                Some(b'\n') => end + 2,
                None if !at_end => 0,
                _ => end + 1,
            },
            None if at_end => text.len(),
            None => 0,
        };
        if consumed > 0 {
            self.skip_lines -= 1;
            self.line += 1;
        }
        // What the index held of an earlier text is no longer there.
        self.tokeniser.index(&[], true, &mut self.index);
        consumed
    }

    fn take_header(&mut self, text: &[u8]) -> Result<(), StageError> {
        let range = self.index.record_starts()[0] as usize..self.index.record_ends()[0] as usize;
        self.header = Some(text[range].to_vec());
        let fields = self.index.first_fields()[1] as usize;
        let names: Vec<Cow<'_, [u8]>> = (0..fields)
            .map(|field| {
                let mut value = Vec::new();
                match self.dialect.unquote(self.index.field(text, 0, field), &mut value) {
                    Unquoted::Borrowed(name) => Cow::Borrowed(name),
                    Unquoted::Appended(_) => Cow::Owned(value),
                }
            })
            .collect();
        self.layout = Some(Layout::from_names(names.iter().map(|name| &**name), self.spec, &self.object)?);
        Ok(())
    }

    fn quoting_of(&self, text: &[u8]) -> Quoting {
        let Some(quote) = self.dialect.quote.filter(|_| self.dialect.escape.is_none()) else {
            return if self.dialect.escape.is_none() { Quoting::None } else { Quoting::Full };
        };
        if !self.index.has_quotes() {
            return Quoting::None;
        }
        let is_simple = self.index.faults().is_empty() && memchr::memmem::find(text, &[quote, quote]).is_none();
        if is_simple { Quoting::Simple(quote) } else { Quoting::Full }
    }

    fn unquote(&mut self, text: &[u8]) {
        for record in self.leading..self.index.records() {
            let first = self.index.first_fields()[record];
            for number in first..self.index.first_fields()[record + 1] {
                let raw = self.index.field(text, record, (number - first) as usize);
                let start = self.arena.len() as u32;
                if let Unquoted::Appended(bytes) = self.dialect.unquote(raw, &mut self.arena) {
                    self.unquoted.push((number, start, bytes as u32));
                }
            }
        }
    }

    /// Makes the ends of fields regular. A record of more fields loses some, one of fewer gets empty ones behind its end:
    /// it is bad, whatever they are.
    fn pad(&mut self) {
        self.padded_ends.clear();
        let Some(fields) = self.layout.as_ref().map(Layout::fields) else { return };
        if self.index.regular_fields() == Some(fields) {
            return;
        }
        let (first_fields, ends) = (self.index.first_fields(), self.index.field_ends());
        self.padded_ends.reserve(fields * self.index.records());
        for (pair, record_end) in first_fields.windows(2).zip(self.index.record_ends()) {
            let there = &ends[pair[0] as usize..pair[1] as usize];
            self.padded_ends.extend_from_slice(&there[..there.len().min(fields)]);
            self.padded_ends.extend(std::iter::repeat_n(*record_end, fields.saturating_sub(there.len())));
        }
    }

    fn gather_extra(&mut self, text: &[u8]) {
        let Some(layout) = &self.layout else { return };
        let mut object = Vec::new();
        for record in self.leading..self.index.records() {
            object.clear();
            for (field, name) in layout.extra() {
                if *field >= fields_of(&self.index, record) {
                    break;
                }
                object.push(if object.is_empty() { b'{' } else { b',' });
                json::write_string(&mut object, name.as_bytes());
                object.push(b':');
                json::write_string(&mut object, self.value(text, record, *field));
            }
            if !object.is_empty() {
                object.push(b'}');
            }
            self.extra.push((self.arena.len() as u32, object.len() as u32));
            self.arena.extend_from_slice(&object);
        }
    }

    /// A field without its quotes. The record must have it.
    fn value<'a>(&'a self, text: &'a [u8], record: usize, field: usize) -> &'a [u8] {
        let raw = self.index.field(text, record, field);
        match self.quoting {
            Quoting::None => return raw,
            Quoting::Simple(quote) => return stripped(raw, quote),
            Quoting::Full => {}
        }
        let number = self.index.first_fields()[record] + field as u32;
        match self.unquoted.binary_search_by_key(&number, |(number, ..)| *number) {
            Ok(found) => {
                let (_, start, bytes) = self.unquoted[found];
                &self.arena[start as usize..(start + bytes) as usize]
            }
            Err(_) => match self.dialect.unquote(raw, &mut Vec::new()) {
                Unquoted::Borrowed(value) => value,
                Unquoted::Appended(_) => raw,
            },
        }
    }
}

/// What must be done to the fields of a block to have their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoting {
    /// Nothing: there is neither a quote nor an escape.
    None,
    /// Quotes are only around whole fields, and no quote is within one.
    Simple(u8),
    /// Quotes within fields, or escapes.
    Full,
}

/// A field of simple quoting without its quotes.
#[inline]
fn stripped(raw: &[u8], quote: u8) -> &[u8] {
    match raw {
        [first, inner @ .., last] if *first == quote && *last == quote => inner,
        _ => raw,
    }
}

/// What a decoder must know to go on.
#[derive(Serialize, Deserialize)]
struct State {
    header: Option<Vec<u8>>,
    line: u64,
    skip_lines: u64,
}

impl TextDecoder for CsvDecoder<'_> {
    type Block<'a>
        = CsvBlock<'a>
    where
        Self: 'a;

    fn index(&mut self, text: &[u8], at_end: bool) -> Result<usize, StageError> {
        self.block_line = self.line;
        self.leading = 0;
        self.unquoted.clear();
        self.extra.clear();
        self.arena.clear();
        if self.skip_lines > 0 {
            return Ok(self.skip_line(text, at_end));
        }
        let consumed = self.tokeniser.index(text, at_end, &mut self.index);
        self.line += line_ends(&text[..consumed]);
        if self.layout.is_none() && self.index.records() > 0 {
            self.take_header(text)?;
            self.leading = 1;
        }
        self.quoting = self.quoting_of(&text[..consumed]);
        if self.quoting == Quoting::Full {
            self.unquote(text);
        } else {
            self.pad();
        }
        if self.spec.spec.unknown_columns == UnknownColumns::Keep {
            self.gather_extra(text);
        }
        Ok(consumed)
    }

    fn block<'a>(&'a self, text: &'a [u8]) -> CsvBlock<'a> {
        CsvBlock { decoder: self, text }
    }

    fn line(&self) -> u64 {
        self.line
    }

    fn header(&self) -> Option<&[u8]> {
        self.header.as_deref()
    }

    fn save(&self) -> serde_json::Value {
        serde_json::json!(State { header: self.header.clone(), line: self.line, skip_lines: self.skip_lines })
    }

    fn restore(&mut self, position: &Position) -> Result<(), StageError> {
        let state: State = decoder_state(position)?;
        if let Some(header) = state.header {
            self.tokeniser.index(&header, true, &mut self.index);
            self.take_header(&header)?;
        }
        (self.skip_lines, self.line) = (state.skip_lines, state.line);
        Ok(())
    }

    fn finish(&self) -> Result<(), StageError> {
        if self.layout.is_some() {
            return Ok(());
        }
        let message = format!("{} is empty: it has not even a header", self.object);
        Err(StageError::new(ErrorKind::UnreadableSource, message))
    }
}

fn fields_of(index: &Index, record: usize) -> usize {
    (index.first_fields()[record + 1] - index.first_fields()[record]) as usize
}

/// The records that were indexed in one piece of text.
pub(crate) struct CsvBlock<'a> {
    decoder: &'a CsvDecoder<'a>,
    text: &'a [u8],
}

impl CsvBlock<'_> {
    fn range(&self, record: usize) -> std::ops::Range<usize> {
        let (index, record) = (&self.decoder.index, record + self.decoder.leading);
        index.record_starts()[record] as usize..index.record_ends()[record] as usize
    }

    fn fields(&self, record: usize) -> usize {
        fields_of(&self.decoder.index, record + self.decoder.leading)
    }
}

impl Block for CsvBlock<'_> {
    type Cells<'b>
        = CsvCells<'b>
    where
        Self: 'b;

    fn records(&self) -> usize {
        self.decoder.index.records() - self.decoder.leading
    }

    fn record_bytes(&self, record: usize) -> usize {
        self.range(record).len()
    }

    fn mark(&self, faults: &mut Faults) {
        let decoder = self.decoder;
        for (record, fault) in decoder.index.faults() {
            let Some(record) = (*record as usize).checked_sub(decoder.leading) else { continue };
            let message = match fault {
                Fault::TextAfterQuote => "text follows a closing quote",
                Fault::UnclosedQuote => "a quote is opened and never closed",
            };
            faults.add(record, None, RejectCode::Malformed, message);
        }
        let Some(layout) = &decoder.layout else { return };
        if decoder.index.regular_fields() == Some(layout.fields()) {
            return;
        }
        for record in 0..self.records() {
            let fields = self.fields(record);
            if fields != layout.fields() {
                let code = if fields < layout.fields() { RejectCode::TooFewFields } else { RejectCode::TooManyFields };
                let message = format!("the record has {fields} fields where {} are declared", layout.fields());
                faults.add(record, None, code, message);
            }
        }
    }

    fn cells(&self, column: usize) -> CsvCells<'_> {
        let field = self.decoder.layout.as_ref().and_then(|layout| layout.field_of(column));
        let records = self.records();
        match field {
            Some(field) => CsvCells::Field(FieldCells { decoder: self.decoder, text: self.text, records, field }),
            None => CsvCells::Absent { records },
        }
    }

    fn extra(&self) -> CsvCells<'_> {
        CsvCells::Extra { spans: &self.decoder.extra, arena: &self.decoder.arena }
    }

    fn place(&self, record: usize, before: Option<Place>) -> Place {
        let position = self.range(record).start;
        let before = before.unwrap_or(Place { line: self.decoder.block_line, position: 0 });
        Place { line: before.line + line_ends(&self.text[before.position..position]), position }
    }

    fn original(&self, record: usize, masked: &[usize]) -> Cow<'_, [u8]> {
        let whole = &self.text[self.range(record)];
        if masked.is_empty() {
            return Cow::Borrowed(whole);
        }
        let decoder = self.decoder;
        let fields = self.fields(record);
        let layout = decoder.layout.as_ref().filter(|layout| layout.fields() == fields);
        let is_malformed =
            decoder.index.faults().iter().any(|(faulty, _)| *faulty as usize == record + decoder.leading);
        let mut line = Vec::with_capacity(whole.len());
        for field in 0..fields {
            if field > 0 {
                line.extend_from_slice(&decoder.dialect.delimiter);
            }
            // In a record whose fields are not where they should be, any of them may be the masked one.
            let is_masked = match layout {
                Some(layout) if !is_malformed => masked.iter().any(|column| layout.field_of(*column) == Some(field)),
                _ => true,
            };
            let raw = decoder.index.field(self.text, record + decoder.leading, field);
            line.extend_from_slice(if is_masked { MASK } else { raw });
        }
        Cow::Owned(line)
    }
}

/// The cells of one column.
pub(crate) enum CsvCells<'a> {
    /// A field of the records.
    Field(FieldCells<'a>),
    /// The source lacks the column.
    Absent { records: usize },
    /// What no column declares.
    Extra { spans: &'a [(u32, u32)], arena: &'a [u8] },
}

impl Fields for CsvCells<'_> {
    #[inline]
    fn len(&self) -> usize {
        match self {
            Self::Field(field) => field.records,
            Self::Absent { records } => *records,
            Self::Extra { spans, .. } => spans.len(),
        }
    }

    #[inline]
    fn get(&self, record: usize) -> Option<&[u8]> {
        match self {
            Self::Field(field) => field.get(record),
            Self::Absent { .. } => None,
            Self::Extra { spans, arena } => {
                let (start, bytes) = spans[record];
                (bytes > 0).then(|| &arena[start as usize..(start + bytes) as usize])
            }
        }
    }

    #[inline]
    fn regular(&self) -> Option<RegularCells<'_>> {
        match self {
            Self::Field(field) => field.regular(),
            _ => None,
        }
    }

    fn is_ascii(&self) -> bool {
        match self {
            Self::Field(field) => field.decoder.index.is_ascii(),
            _ => false,
        }
    }
}

/// One field of the records of a block.
pub(crate) struct FieldCells<'a> {
    decoder: &'a CsvDecoder<'a>,
    text: &'a [u8],
    records: usize,
    field: usize,
}

impl<'a> FieldCells<'a> {
    #[inline]
    fn get(&self, record: usize) -> Option<&[u8]> {
        let record = record + self.decoder.leading;
        (self.field < fields_of(&self.decoder.index, record)).then(|| self.decoder.value(self.text, record, self.field))
    }

    fn regular(&self) -> Option<RegularCells<'a>> {
        let decoder = self.decoder;
        let quote = match decoder.quoting {
            Quoting::None => None,
            Quoting::Simple(quote) => Some(quote),
            Quoting::Full => return None,
        };
        let fields = decoder.layout.as_ref().filter(|_| self.records > 0)?.fields();
        let index = &decoder.index;
        let ends = if decoder.padded_ends.is_empty() { index.field_ends() } else { &decoder.padded_ends };
        let first = decoder.leading * fields + self.field;
        let (starts, start_stride, lead) = match self.field {
            0 => (&index.record_starts()[decoder.leading..], 1, 0),
            _ => (&ends[first - 1..], fields, decoder.dialect.delimiter.len()),
        };
        Some(RegularCells {
            text: self.text,
            records: self.records,
            starts,
            start_stride,
            lead,
            ends: &ends[first..],
            end_stride: fields,
            quote,
            is_ascii: index.is_ascii(),
        })
    }
}
