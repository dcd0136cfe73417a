//! Columns of text and of bytes.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray, StringArray},
    buffer::{Buffer, NullBuffer, OffsetBuffer},
    datatypes::{ByteArrayType, GenericBinaryType, GenericStringType},
};
use sha2::{Digest, Sha256};
use stepwell_pipeline::{reject::RejectCode, spec::Column};

use super::{
    cell::{Cell, Fields, Selection},
    coded::{CodedTexts, Coding},
    conditions::{Limit, Report},
    faults::Unfit,
    fixed::split_front,
    nulls::{Nulls, Reader},
    values::Values,
};

/// Byte strings, one behind the other.
#[derive(Debug, Default)]
pub(super) struct ByteStrings {
    /// Where each ends.
    ends: Vec<i32>,
    bytes: Vec<u8>,
    nulls: Nulls,
}

impl ByteStrings {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn clear(&mut self) {
        self.ends.clear();
        self.bytes.clear();
        self.nulls.clear();
    }

    /// Appends a text. Four loads and stores of 16 bytes take less time than to copy just as many bytes as there are, or
    /// to decide on fewer; what was copied too much is overwritten by the next.
    #[inline]
    pub(super) fn push(&mut self, cell: Cell<'_>) {
        let end = self.bytes.len() + cell.len();
        match (cell.len(), cell.chunk::<64>()) {
            (..=64, Some(window)) => self.bytes.extend_from_slice(window),
            _ => self.bytes.extend_from_slice(cell.text()),
        }
        self.bytes.truncate(end);
        self.ends.push(end as i32);
    }

    #[inline]
    pub(super) fn push_null(&mut self) {
        self.nulls.push(self.ends.len());
        self.ends.push(self.bytes.len() as i32);
    }

    /// Appends bytes that a function appends to a buffer; null, where it fails.
    pub(super) fn push_with<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let begin = self.bytes.len();
        let result = write(&mut self.bytes);
        if result.is_err() {
            self.bytes.truncate(begin);
            self.push_null();
        } else {
            self.ends.push(self.bytes.len() as i32);
        }
        result
    }

    pub(super) fn is_null(&self, place: usize) -> bool {
        self.nulls.contains(place)
    }

    fn range(&self, place: usize) -> std::ops::Range<usize> {
        let begin = if place == 0 { 0 } else { self.ends[place - 1] };
        begin as usize..self.ends[place] as usize
    }

    pub(super) fn get(&self, place: usize) -> &[u8] {
        &self.bytes[self.range(place)]
    }

    fn cell(&self, place: usize) -> Cell<'_> {
        let range = self.range(place);
        Cell::new(&self.bytes[range.start..], range.len())
    }

    pub(super) fn append(&mut self, block: &Self, selection: &Selection<'_>) {
        self.nulls.append(self.ends.len(), &block.nulls, selection);
        match selection {
            Selection::All(records) => (0..*records).for_each(|record| self.push(block.cell(record))),
            Selection::Some(records) => records.iter().for_each(|record| self.push(block.cell(*record as usize))),
        }
    }

    fn append_array<T: ByteArrayType<Offset = i32>>(&mut self, array: &arrow::array::GenericByteArray<T>) {
        self.nulls.append_array(self.ends.len(), array);
        for place in 0..array.len() {
            let value: &[u8] = array.value(place).as_ref();
            self.push(Cell::from(value));
        }
    }

    fn take(&mut self, count: usize) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        let nulls = self.nulls.take(count);
        let ends = split_front(&mut self.ends, count);
        let end = ends.last().copied().unwrap_or(0);
        self.ends.iter_mut().for_each(|later| *later -= end);
        let bytes = split_front(&mut self.bytes, end as usize);
        let mut offsets = Vec::with_capacity(count + 1);
        offsets.push(0);
        offsets.extend_from_slice(&ends);
        (OffsetBuffer::new(offsets.into()), Buffer::from_vec(bytes), nulls)
    }

    pub(super) fn take_strings(&mut self, count: usize) -> ArrayRef {
        Arc::new(self.take_string_array(count))
    }

    pub(super) fn take_string_array(&mut self, count: usize) -> StringArray {
        let (offsets, bytes, nulls) = self.take(count);
        StringArray::new(offsets, bytes, nulls)
    }

    pub(super) fn take_binary(&mut self, count: usize) -> ArrayRef {
        let (offsets, bytes, nulls) = self.take(count);
        Arc::new(BinaryArray::new(offsets, bytes, nulls))
    }

    pub(super) fn restore_strings(&mut self, array: &ArrayRef) -> Option<()> {
        let array: &arrow::array::GenericByteArray<GenericStringType<i32>> = array.as_string_opt::<i32>()?;
        self.append_array(array);
        Some(())
    }

    pub(super) fn restore_binary(&mut self, array: &ArrayRef) -> Option<()> {
        let array: &arrow::array::GenericByteArray<GenericBinaryType<i32>> = array.as_binary_opt::<i32>()?;
        self.append_array(array);
        Some(())
    }
}

