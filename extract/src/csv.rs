//! Splits CSV bytes into records. Knows no IO and no types.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use stepwell_pipeline::{ErrorKind, StageError};

/// The most that one field may have.
pub(crate) const FIELD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most that one record may have.
const RECORD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Splits bytes that come in any portions into records.
pub(crate) struct RecordSplitter {
    reader: Reader,
    pending: Vec<u8>,
    /// Where in `pending` the record begins that is being read.
    start: usize,
    /// How far `pending` was given to `reader`.
    scanned: usize,
    /// The offset in the object of `pending[0]`.
    base: u64,
    /// The line of `pending[start]`, from 1.
    line: u64,
    fields: Vec<u8>,
    fields_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
}

/// One record, its fields unquoted.
pub(crate) struct Record<'a> {
    bytes: &'a [u8],
    fields: &'a [u8],
    ends: &'a [usize],
    line: u64,
    byte_offset: u64,
}

impl RecordSplitter {
    pub(crate) fn new(delimiter: u8, quote: u8) -> Self {
        Self {
            reader: ReaderBuilder::new().delimiter(delimiter).quote(quote).build(),
            pending: Vec::new(),
            start: 0,
            scanned: 0,
            base: 0,
            line: 1,
            fields: vec![0; 4096],
            fields_len: 0,
            ends: vec![0; 64],
            ends_len: 0,
        }
    }

    /// Gives the splitter the next bytes.
    pub(crate) fn feed(&mut self, chunk: &[u8]) {
        if self.start <= self.pending.len() {
            self.pending.drain(..self.start);
            self.base += self.start as u64;
            self.scanned -= self.start;
            self.start = 0;
        }
        self.pending.extend_from_slice(chunk);
    }

    /// The next record. Nothing means that more bytes are needed, or, once `at_end`, that there are no more.
    pub(crate) fn next(&mut self, at_end: bool) -> Result<Option<Record<'_>>, StageError> {
        self.start_record();
        loop {
            let input = self.pending.get(self.scanned..).unwrap_or_default();
            // To csv-core, no input means the end.
            if input.is_empty() && !at_end {
                return Ok(None);
            }
            let (result, read, written, ended) =
                self.reader.read_record(input, &mut self.fields[self.fields_len..], &mut self.ends[self.ends_len..]);
            self.scanned += read;
            self.fields_len += written;
            self.ends_len += ended;
            match result {
                ReadRecordResult::InputEmpty => {
                    self.check_size()?;
                    if !at_end {
                        return Ok(None);
                    }
                }
                ReadRecordResult::OutputFull => {
                    self.check_size()?;
                    self.fields.resize(self.fields.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(None),
            }
        }
        self.check_size()?;
        let mut begin = self.start;
        while begin < self.scanned && matches!(self.pending[begin], b'\r' | b'\n') {
            self.line += u64::from(self.pending[begin] == b'\n');
            begin += 1;
        }
        let bytes = &self.pending[begin..self.scanned];
        let (line, byte_offset) = (self.line, self.base + begin as u64);
        self.line += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.start = self.scanned;
        Ok(Some(Record {
            bytes,
            fields: &self.fields[..self.fields_len],
            ends: &self.ends[..self.ends_len],
            line,
            byte_offset,
        }))
    }

    fn start_record(&mut self) {
        // After a whole record `start` stands at its end; within one the fields so far must stay.
        if self.start == self.scanned {
            self.fields_len = 0;
            self.ends_len = 0;
        }
    }

    fn check_size(&self) -> Result<(), StageError> {
        let record_bytes = self.scanned - self.start;
        if record_bytes <= FIELD_BYTES_MAX {
            return Ok(());
        }
        let last_end = self.ends_len.checked_sub(1).map_or(0, |last| self.ends[last]);
        let field_bytes = self.ends[..self.ends_len]
            .iter()
            .scan(0, |before, end| Some(end - std::mem::replace(before, *end)))
            .max()
            .unwrap_or(0)
            .max(self.fields_len.saturating_sub(last_end));
        let what = if field_bytes > FIELD_BYTES_MAX {
            format!("a field of more than {} MiB", FIELD_BYTES_MAX >> 20)
        } else if record_bytes > RECORD_BYTES_MAX {
            format!("a record of more than {} MiB", RECORD_BYTES_MAX >> 20)
        } else {
            return Ok(());
        };
        Err(StageError::new(
            ErrorKind::UnreadableSource,
            format!(
                "the record on line {} (byte {}) has {what}; an unclosed quote is the usual cause",
                self.line,
                self.base + self.start as u64
            ),
        ))
    }
}

impl Record<'_> {
    /// The original bytes, without the line end.
    pub(crate) fn bytes(&self) -> &[u8] {
        let end = self.bytes.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
        &self.bytes[..end]
    }

