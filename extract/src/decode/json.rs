//! Decodes NDJSON and JSON documents: finds the records and the cells of the columns without building values.
//!
//! Every byte of a record is held against RFC 8259, also where no column looks. Where the RFC leaves it open: of a key that
//! occurs twice in an object, the last value counts; escapes of half a surrogate pair are malformed, and so is nesting of
//! more than 512; numbers may have any size.

mod block;
mod document;
mod lines;
mod mask;
mod plan;
mod record;
mod scan;
mod string;
#[cfg(test)]
mod tests;

use document::{Place, Stop};
use plan::Plan;
use record::{RecordReader, Undeclared};
use scan::{Scanner, Stops};
use serde::{Deserialize, Serialize};
use stepwell_pipeline::{
    ErrorKind, StageError,
    reject::RejectCode,
    spec::{Column, UnknownColumns},
};

pub(crate) use self::{
    block::{JsonBlock, JsonFault, JsonFields},
    mask::mask,
    string::write_string,
};
use super::RECORD_BYTES_MAX;

/// The text that a block is taken from, unless a record is longer.
const BLOCK_BYTES: usize = 256 * 1024;
/// The most text that is looked at in one go; spans of a block are 31 bits wide.
const TEXT_BYTES_MAX: usize = 1 << 30;

/// How the records stand in the text.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// One object a line (NDJSON, JSON Lines, JSON text sequences).
    Lines,
    /// One JSON document.
    Document {
        /// The keys that lead to the array of records; none if the document is the array. In the array's place, there may
        /// be a single object, which is then the only record.
        records: Vec<String>,
    },
}

/// Finds the records and cells of a text that comes in pieces.
#[derive(Debug)]
pub(crate) struct JsonDecoder {
    shape: Shape,
    columns: usize,
    unknown: UnknownColumns,
    plan: Plan,
    state: JsonState,
    stops: Stops,
    undeclared: Undeclared,
    /// How long the text must be for another attempt, after one that found no end of a record.
    retry_bytes: usize,
}

/// Where in a text a decoder stands, for one in another process to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JsonState {
    /// The bytes of text behind.
    offset: u64,
    /// Where in the document that is. For NDJSON always the beginning.
    place: Place,
}

impl JsonDecoder {
    /// A decoder at the beginning of a text, for the columns' paths.
    pub(crate) fn new(shape: Shape, columns: &[Column], unknown: UnknownColumns) -> Self {
        Self {
            shape,
            columns: columns.len(),
            unknown,
            plan: Plan::new(columns.iter().map(|column| column.path.as_slice())),
            state: JsonState::default(),
            stops: Stops::default(),
            undeclared: Undeclared::default(),
            retry_bytes: 0,
        }
    }

    /// Indexes whole records at the beginning of `text`, about 256 KiB of them, into `block`: the bytes consumed. The rest
    /// is to be given again, with more behind it unless `at_end`, until all is consumed; the last call must be one `at_end`,
    /// if need be with no text.
    ///
    /// Without `at_end`, no bytes are consumed if a record does not end within the text; if the text has more than 16 MiB
    /// then, the record is too long.
    ///
    /// # Errors
    /// `UnreadableSource` if a document is not JSON, breaks off, or does not have the array of records.
    pub(crate) fn index(&mut self, text: &[u8], at_end: bool, block: &mut JsonBlock) -> Result<usize, StageError> {
        block.clear(self.columns);
        if text.len() < self.retry_bytes && !at_end {
            return Ok(0);
        }
        let at_end = at_end && text.len() <= TEXT_BYTES_MAX;
        let text = &text[..text.len().min(TEXT_BYTES_MAX)];
        let mut window_bytes = BLOCK_BYTES.max(self.retry_bytes);
        loop {
            let window = &text[..text.len().min(window_bytes)];
            let is_last = window.len() == text.len();
            let consumed = match self.shape {
                Shape::Lines => self.index_lines(window, at_end && is_last, block),
                Shape::Document { .. } => self.index_document(window, at_end && is_last, block)?,
            };
            if consumed > 0 || is_last {
                // Each attempt costs as much as the text is long: growing by a quarter keeps that in proportion.
                let grown = (text.len() + text.len() / 4 + 1).min(RECORD_BYTES_MAX);
                self.retry_bytes = if consumed > 0 { 0 } else { grown };
                self.check_encoding(&text[..consumed], block)?;
                self.state.offset += consumed as u64;
                return Ok(consumed);
            }
            window_bytes *= 2;
        }
    }

