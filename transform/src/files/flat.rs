//! Writes flat columns as Parquet pages straight from Arrow arrays.
//!
//! The general writer of the `parquet` crate handles each value several times: it gathers indices, compares, copies,
//! hashes and packs one by one. Here a page's values are gathered by the array's type, and then compared and encoded
//! page by page. What is written (statistics, indexes, sizes of pages) is what that writer would write.

mod bits;
mod booleans;
mod bounds;
mod chunk;
mod compression;
mod delta;
mod dictionary;
mod levels;
mod numbers;
mod strings;
#[cfg(test)]
mod tests;

use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray},
    buffer::NullBuffer,
    datatypes::*,
};
use parquet::{
    basic::{Compression, Encoding, Type},
    errors::{ParquetError, Result},
    file::properties::WriterProperties,
    schema::types::ColumnDescPtr,
};

use self::{
    booleans::Booleans,
    bounds::{Bound, Bounds},
    chunk::ChunkWriter,
    levels::Levels,
    numbers::{Numbers, Order},
    strings::Strings,
};
pub(super) use self::{
    chunk::FlatChunk,
    compression::{Compressor, Compressors},
};
use super::pages::ColumnPages;

/// A page ends at so many rows, as with most writers: readers skip whole pages.
const PAGE_ROWS_MAX: usize = 20_000;
/// A page of strings has at most so many bytes, unless one string has more.
const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// A dictionary has at most about so many bytes.
const DICTIONARY_BYTES_MAX: usize = 1024 * 1024;

/// What is known of a page whose values are written.
struct PageValues {
    encoding: Encoding,
    bounds: Option<Bounds>,
    /// The bytes of the page's strings, if it has strings.
    string_bytes: Option<i64>,
}

/// Writes one column of a row group.
pub(super) struct FlatWriter {
    is_nullable: bool,
    levels: Levels,
    values: Values,
    chunk: ChunkWriter,
}

enum Values {
    Boolean(Booleans),
    Int32(Numbers<i32>),
    Int64(Numbers<i64>),
    Int128(Numbers<i128>),
    Strings(Strings),
}

impl FlatWriter {
    /// A writer for columns of this type, if it is one of those that are written here.
    pub(super) fn new(
        data_type: &DataType,
        column: &ColumnDescPtr,
        properties: &WriterProperties,
        pages: ColumnPages,
    ) -> Option<Self> {
        let path = column.path();
        if column.max_rep_level() > 0 || column.max_def_level() > 1 || path.parts().len() > 1 {
            return None;
        }
        if properties.bloom_filter_properties(path).is_some() {
            return None;
        }
        let Compression::ZSTD(level) = properties.compression(path) else { return None };
        let has_dictionary = properties.dictionary_enabled(path);
        let order = order_of(data_type);
        let signed = [Bound::Int32(0), Bound::Int64(0)];
        let unsigned = [Bound::UInt32(0), Bound::UInt64(0)];
        let [of_32, of_64] = if order == Order::Unsigned { unsigned } else { signed };
        let delta = Encoding::DELTA_BINARY_PACKED;
        let (values, kind) = match column.physical_type() {
            Type::BOOLEAN if *data_type == DataType::Boolean => {
                (Values::Boolean(Booleans::new()), Bound::Boolean(false))
            }
            Type::INT32 if is_int32(data_type) => (Values::Int32(Numbers::new(order, 4, has_dictionary, delta)), of_32),
            Type::INT64 if is_int64(data_type) => (Values::Int64(Numbers::new(order, 8, has_dictionary, delta)), of_64),
            Type::FLOAT if *data_type == DataType::Float32 => {
                (Values::Int32(Numbers::new(order, 4, has_dictionary, Encoding::PLAIN)), Bound::Float(0.0))
            }
            Type::DOUBLE if *data_type == DataType::Float64 => {
                (Values::Int64(Numbers::new(order, 8, has_dictionary, Encoding::PLAIN)), Bound::Double(0.0))
            }
            Type::FIXED_LEN_BYTE_ARRAY if matches!(data_type, DataType::Decimal128(..)) => {
                let width = usize::try_from(column.type_length()).ok().filter(|width| (1..=16).contains(width))?;
                let numbers = Numbers::new(order, width, has_dictionary, Encoding::PLAIN);
                (Values::Int128(numbers), Bound::Decimal(0, width))
            }
            Type::BYTE_ARRAY if strings::is_strings(data_type) => {
                let is_text = strings::is_text(data_type);
                let strings = Strings::new(is_text, has_dictionary, Encoding::DELTA_LENGTH_BYTE_ARRAY);
                (Values::Strings(strings), if is_text { Bound::Text(Vec::new()) } else { Bound::Bytes(Vec::new()) })
            }
            _ => return None,
        };
        Some(Self {
            is_nullable: column.max_def_level() > 0,
            levels: Levels::default(),
            values,
            chunk: ChunkWriter::new(column.clone(), kind, level.compression_level(), pages),
        })
    }

