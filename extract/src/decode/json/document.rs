//! Records of one JSON document: the objects of an array somewhere in it.

use serde::{Deserialize, Serialize};
use stepwell_pipeline::{ErrorKind, StageError};

use super::{
    record::RecordReader,
    scan::{DEPTH_MAX, Fault, Scanner},
    string::unescape,
};

/// Where in a document the reading stands: between two records, or outside the array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    expect: Expect,
    /// The brackets open around this place and outside the records' array: `{` and `[`.
    open: String,
    /// How many of the open brackets lie on the path to the records, from outside.
    trail: usize,
    /// Whether the value expected next is the one that the path leads to, or an object on the way.
    on_path: bool,
    /// Whether the records were found.
    found: bool,
    /// Whether this place is inside the records' array.
    in_records: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Expect {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    CommaOrEnd,
    Nothing,
}

/// What keeps the reading from going on at an offset.
pub(super) enum Stop {
    /// The text ends within a record or token; more of it is needed.
    Incomplete,
    /// The document is not JSON there.
    Fault(Fault),
    /// The document is not what the spec says.
    Other(StageError),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Default for Place {
    fn default() -> Self {
        Self { expect: Expect::Value, open: String::new(), trail: 0, on_path: true, found: false, in_records: false }
    }
}

impl Place {
    /// Whether the document has ended and its records were found.
    pub(super) fn is_complete(&self) -> bool {
        self.expect == Expect::Nothing && self.found
    }

    /// Whether the document has ended.
    pub(super) fn is_at_end(&self) -> bool {
        self.expect == Expect::Nothing
    }

    /// Reads on until the text ends or the block is full: the bytes read, and what keeps it from reading on.
    pub(super) fn read(&mut self, reader: &mut RecordReader<'_>, records: &[String]) -> (usize, Option<Stop>) {
        let mut at = 0;
        while !reader.block.is_full() {
            at = reader.scan.space(at);
            if at >= reader.scan.text.len() {
                return (at, None);
            }
            let step = if self.in_records { self.element(reader, at) } else { self.outside(reader, records, at) };
            let stop = match step {
                Ok(end) => {
                    at = end;
                    continue;
                }
                Err(Stop::Fault(fault)) if fault.at >= reader.scan.text.len() => Stop::Incomplete,
                Err(stop) => stop,
            };
            reader.block.abandon();
            return (at, Some(stop));
        }
        (at, None)
    }

    /// Reads what stands at `at` inside the records' array: a record, a comma or the closing bracket.
    fn element(&mut self, reader: &mut RecordReader<'_>, at: usize) -> Result<usize, Stop> {
        match (reader.scan.at(at), self.expect) {
            (b',', Expect::CommaOrEnd) => {
                self.expect = Expect::Value;
                Ok(at + 1)
            }
            (b']', Expect::CommaOrEnd | Expect::ValueOrEnd) => {
                self.in_records = false;
                self.end_value();
                Ok(at + 1)
            }
            (byte @ (b',' | b']'), _) => {
                reader.block.begin();
                reader.reject(at, at, Fault::new(at, "expected a record before the comma or bracket"));
                if byte == b']' {
                    self.in_records = false;
                    self.end_value();
                } else {
                    self.expect = Expect::Value;
                }
                Ok(at + 1)
            }
            _ => {
                let end = record(reader, at, true)?;
                self.expect = Expect::CommaOrEnd;
                Ok(end)
            }
        }
    }

    /// Reads the token at `at` outside the records' array, or the single record that stands in the array's place.
    fn outside(&mut self, reader: &mut RecordReader<'_>, records: &[String], at: usize) -> Result<usize, Stop> {
        let scan = reader.scan;
        let byte = scan.at(at);
        match (self.expect, byte) {
            (Expect::ValueOrEnd | Expect::CommaOrEnd, b']') if self.open.ends_with('[') => Ok(self.close(at)),
            (Expect::KeyOrEnd | Expect::CommaOrEnd, b'}') if self.open.ends_with('{') => Ok(self.close(at)),
            (Expect::CommaOrEnd, b',') => {
                self.expect = if self.open.ends_with('{') { Expect::Key } else { Expect::Value };
                Ok(at + 1)
            }
            (Expect::CommaOrEnd, _) => Err(Fault::new(at, "expected a comma or a closing bracket").into()),
            (Expect::Key | Expect::KeyOrEnd, _) => self.key(scan, records, at),
            (Expect::Value | Expect::ValueOrEnd, _) => self.value(reader, records, at),
            (Expect::Nothing, _) => Err(Fault::new(at, "more text after the document (is it NDJSON?)").into()),
        }
    }

    fn key(&mut self, scan: Scanner<'_>, records: &[String], at: usize) -> Result<usize, Stop> {
        let (start, close, escaped, value) = scan.key(at)?;
        if value >= scan.text.len() {
            return Err(Stop::Incomplete);
        }
        let mut name = &scan.text[start..close];
        let mut unescaped = Vec::new();
        if escaped {
            unescape(&mut unescaped, name);
            name = &unescaped;
        }
        self.on_path = self.trail == self.open.len()
            && self.trail > 0
            && records.get(self.trail - 1).is_some_and(|step| step.as_bytes() == name);
        self.expect = Expect::Value;
        Ok(value)
    }