/// A key of a byte string: its own bytes and length if they fit, else 127 bits of its SHA-256.
pub(super) fn key(text: &[u8]) -> u128 {
    const IS_DIGEST: u128 = 1 << 127;
    let mut bytes = [0; 16];
    if text.len() < bytes.len() {
        bytes[..text.len()].copy_from_slice(text);
        bytes[15] = text.len() as u8;
        return u128::from_le_bytes(bytes);
    }
    bytes.copy_from_slice(&Sha256::digest(text)[..16]);
    u128::from_le_bytes(bytes) | IS_DIGEST
}

/// Whether a text is UTF-8.
#[inline]
pub(super) fn check_utf8(text: &[u8]) -> Result<(), Unfit> {
    let error = if text.is_ascii() { None } else { std::str::from_utf8(text).err() };
    error.map_or(Ok(()), |error| Err(Unfit::NotUtf8(u32::try_from(error.valid_up_to()).unwrap_or(u32::MAX))))
}

/// The declared limits of byte strings, which are compared byte by byte; in UTF-8 that is the order of the code points.
struct Limits {
    allowed: Vec<Vec<u8>>,
    min: Option<Vec<u8>>,
    max: Option<Vec<u8>>,
}

impl Limits {
    fn is_allowed(&self, value: &[u8]) -> bool {
        self.allowed.is_empty() || self.allowed.binary_search_by(|allowed| allowed.as_slice().cmp(value)).is_ok()
    }

    fn exceeded(&self, value: &[u8]) -> Option<Limit> {
        if self.min.as_ref().is_some_and(|min| value < min.as_slice()) {
            return Some(Limit::Min);
        }
        self.max.as_ref().is_some_and(|max| value > max.as_slice()).then_some(Limit::Max)
    }

    /// The limits of a column, `decode` being what makes bytes of text.
    fn new(column: &Column, mut decode: impl FnMut(&str, &str) -> Option<Vec<u8>>, wrong: &mut Vec<String>) -> Self {
        let min = column.min.as_ref().and_then(|min| decode("min", min));
        let max = column.max.as_ref().and_then(|max| decode("max", max));
        let mut allowed: Vec<_> = column.allowed.iter().filter_map(|allowed| decode("enum", allowed)).collect();
        allowed.sort_unstable();
        if min.as_ref().zip(max.as_ref()).is_some_and(|(min, max)| min > max) {
            wrong.push("`min` is greater than `max`".into());
        }
        Self { allowed, min, max }
    }
}

/// A column of text. Nothing of a block is kept between its phases: the cells themselves are the values.
pub(super) struct Text {
    required: bool,
    default: Option<Vec<u8>>,
    limits: Limits,
    kept: CodedTexts,
}