    /// About how many bytes the chunk will have.
    pub(super) fn bytes(&self) -> usize {
        let page_bytes = self.chunk.bytes_of(self.levels.rows()).unwrap_or_else(|| self.values.page_bytes());
        self.chunk.bytes() + self.values.dictionary_bytes() + page_bytes
    }

    pub(super) fn write(&mut self, array: &ArrayRef, compressor: &mut Compressor) -> Result<()> {
        let nulls = if self.is_nullable { array.logical_nulls() } else { None };
        let source = if let Values::Strings(_) = self.values { strings::source(array) } else { None };
        let mut start = 0;
        while start < array.len() {
            let mut rows = (array.len() - start).min(PAGE_ROWS_MAX - self.levels.rows());
            match (&mut self.values, &source) {
                (Values::Strings(strings), Some(source)) => {
                    rows = strings.room(&**source, start, rows);
                    each_valid(nulls.as_ref(), start, rows, |from, to| strings.push(&**source, from, to));
                }
                (Values::Boolean(booleans), _) => {
                    let values = array.as_boolean().values();
                    each_valid(nulls.as_ref(), start, rows, |from, to| booleans.push(values, from, to));
                }
                (Values::Int32(numbers), _) => push_32(array, nulls.as_ref(), start, rows, &mut numbers.values)?,
                (Values::Int64(numbers), _) => push_64(array, nulls.as_ref(), start, rows, &mut numbers.values)?,
                (Values::Int128(numbers), _) => {
                    push::<Decimal128Type, _>(array, nulls.as_ref(), start, rows, &mut numbers.values, |value| value);
                }
                (Values::Strings(_), None) => return Err(unexpected(array)),
            }
            self.levels.push(nulls.as_ref(), start, rows);
            start += rows;
            if rows == 0 || self.levels.rows() >= PAGE_ROWS_MAX || self.values.is_full() {
                self.end_page(compressor)?;
            }
        }
        Ok(())
    }

    fn end_page(&mut self, compressor: &mut Compressor) -> Result<()> {
        let (rows, nulls) = (self.levels.rows(), self.levels.nulls());
        if rows == 0 {
            return Ok(());
        }
        compressor.body.clear();
        if self.is_nullable {
            self.levels.put_page(&mut compressor.body);
        } else {
            self.levels = Levels::default();
        }
        let values = self.values.put_page(&mut compressor.body);
        self.chunk.put_page(compressor, rows, nulls, values)
    }

    /// Ends the column's chunk.
    pub(super) fn close(mut self, compressor: &mut Compressor) -> Result<FlatChunk> {
        self.end_page(compressor)?;
        compressor.body.clear();
        let dictionary = self.values.put_dictionary(&mut compressor.body);
        self.chunk.finish(compressor, dictionary)
    }
}

impl Values {
    fn page_bytes(&self) -> usize {
        match self {
            Self::Boolean(values) => values.page_bytes(),
            Self::Int32(values) => values.page_bytes(),
            Self::Int64(values) => values.page_bytes(),
            Self::Int128(values) => values.page_bytes(),
            Self::Strings(values) => values.page_bytes(),
        }
    }

    fn dictionary_bytes(&self) -> usize {
        match self {
            Self::Boolean(_) => 0,
            Self::Int32(values) => values.dictionary_bytes(),
            Self::Int64(values) => values.dictionary_bytes(),
            Self::Int128(values) => values.dictionary_bytes(),
            Self::Strings(values) => values.dictionary_bytes(),
        }
    }

    /// Whether the page must end, however many rows it has.
    fn is_full(&self) -> bool {
        if let Self::Strings(strings) = self { strings.is_full() } else { false }
    }

    fn put_page(&mut self, body: &mut Vec<u8>) -> PageValues {
        match self {
            Self::Boolean(values) => values.put_page(body),
            Self::Int32(values) => values.put_page(body),
            Self::Int64(values) => values.put_page(body),
            Self::Int128(values) => values.put_page(body),
            Self::Strings(values) => values.put_page(body),
        }
    }

    fn put_dictionary(&self, body: &mut Vec<u8>) -> Option<usize> {
        match self {
            Self::Boolean(_) => None,
            Self::Int32(values) => values.put_dictionary(body),
            Self::Int64(values) => values.put_dictionary(body),
            Self::Int128(values) => values.put_dictionary(body),
            Self::Strings(values) => values.put_dictionary(body),
        }
    }
}

