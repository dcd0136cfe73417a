//! Typed columns: what a cell's text means, whether it fits, and the values of accepted records.
//!
//! A block of records is parsed column by column, in two phases: first every column parses its cells and says which
//! records are bad, then each keeps the values of the good ones. The type is dispatched once per column and block.

mod binary;
mod cell;
mod civil;
mod coded;
mod conditions;
mod decimal;
mod dispatch;
mod faults;
mod fixed;
mod json;
mod nested;
mod nulls;
mod number;
mod pattern;
mod pii;
mod regular;
mod temporal;
#[cfg(test)]
mod tests;
mod texts;
mod values;
mod zone;

use arrow::{array::ArrayRef, datatypes as types};
use stepwell_pipeline::{
    ErrorKind, StageError,
    spec::{BinaryEncoding, Column},
    stage::HashKey,
};

pub(crate) use self::{
    cell::{Fields, Selection},
    coded::Coding,
    faults::Faults,
    pii::keyed,
    regular::RegularCells,
};
use self::{
    conditions::{Report, TextConditions},
    decimal::{NarrowDecimalParser, WideDecimalParser},
    dispatch::with_parser,
    fixed::Fixed,
    nested::Nested,
    nulls::Reader,
    number::{BooleanParser, FloatParser, IntegerParser},
    pii::Masked,
    temporal::{DateParser, EpochParser, TimeParser, TimestampParser},
    texts::{Bytes, Text},
    values::Values,
};

/// One declared column: parses its cells, checks its conditions, and gathers the values of accepted records.
pub(crate) struct ColumnParser {
    index: usize,
    column: Column,
    reader: Reader,
    conditions: TextConditions,
    typed: Typed,
    masked: Option<Masked>,
}

macro_rules! typed {
    ($($name:ident($held:ty),)+) => {
        /// The values of a column, by type.
        enum Typed { $($name(Box<$held>),)+ }

        $(
            impl From<$held> for Typed {
                fn from(values: $held) -> Self {
                    Self::$name(Box::new(values))
                }
            }
        )+

    };
}

/// Evaluates an expression with the values of whichever type.
macro_rules! each {
    ($typed:expr, $values:ident => $then:expr) => {
        each!(@ $typed, $values => $then; Int8 Int16 Int32 Int64 Uint8 Uint16 Uint32 Uint64 Float32 Float64 NarrowDecimal
            WideDecimal Boolean Date Time Timestamp Epoch Text Bytes Nested)
    };
    (@ $typed:expr, $values:ident => $then:expr; $($name:ident)+) => {
        match $typed { $(Typed::$name($values) => $then,)+ }
    };
}

typed! {
    Int8(Fixed<IntegerParser<types::Int8Type>>),
    Int16(Fixed<IntegerParser<types::Int16Type>>),
    Int32(Fixed<IntegerParser<types::Int32Type>>),
    Int64(Fixed<IntegerParser<types::Int64Type>>),
    Uint8(Fixed<IntegerParser<types::UInt8Type>>),
    Uint16(Fixed<IntegerParser<types::UInt16Type>>),
    Uint32(Fixed<IntegerParser<types::UInt32Type>>),
    Uint64(Fixed<IntegerParser<types::UInt64Type>>),
    Float32(Fixed<FloatParser<types::Float32Type>>),
    Float64(Fixed<FloatParser<types::Float64Type>>),
    NarrowDecimal(Fixed<NarrowDecimalParser>),
    WideDecimal(Fixed<WideDecimalParser>),
    Boolean(Fixed<BooleanParser>),
    Date(Fixed<DateParser>),
    Time(Fixed<TimeParser>),
    Timestamp(Fixed<TimestampParser>),
    Epoch(Fixed<EpochParser>),
    Text(Text),
    Bytes(Bytes<BinaryEncoding>),
    Nested(Nested),
}

impl Typed {
    fn new(column: &Column, wrong: &mut Vec<String>) -> Result<Self, String> {
        Ok(
            with_parser!(&column.column_type, column.column_type.staged_type(), parser => Fixed::new(parser, column, wrong).into(), _ => {
                match &column.column_type {
                    ColumnType::Binary(encoding) => Bytes::new(*encoding, column, wrong).into(),
                    ColumnType::List(_) | ColumnType::Struct(_) => Nested::new(column, wrong)?.into(),
                    _ => Text::new(column, wrong).into(),
                }
            }),
        )
    }
}

/// What is wrong with a column's default, conditions and format, each as a message that begins with the key at fault.
pub(crate) fn check(column: &Column) -> Vec<String> {
    build(column).map_or_else(|wrong| wrong, |_| Vec::new())
}

fn build(column: &Column) -> Result<(Typed, TextConditions), Vec<String>> {
    let mut wrong = Vec::new();
    let conditions = TextConditions::new(column, &mut wrong);
    let typed = Typed::new(column, &mut wrong).map_err(|message| wrong.push(message));
    match typed {
        Ok(typed) if wrong.is_empty() => Ok((typed, conditions)),
        _ => Err(wrong),
    }
}

