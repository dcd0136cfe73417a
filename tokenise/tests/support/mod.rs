//! A tokeniser that is as plain as can be, and what the real ones find in the same form.

#![allow(dead_code, reason = "no test uses all of it")]

use std::ops::Range;

use stepwell_tokenise::{Dialect, Fault, Index, Tokeniser, Unquoted};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) fields: Vec<Range<usize>>,
    pub(crate) fault: Option<Fault>,
}

impl Record {
    pub(crate) fn values(&self, dialect: &Dialect, text: &[u8]) -> Vec<Vec<u8>> {
        self.fields.iter().map(|field| value(dialect, &text[field.clone()])).collect()
    }
}

/// A field's value.
pub(crate) fn value(dialect: &Dialect, raw: &[u8]) -> Vec<u8> {
    let mut out = b"before".to_vec();
    match dialect.unquote(raw, &mut out) {
        Unquoted::Borrowed(value) => {
            assert_eq!(out, b"before");
            value.to_vec()
        }
        Unquoted::Appended(bytes) => {
            assert_eq!(out.len(), b"before".len() + bytes);
            out.split_off(b"before".len())
        }
    }
}

/// What the rules say that a whole text holds.
pub(crate) fn model(dialect: &Dialect, text: &[u8]) -> Vec<Record> {
    let (mut records, mut position, mut own_line) = (Vec::new(), 0, false);
    while position < text.len() {
        if is_line_end(text[position]) {
            position += 1;
        } else if Some(text[position]) == dialect.comment {
            while position < text.len() && !is_line_end(text[position]) {
                position += 1;
            }
        } else {
            match model_record(dialect, text, position, own_line) {
                Some((record, end)) => {
                    records.push(record);
                    position = end;
                }
                None => own_line = true,
            }
        }
    }
    records
}

fn is_line_end(byte: u8) -> bool {
    byte == b'\n' || byte == b'\r'
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    FieldStart,
    Unquoted,
    Quoted,
    AfterQuote,
}

fn model_record(dialect: &Dialect, text: &[u8], start: usize, own_line: bool) -> Option<(Record, usize)> {
    let escape = dialect.escape.filter(|escape| Some(*escape) != dialect.quote);
    let mut record = Record { fields: Vec::new(), fault: None };
    let (mut state, mut field_start, mut position) = (State::FieldStart, start, start);
    loop {
        position = position.min(text.len());
        let byte = text.get(position).copied();
        let line_ends = byte.is_none_or(is_line_end);
        if state == State::Quoted {
            if byte.is_none() && !own_line {
                return None;
            } else if byte.is_none() || (line_ends && own_line) {
                record.fault = Some(Fault::UnclosedQuote);
                record.fields.push(field_start..position);
                return Some((record, position));
            } else if byte == escape {
                position += 2;
            } else if byte != dialect.quote {
                position += 1;
            } else if escape.is_none() && text.get(position + 1).copied() == dialect.quote {
                position += 2;
            } else {
                position += 1;
                state = State::AfterQuote;
            }
        } else if line_ends {
            record.fields.push(field_start..position);
            return Some((record, position));
        } else if state == State::FieldStart && byte == dialect.quote {
            state = State::Quoted;
            position += 1;
        } else if text[position..].starts_with(&dialect.delimiter) {
            record.fields.push(field_start..position);
            position += dialect.delimiter.len();
            field_start = position;
            state = State::FieldStart;
        } else {
            if state == State::AfterQuote {
                record.fault.get_or_insert(Fault::TextAfterQuote);
            }
            state = State::Unquoted;
            position += if byte == escape { 2 } else { 1 };
        }
    }
}

/// What a tokeniser finds in a text that comes in pieces of the given lengths, over and over.
pub(crate) fn found(tokeniser: &Tokeniser, text: &[u8], pieces: &[usize], index: &mut Index) -> Vec<Record> {
    let mut pieces = pieces.iter().cycle();
    let (mut records, mut position, mut end) = (Vec::new(), 0, 0);
    loop {
        end = text.len().min(end + pieces.next().expect("there are pieces"));
        let at_end = end == text.len();
        let chunk = &text[position..end];
        let consumed = tokeniser.index(chunk, at_end, index);
        check(tokeniser.dialect(), chunk, consumed, index);
        for mut record in records_of(chunk, index) {
            for field in &mut record.fields {
                *field = position + field.start..position + field.end;
            }
            records.push(record);
        }
        position += consumed;
        if at_end {
            assert_eq!(position, text.len());
            return records;
        }
    }
}

fn records_of(text: &[u8], index: &Index) -> Vec<Record> {
    let offset = |part: &[u8]| part.as_ptr() as usize - text.as_ptr() as usize;
    let mut faults = index.faults().iter().copied().peekable();
    let mut records = Vec::new();
    for (number, bounds) in index.first_fields().windows(2).enumerate() {
        let field = |field| {
            let raw = index.field(text, number, field);
            offset(raw)..offset(raw) + raw.len()
        };
        let fields: Vec<_> = (0..(bounds[1] - bounds[0]) as usize).map(field).collect();
        assert_eq!(fields[0].start, index.record_starts()[number] as usize);
        assert_eq!(fields[fields.len() - 1].end, index.record_ends()[number] as usize);
        let fault = faults.next_if(|(record, _)| *record as usize == number).map(|(_, fault)| fault);
        records.push(Record { fields, fault });
    }
    assert_eq!(faults.next(), None);
    records
}

fn check(dialect: &Dialect, chunk: &[u8], consumed: usize, index: &Index) {
    let records = index.records();
    assert_eq!(index.record_starts().len(), records);
    assert_eq!(index.record_ends().len(), records);
    assert_eq!(index.first_fields().len(), records + 1);
    assert_eq!(index.field_ends().len(), index.first_fields()[records] as usize);
    let consumed = &chunk[..consumed];
    assert_eq!(index.is_ascii(), consumed.is_ascii());
    let special = |byte: &u8| Some(*byte) == dialect.quote || Some(*byte) == dialect.escape;
    assert_eq!(index.has_quotes(), consumed.iter().any(special));
    let mut counts: Vec<_> = index.first_fields().windows(2).map(|pair| (pair[1] - pair[0]) as usize).collect();
    counts.dedup();
    assert_eq!(index.regular_fields(), if counts.len() == 1 { Some(counts[0]) } else { None });
}

/// The tokenisers of a dialect, by name.
pub(crate) fn tokenisers(dialect: &Dialect) -> [(&'static str, Tokeniser); 3] {
    [
        ("fastest", Tokeniser::new(dialect).expect("the dialect is valid")),
        ("portable", Tokeniser::new_portable(dialect).expect("the dialect is valid")),
        ("scalar", Tokeniser::new_scalar(dialect).expect("the dialect is valid")),
    ]
}