    /// The line on which the record begins, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// The offset of the record's first byte in the object.
    pub(crate) fn byte_offset(&self) -> u64 {
        self.byte_offset
    }

    pub(crate) fn field_count(&self) -> usize {
        self.ends.len()
    }

    /// A field's bytes, unquoted.
    pub(crate) fn field(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.fields[start..self.ends[index]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (u64, u64, Vec<u8>, Vec<Vec<u8>>);

    fn split(input: &[u8], portion: usize) -> Vec<Row> {
        let mut splitter = RecordSplitter::new(b',', b'"');
        let mut rows = Vec::new();
        let mut collect = |splitter: &mut RecordSplitter, at_end| {
            while let Some(record) = splitter.next(at_end).expect("records") {
                let fields = (0..record.field_count()).map(|index| record.field(index).to_vec()).collect();
                rows.push((record.line(), record.byte_offset(), record.bytes().to_vec(), fields));
            }
        };
        for chunk in input.chunks(portion) {
            splitter.feed(chunk);
            collect(&mut splitter, false);
        }
        collect(&mut splitter, true);
        rows
    }

    #[test]
    fn any_portions_give_the_same_records() {
        let inputs: [&[u8]; 6] = [
            b"a,b\n1,2\n3,4\n",
            b"a,b\r\n1,\"x\r\ny\"\r\n\r\n3,4",
            b"a,\"say \"\"hi\"\"\"\n,\n\"\",\n",
            b"one\ntwo,three\nfour,,\n",
            b"\n\n\na,b\n",
            b"a,b\r1,2\r",
        ];
        for input in inputs {
            let whole = split(input, input.len());
            for portion in 1..input.len() {
                assert_eq!(split(input, portion), whole, "{:?} by {portion}", String::from_utf8_lossy(input));
            }
        }
    }

    #[test]
    fn records_know_their_place_and_their_bytes() {
        let input = b"a,b\r\n1,\"x\r\ny\"\r\n\r\n3,4";
        let rows = split(input, 5);
        let places: Vec<_> = rows.iter().map(|(line, offset, bytes, _)| (*line, *offset, bytes.as_slice())).collect();
        assert_eq!(places, [(1, 0, &b"a,b"[..]), (2, 5, b"1,\"x\r\ny\""), (5, 17, b"3,4")]);
        assert_eq!(rows[1].3, [b"1".to_vec(), b"x\r\ny".to_vec()]);
        for (_, offset, bytes, _) in &rows {
            let at = usize::try_from(*offset).expect("small");
            assert_eq!(&input[at..at + bytes.len()], bytes);
        }
    }

    #[test]
    fn a_field_without_end_is_refused_before_memory_is() {
        let mut splitter = RecordSplitter::new(b',', b'"');
        splitter.feed(b"a,b\n1,\"");
        assert!(splitter.next(false).expect("the header").is_some());
        let error = loop {
            splitter.feed(&[b'x'; 1 << 20]);
            match splitter.next(false) {
                Ok(record) => assert!(record.is_none()),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::UnreadableSource);
        assert!(error.report().starts_with("the record on line 2 (byte 4) has a field of more than 16 MiB"));
        assert!(splitter.pending.len() < 18 << 20);
    }
}