impl ColumnParser {
    /// A parser of the column of that index, which its faults bear. `hash_key` is needed for `pii: hash`.
    ///
    /// # Errors
    /// `InvalidSpec`, if what the column declares does not fit its type; `InvalidInput`, if a hash key is missing.
    pub(crate) fn new(index: usize, column: &Column, hash_key: Option<&HashKey>) -> Result<Self, StageError> {
        let (typed, conditions) = build(column).map_err(|wrong| {
            StageError::new(ErrorKind::InvalidSpec, format!("column `{}`: {}", column.name, wrong.join("; ")))
        })?;
        let masked = Masked::new(column, hash_key)?;
        Ok(Self { index, column: column.clone(), reader: Reader::new(column), conditions, typed, masked })
    }

    /// Phase 1: parses the cells of a block and notes the first fault of each, in the order type and presence, `enum`,
    /// `pattern`, `min` and `max`, lengths. Null, for which the default stands, is subject to no condition.
    pub(crate) fn parse<F: Fields>(&mut self, fields: &F, faults: &mut Faults) {
        match fields.regular() {
            Some(regular) => self.parse_cells(&regular, faults),
            None => self.parse_cells(fields, faults),
        }
    }

    fn parse_cells<F: Fields>(&mut self, fields: &F, faults: &mut Faults) {
        let Self { index, column, reader, conditions, typed, .. } = self;
        let mut report = Report { faults, index: *index, column };
        each!(typed, values => {
            values.parse(reader, fields, &mut report);
            values.check_allowed(reader, fields, &mut report);
            conditions.check_pattern(reader, fields, &mut report);
            values.check_bounds(reader, fields, &mut report);
        });
        conditions.check_lengths(reader, fields, &mut report);
    }

    /// The values parsed in phase 1, one entry per record of the block, before anything is done to personal data; those
    /// that do not fit are null. For `check:` conditions.
    pub(crate) fn block_array<F: Fields>(&self, fields: &F) -> ArrayRef {
        each!(&self.typed, values => values.block_array(&self.reader, fields))
    }

    /// A key of the value of a record of the block, `None` for null. Different values have different keys; those of texts
    /// of 16 bytes and more are 127 bits of their SHA-256. Lists and structs count as different if they are written differently.
    pub(crate) fn unique_key<F: Fields>(&self, fields: &F, record: usize) -> Option<u128> {
        each!(&self.typed, values => values.unique_key(&self.reader, fields, record))
    }

    /// Phase 2: keeps the values of the selected records, none of which is bad; of personal data what stands for it.
    /// Of columns with `pii: drop` nothing is kept.
    pub(crate) fn keep<F: Fields>(&mut self, fields: &F, selection: &Selection<'_>) {
        match fields.regular() {
            Some(regular) => self.keep_cells(&regular, selection),
            None => self.keep_cells(fields, selection),
        }
    }

    fn keep_cells<F: Fields>(&mut self, fields: &F, selection: &Selection<'_>) {
        match &mut self.masked {
            Some(masked) => masked.keep(&self.reader, fields, selection),
            None => each!(&mut self.typed, values => values.keep(&self.reader, fields, selection)),
        }
    }

    /// How many values are kept.
    pub(crate) fn len(&self) -> usize {
        self.masked.as_ref().map_or_else(|| each!(&self.typed, values => values.len()), Masked::len)
    }

    /// The first `records` kept values, of which there are as many; the rest stays. Of the column's staged type, or a
    /// dictionary of it; of columns with `pii: drop`, which are not staged, nulls without a type.
    pub(crate) fn take(&mut self, records: usize) -> ArrayRef {
        match &mut self.masked {
            Some(masked) => masked.take(records),
            None => each!(&mut self.typed, values => values.take(records)),
        }
    }

    /// How texts are coded behind those taken, where they are texts that are kept as they are.
    pub(crate) fn coding(&self) -> Option<Coding> {
        if self.masked.is_some() { None } else { each!(&self.typed, values => values.coding()) }
    }

    /// Codes texts as the column did of which [`Self::coding`] was asked. For columns that keep nothing yet.
    pub(crate) fn resume(&mut self, coding: Option<Coding>) {
        if let Some(coding) = coding {
            each!(&mut self.typed, values => values.resume(coding));
        }
    }

    /// Keeps what [`Self::take`] gave, texts as plain strings, behind what is kept already.
    ///
    /// # Errors
    /// `Internal`, if the array is not of the column's staged type.
    pub(crate) fn restore(&mut self, array: &ArrayRef) -> Result<(), StageError> {
        let restored = match &mut self.masked {
            Some(masked) => masked.restore(array),
            None => each!(&mut self.typed, values => values.restore(array)),
        };
        restored.ok_or_else(|| {
            let message = format!("the checkpoint has {} in column `{}`", array.data_type(), self.column.name);
            StageError::new(ErrorKind::Internal, message)
        })
    }
}