    /// Where the decoder stands: behind the bytes consumed.
    pub(crate) fn state(&self) -> JsonState {
        self.state.clone()
    }

    /// Goes on where another decoder of the same shape stood.
    pub(crate) fn restore(&mut self, state: JsonState) {
        self.state = state;
        self.retry_bytes = 0;
    }

    fn index_lines(&mut self, window: &[u8], at_end: bool, block: &mut JsonBlock) -> usize {
        let whole = if at_end { window.len() } else { memchr::memrchr(b'\n', window).map_or(0, |at| at + 1) };
        let text = &window[..whole];
        if text.is_empty() {
            return 0;
        }
        self.stops.mark(text);
        lines::read_lines(&mut RecordReader {
            scan: Scanner::new(text, &self.stops, false),
            plan: &mut self.plan,
            block,
            unknown: self.unknown,
            undeclared: &mut self.undeclared,
        })
    }

    fn index_document(&mut self, text: &[u8], at_end: bool, block: &mut JsonBlock) -> Result<usize, StageError> {
        let Shape::Document { records } = &self.shape else { return Ok(0) };
        self.stops.mark(text);
        let mut reader = RecordReader {
            scan: Scanner::new(text, &self.stops, true),
            plan: &mut self.plan,
            block,
            unknown: self.unknown,
            undeclared: &mut self.undeclared,
        };
        let place = &mut self.state.place;
        let (consumed, stop) = place.read(&mut reader, records);
        let offset = self.state.offset;
        let unreadable = |what: String| Err(StageError::new(ErrorKind::UnreadableSource, what));
        match stop {
            Some(Stop::Other(error)) => return Err(error),
            Some(Stop::Fault(fault)) => {
                return unreadable(format!(
                    "the JSON document is broken at byte {}: {}",
                    offset + fault.at as u64,
                    fault.what
                ));
            }
            Some(Stop::Incomplete) if !at_end => {}
            None if !at_end || consumed < text.len() || place.is_complete() => {}
            None if place.is_at_end() => {
                return unreadable(format!(
                    "the JSON document has no `{}`; say in `source.json.records` where the array of records is",
                    records.join(".")
                ));
            }
            _ => {
                let end = offset + text.len() as u64;
                let begin = offset + consumed as u64;
                return unreadable(format!(
                    "the JSON document breaks off at byte {end}, in what begins at byte {begin}; was it cut short?"
                ));
            }
        }
        Ok(consumed)
    }

    /// Rejects records that are not UTF-8.
    fn check_encoding(&self, text: &[u8], block: &mut JsonBlock) -> Result<(), StageError> {
        if simdutf8::basic::from_utf8(text).is_ok() {
            return Ok(());
        }
        let mut faults = Vec::new();
        let mut outside = 0;
        for record in 0..=block.records.len() {
            let (start, end) = block
                .records
                .get(record)
                .map_or((text.len(), text.len()), |(start, end)| (*start as usize, *end as usize));
            if let Err(error) = std::str::from_utf8(&text[outside..start]) {
                let at = self.state.offset + (outside + error.valid_up_to()) as u64;
                let what = format!("the JSON document is not UTF-8 at byte {at}; say in `source.encoding` what it is");
                return Err(StageError::new(ErrorKind::UnreadableSource, what));
            }
            if let Err(error) = std::str::from_utf8(&text[start..end]) {
                let message = format!("not UTF-8 at byte {} of the record", error.valid_up_to() + 1);
                faults.push(JsonFault { record: record as u32, code: RejectCode::InvalidEncoding, message });
            }
            outside = end;
        }
        block.overrule(faults);
        Ok(())
    }
}