    fn value(&mut self, reader: &mut RecordReader<'_>, records: &[String], at: usize) -> Result<usize, Stop> {
        let byte = reader.scan.at(at);
        if self.on_path && self.trail == records.len() {
            return self.records(reader, records, at);
        }
        let on_path = std::mem::take(&mut self.on_path);
        if byte != b'{' && byte != b'[' {
            let end = match reader.scan.value(at, 0) {
                // A number's end is seen only by what follows.
                Ok(end) if end == reader.scan.text.len() && byte != b'"' => Err(Stop::Incomplete),
                Ok(end) => Ok(end),
                Err(fault) => Err(fault.into()),
            };
            match end {
                Ok(end) => {
                    self.end_value();
                    return Ok(end);
                }
                Err(stop) => {
                    self.on_path = on_path;
                    return Err(stop);
                }
            }
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(Fault::new(at, "nested more than 512 deep").into());
        }
        if byte == b'{' && on_path {
            self.trail += 1;
        }
        self.open.push(char::from(byte));
        self.expect = if byte == b'{' { Expect::KeyOrEnd } else { Expect::ValueOrEnd };
        Ok(at + 1)
    }

    /// Reads the value that the path leads to.
    fn records(&mut self, reader: &mut RecordReader<'_>, records: &[String], at: usize) -> Result<usize, Stop> {
        let place = if records.is_empty() { "the document".to_owned() } else { format!("`{}`", records.join(".")) };
        let refuse = |what: &str| Stop::Other(StageError::new(ErrorKind::UnreadableSource, format!("{place} {what}")));
        if self.found {
            return Err(refuse("occurs twice in the document"));
        }
        match reader.scan.at(at) {
            b'[' => {
                self.in_records = true;
                self.expect = Expect::ValueOrEnd;
                self.found = true;
                self.on_path = false;
                Ok(at + 1)
            }
            b'{' => {
                let end = record(reader, at, false)?;
                self.found = true;
                self.on_path = false;
                self.end_value();
                Ok(end)
            }
            _ => {
                reader.scan.value(at, 0)?;
                Err(refuse(
                    "is neither an array nor an object; say in `source.json.records` where the array of records is",
                ))
            }
        }
    }

    fn close(&mut self, at: usize) -> usize {
        if self.trail == self.open.len() {
            self.trail -= 1;
        }
        self.open.pop();
        self.end_value();
        at + 1
    }

    fn end_value(&mut self) {
        self.expect = if self.open.is_empty() { Expect::Nothing } else { Expect::CommaOrEnd };
    }
}

/// Reads the record at `at`, or rejects it if it is clear how far it reaches: the offset behind it.
fn record(reader: &mut RecordReader<'_>, at: usize, in_array: bool) -> Result<usize, Stop> {
    let text = reader.scan.text;
    let mut read = reader.read(at);
    if let (true, Ok(end)) = (in_array, read) {
        let next = reader.scan.space(end);
        if !matches!(reader.scan.at(next), b',' | b']') {
            read = Err(Fault::new(next, "expected a comma or the array's end after the record"));
        }
    }
    match read {
        Ok(end) => {
            reader.accept(at, end);
            Ok(end)
        }
        Err(fault) if fault.at >= text.len() => Err(fault.into()),
        Err(fault) => {
            let end = extent(text, at, in_array, fault)?;
            let trimmed = text[at..end].trim_ascii_end().len();
            reader.reject(at, at + trimmed, fault);
            Ok(end)
        }
    }
}

/// Where the broken element that begins at `start` ends: in an array at the next comma or bracket that is not inside of
/// it, otherwise behind its closing brace.
fn extent(text: &[u8], start: usize, in_array: bool, fault: Fault) -> Result<usize, Stop> {
    let mut open = Vec::new();
    let mut at = start;
    loop {
        let Some(byte) = text.get(at) else { return Err(Stop::Incomplete) };
        match byte {
            b'"' => loop {
                match memchr::memchr2(b'"', b'\\', text.get(at + 1..).unwrap_or_default()) {
                    Some(bytes) if text[at + 1 + bytes] == b'"' => {
                        at += 1 + bytes;
                        break;
                    }
                    Some(bytes) => at += 2 + bytes,
                    None => return Err(Stop::Incomplete),
                }
            },
            b'{' | b'[' => open.push(*byte),
            b',' if open.is_empty() => return Ok(at),
            b']' if open.is_empty() && in_array => return Ok(at),
            b'}' | b']' => {
                // Closing brackets are two further on in ASCII than their opening twins.
                if open.pop() != Some(byte - 2) {
                    return Err(fault.into());
                }
                if open.is_empty() && !in_array {
                    return Ok(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}