fn order_of(data_type: &DataType) -> Order {
    match data_type {
        DataType::Float32 | DataType::Float64 => Order::Float,
        other if other.is_unsigned_integer() => Order::Unsigned,
        _ => Order::Signed,
    }
}

fn is_int32(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(
        data_type,
        Int8 | Int16
            | Int32
            | UInt8
            | UInt16
            | UInt32
            | Date32
            | Time32(_)
            | Decimal32(..)
            | Decimal64(..)
            | Decimal128(..)
    )
}

fn is_int64(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(data_type, Int64 | UInt64 | Time64(_) | Timestamp(..) | Decimal64(..) | Decimal128(..))
}

/// Gathers what Parquet stores as 32 bits. The `as` are exact: of decimals by their precision, of the rest by bits.
fn push_32(array: &ArrayRef, nulls: Option<&NullBuffer>, start: usize, rows: usize, into: &mut Vec<i32>) -> Result<()> {
    macro_rules! of {
        ($as:ty, $convert:expr) => {
            push::<$as, i32>(array, nulls, start, rows, into, $convert)
        };
    }
    match array.data_type() {
        DataType::Int8 => of!(Int8Type, i32::from),
        DataType::Int16 => of!(Int16Type, i32::from),
        DataType::Int32 => of!(Int32Type, |value| value),
        DataType::UInt8 => of!(UInt8Type, i32::from),
        DataType::UInt16 => of!(UInt16Type, i32::from),
        DataType::UInt32 => of!(UInt32Type, u32::cast_signed),
        DataType::Date32 => of!(Date32Type, |value| value),
        DataType::Time32(TimeUnit::Second) => of!(Time32SecondType, |value| value),
        DataType::Time32(_) => of!(Time32MillisecondType, |value| value),
        DataType::Decimal32(..) => of!(Decimal32Type, |value| value),
        DataType::Decimal64(..) => of!(Decimal64Type, |value| value as i32),
        DataType::Decimal128(..) => of!(Decimal128Type, |value| value as i32),
        DataType::Float32 => of!(Float32Type, |value| value.to_bits().cast_signed()),
        _ => return Err(unexpected(array)),
    }
    Ok(())
}

/// The same of 64 bits.
fn push_64(array: &ArrayRef, nulls: Option<&NullBuffer>, start: usize, rows: usize, into: &mut Vec<i64>) -> Result<()> {
    macro_rules! of {
        ($as:ty, $convert:expr) => {
            push::<$as, i64>(array, nulls, start, rows, into, $convert)
        };
    }
    match array.data_type() {
        DataType::Int64 => of!(Int64Type, |value| value),
        DataType::UInt64 => of!(UInt64Type, u64::cast_signed),
        DataType::Time64(TimeUnit::Microsecond) => of!(Time64MicrosecondType, |value| value),
        DataType::Time64(_) => of!(Time64NanosecondType, |value| value),
        DataType::Timestamp(TimeUnit::Second, _) => of!(TimestampSecondType, |value| value),
        DataType::Timestamp(TimeUnit::Millisecond, _) => of!(TimestampMillisecondType, |value| value),
        DataType::Timestamp(TimeUnit::Microsecond, _) => of!(TimestampMicrosecondType, |value| value),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => of!(TimestampNanosecondType, |value| value),
        DataType::Decimal64(..) => of!(Decimal64Type, |value| value),
        DataType::Decimal128(..) => of!(Decimal128Type, |value| value as i64),
        DataType::Float64 => of!(Float64Type, |value| value.to_bits().cast_signed()),
        _ => return Err(unexpected(array)),
    }
    Ok(())
}

/// Gathers the values of some rows that are not null.
fn push<A: ArrowPrimitiveType, T>(
    array: &ArrayRef,
    nulls: Option<&NullBuffer>,
    start: usize,
    rows: usize,
    into: &mut Vec<T>,
    convert: impl Fn(A::Native) -> T,
) {
    let values = array.as_primitive::<A>().values();
    each_valid(nulls, start, rows, |from, to| into.extend(values[from..to].iter().map(|value| convert(*value))));
}

/// Calls for each range of rows that are not null.
fn each_valid(nulls: Option<&NullBuffer>, start: usize, rows: usize, mut call: impl FnMut(usize, usize)) {
    match nulls.map(|nulls| nulls.slice(start, rows)).filter(|nulls| nulls.null_count() > 0) {
        Some(nulls) => nulls.valid_slices().for_each(|(from, to)| call(start + from, start + to)),
        None => call(start, start + rows),
    }
}

fn unexpected(array: &ArrayRef) -> ParquetError {
    ParquetError::General(format!("a column has an array of {} amid others", array.data_type()))
}