impl Text {
    pub(super) fn new(column: &Column, wrong: &mut Vec<String>) -> Self {
        let limits = Limits::new(column, |_, text| Some(text.as_bytes().to_vec()), wrong);
        let default = column.default.as_ref().map(|default| default.as_bytes().to_vec());
        Self { required: column.required && default.is_none(), default, limits, kept: CodedTexts::default() }
    }

    #[inline(always)]
    fn value<'a, F: Fields>(&'a self, reader: &Reader, fields: &'a F, record: usize) -> Option<Cell<'a>> {
        let default = || self.default.as_ref().map(|default| Cell::from(default.as_slice()));
        reader.read(fields, record).or_else(default)
    }

    fn keep_all<F: Fields>(&mut self, reader: &Reader, fields: &F, records: impl Iterator<Item = usize>) {
        let Self { kept, default, .. } = self;
        for record in records {
            match (reader.read(fields, record), &*default) {
                (Some(cell), _) => kept.push(cell),
                (None, Some(default)) => kept.push(Cell::from(default.as_slice())),
                (None, None) => kept.push_null(),
            }
        }
    }
}

impl Values for Text {
    fn parse<F: Fields>(&mut self, reader: &Reader, fields: &F, report: &mut Report<'_>) {
        let is_ascii = fields.is_ascii();
        if is_ascii && !self.required {
            return;
        }
        for record in 0..fields.len() {
            match reader.read(fields, record) {
                Some(_) if is_ascii => {}
                Some(cell) => {
                    if let Err(unfit) = check_utf8(cell.text()) {
                        report.unfit(record, unfit);
                    }
                }
                None if self.required => report.missing(record),
                None => {}
            }
        }
    }

    fn check_allowed<F: Fields>(&self, reader: &Reader, fields: &F, report: &mut Report<'_>) {
        if self.limits.allowed.is_empty() {
            return;
        }
        for record in 0..fields.len() {
            if self.value(reader, fields, record).is_some_and(|cell| !self.limits.is_allowed(cell.text())) {
                report.beyond(record, RejectCode::NotAllowed, Limit::Allowed);
            }
        }
    }

    fn check_bounds<F: Fields>(&self, reader: &Reader, fields: &F, report: &mut Report<'_>) {
        if self.limits.min.is_none() && self.limits.max.is_none() {
            return;
        }
        for record in 0..fields.len() {
            let value = self.value(reader, fields, record);
            if let Some(limit) = value.and_then(|cell| self.limits.exceeded(cell.text())) {
                report.beyond(record, RejectCode::OutOfBounds, limit);
            }
        }
    }

    fn block_array<F: Fields>(&self, reader: &Reader, fields: &F) -> ArrayRef {
        let mut block = ByteStrings::default();
        for record in 0..fields.len() {
            match self.value(reader, fields, record).filter(|cell| check_utf8(cell.text()).is_ok()) {
                Some(cell) => block.push(cell),
                None => block.push_null(),
            }
        }
        block.take_strings(fields.len())
    }

    fn unique_key<F: Fields>(&self, reader: &Reader, fields: &F, record: usize) -> Option<u128> {
        self.value(reader, fields, record).map(|cell| key(cell.text()))
    }

    fn keep<F: Fields>(&mut self, reader: &Reader, fields: &F, selection: &Selection<'_>) {
        match selection {
            Selection::All(records) => self.keep_all(reader, fields, 0..*records),
            Selection::Some(records) => {
                self.keep_all(reader, fields, records.iter().map(|record| *record as usize));
            }
        }
    }

    fn len(&self) -> usize {
        self.kept.len()
    }

    fn take(&mut self, records: usize) -> ArrayRef {
        self.kept.take(records)
    }

    fn restore(&mut self, array: &ArrayRef) -> Option<()> {
        self.kept.restore(array.as_string_opt::<i32>()?);
        Some(())
    }

    fn coding(&self) -> Option<Coding> {
        Some(self.kept.coding())
    }

    fn resume(&mut self, coding: Coding) {
        self.kept.resume(coding);
    }
}

/// What makes bytes of a text, appending them.
pub(super) trait Decode {
    fn decode(&self, text: &[u8], bytes: &mut Vec<u8>) -> Result<(), Unfit>;
}

/// A column of bytes that are written as text.
pub(super) struct Bytes<D> {
    decoder: D,
    required: bool,
    default: Option<Vec<u8>>,
    limits: Limits,
    block: ByteStrings,
    kept: ByteStrings,
}

impl<D: Decode> Bytes<D> {
    pub(super) fn new(decoder: D, column: &Column, wrong: &mut Vec<String>) -> Self {
        let mut unfit = Vec::new();
        let mut decode = |key: &str, text: &str| {
            let mut bytes = Vec::new();
            let decoded = decoder.decode(text.as_bytes(), &mut bytes);
            let message = |fault: Unfit| format!("`{key}` `{text}`: {}", fault.message(&column.column_type));
            decoded.map_err(|fault| unfit.push(message(fault))).ok().map(|()| bytes)
        };
        let default = column.default.as_ref().and_then(|default| decode("default", default));
        let limits = Limits::new(column, decode, wrong);
        wrong.append(&mut unfit);
        Self {
            decoder,
            required: column.required && default.is_none(),
            default,
            limits,
            block: ByteStrings::default(),
            kept: ByteStrings::default(),
        }
    }

    fn check(&self, report: &mut Report<'_>, fault: impl Fn(&[u8]) -> Option<(RejectCode, Limit)>) {
        for record in (0..self.block.len()).filter(|record| !self.block.is_null(*record)) {
            if let Some((code, limit)) = fault(self.block.get(record)) {
                report.beyond(record, code, limit);
            }
        }
    }
}

impl<D: Decode> Values for Bytes<D> {
    fn parse<F: Fields>(&mut self, reader: &Reader, fields: &F, report: &mut Report<'_>) {
        let Self { decoder, block, .. } = self;
        block.clear();
        for record in 0..fields.len() {
            match (reader.read(fields, record), &self.default) {
                (Some(cell), _) => {
                    if let Err(unfit) = block.push_with(|bytes| decoder.decode(cell.text(), bytes)) {
                        report.unfit(record, unfit);
                    }
                }
                (None, Some(default)) => block.push(Cell::from(default.as_slice())),
                (None, None) => {
                    block.push_null();
                    if self.required {
                        report.missing(record);
                    }
                }
            }
        }
    }

    fn check_allowed<F: Fields>(&self, _: &Reader, _: &F, report: &mut Report<'_>) {
        if !self.limits.allowed.is_empty() {
            self.check(report, |value| {
                (!self.limits.is_allowed(value)).then_some((RejectCode::NotAllowed, Limit::Allowed))
            });
        }
    }

    fn check_bounds<F: Fields>(&self, _: &Reader, _: &F, report: &mut Report<'_>) {
        if self.limits.min.is_some() || self.limits.max.is_some() {
            self.check(report, |value| self.limits.exceeded(value).map(|limit| (RejectCode::OutOfBounds, limit)));
        }
    }

    fn block_array<F: Fields>(&self, _: &Reader, _: &F) -> ArrayRef {
        let mut copy = ByteStrings::default();
        copy.append(&self.block, &Selection::All(self.block.len()));
        copy.take_binary(self.block.len())
    }

    fn unique_key<F: Fields>(&self, _: &Reader, _: &F, record: usize) -> Option<u128> {
        (!self.block.is_null(record)).then(|| key(self.block.get(record)))
    }

    fn keep<F: Fields>(&mut self, _: &Reader, _: &F, selection: &Selection<'_>) {
        self.kept.append(&self.block, selection);
    }

    fn len(&self) -> usize {
        self.kept.len()
    }

    fn take(&mut self, records: usize) -> ArrayRef {
        self.kept.take_binary(records)
    }

    fn restore(&mut self, array: &ArrayRef) -> Option<()> {
        self.kept.restore_binary(array)
    }
}
