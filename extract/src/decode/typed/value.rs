//! Single values as text.

use std::io::Write;

use arrow::{
    array::{Array, ArrowPrimitiveType, AsArray},
    datatypes::{
        DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DecimalType,
        Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
        Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
        TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
        UInt64Type,
    },
    util::display::{ArrayFormatter, FormatOptions},
};
use chrono::{DateTime, Datelike, NaiveDate, Timelike};
use stepwell_pipeline::spec::{BinaryEncoding, ColumnType};

/// Appends the text of a row's value, which is not null.
pub(super) type Writer<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

const DAY_SECONDS: i64 = 86_400;
const SECOND_NANOS: i64 = 1_000_000_000;

/// What writes the values of an array of scalars as text, for a column of a type or, without one, for JSON.
pub(super) fn writer<'a>(array: &'a dyn Array, target: Option<&ColumnType>) -> Writer<'a> {
    // Elsewhere the zeros at a decimal's end are part of what the source says.
    let trim = matches!(target, Some(ColumnType::Int(_) | ColumnType::Uint(_) | ColumnType::Decimal { .. }));
    match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            Box::new(move |row, out| out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }))
        }
        DataType::Int8 => primitive::<Int8Type>(array, integer),
        DataType::Int16 => primitive::<Int16Type>(array, integer),
        DataType::Int32 => primitive::<Int32Type>(array, integer),
        DataType::Int64 => primitive::<Int64Type>(array, integer),
        DataType::UInt8 => primitive::<UInt8Type>(array, integer),
        DataType::UInt16 => primitive::<UInt16Type>(array, integer),
        DataType::UInt32 => primitive::<UInt32Type>(array, integer),
        DataType::UInt64 => primitive::<UInt64Type>(array, integer),
        DataType::Float16 => primitive::<Float16Type>(array, |value, out| float32(value.to_f32(), out)),
        DataType::Float32 => primitive::<Float32Type>(array, float32),
        DataType::Float64 => primitive::<Float64Type>(array, float64),
        DataType::Decimal32(precision, scale) => decimal::<Decimal32Type>(array, *precision, *scale, trim),
        DataType::Decimal64(precision, scale) => decimal::<Decimal64Type>(array, *precision, *scale, trim),
        DataType::Decimal128(precision, scale) => decimal::<Decimal128Type>(array, *precision, *scale, trim),
        DataType::Decimal256(precision, scale) => decimal::<Decimal256Type>(array, *precision, *scale, trim),
        DataType::Time32(_) | DataType::Time64(_) => time_of_day(array),
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => instant(array, target),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Box::new(move |row, out| out.extend_from_slice(bytes_at(array, row)))
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            binary(array, target)
        }
        _ => other(array),
    }
}

/// The bytes of a string or binary value.
pub(super) fn bytes_at(array: &dyn Array, row: usize) -> &[u8] {
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).as_bytes(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).as_bytes(),
        DataType::Utf8View => array.as_string_view().value(row).as_bytes(),
        DataType::Binary => array.as_binary::<i32>().value(row),
        DataType::LargeBinary => array.as_binary::<i64>().value(row),
        DataType::BinaryView => array.as_binary_view().value(row),
        DataType::FixedSizeBinary(_) => array.as_fixed_size_binary().value(row),
        _ => &[],
    }
}

fn primitive<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    write: impl Fn(T::Native, &mut Vec<u8>) + 'a,
) -> Writer<'a> {
    let values = array.as_primitive::<T>();
    Box::new(move |row, out| write(values.value(row), out))
}

fn integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The shortest text that reads back as the same number; whole numbers as `3`.
fn float64(value: f64, out: &mut Vec<u8>) {
    let plain = value == 0.0 || !value.is_finite() || (1e-7..1e17).contains(&value.abs());
    let written = if plain { write!(out, "{value}") } else { write!(out, "{value:e}") };
    debug_assert!(written.is_ok());
}

fn float32(value: f32, out: &mut Vec<u8>) {
    let plain = value == 0.0 || !value.is_finite() || (1e-7..1e17).contains(&value.abs());
    let written = if plain { write!(out, "{value}") } else { write!(out, "{value:e}") };
    debug_assert!(written.is_ok());
}

fn decimal<T: DecimalType>(array: &dyn Array, precision: u8, scale: i8, trim: bool) -> Writer<'_> {
    primitive::<T>(array, move |value, out| {
        let text = T::format_decimal(value, precision, scale);
        let text = match trim && text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.'),
            false => text.as_str(),
        };
        out.extend_from_slice(text.as_bytes());
    })
}

fn time_of_day(array: &dyn Array) -> Writer<'_> {
    match array.data_type() {
        DataType::Time32(TimeUnit::Second) => {
            primitive::<Time32SecondType>(array, |value, out| time(i64::from(value) * SECOND_NANOS, out))
        }
        DataType::Time32(_) => {
            primitive::<Time32MillisecondType>(array, |value, out| time(i64::from(value) * 1_000_000, out))
        }
        DataType::Time64(TimeUnit::Nanosecond) => primitive::<Time64NanosecondType>(array, time),
        _ => primitive::<Time64MicrosecondType>(array, |value, out| time(value.saturating_mul(1000), out)),
    }
}

/// `10:00:00.5`, also beyond 24 hours, which no parser takes for a time of day.
fn time(nanos: i64, out: &mut Vec<u8>) {
    if nanos < 0 {
        out.push(b'-');
    }
    let (seconds, nanos) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    clock(seconds, nanos as u32, out);
}

fn clock(seconds: u64, nanos: u32, out: &mut Vec<u8>) {
    let written = match (nanos, nanos % 1000) {
        (0, _) => write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
        (_, 0) => {
            let (hours, minutes, micros) = (seconds / 3600, seconds / 60 % 60, nanos / 1000);
            write!(out, "{hours:02}:{minutes:02}:{:02}.{micros:06}", seconds % 60)
        }
        _ => write!(out, "{:02}:{:02}:{:02}.{nanos:09}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    };
    debug_assert!(written.is_ok());
}

fn instant<'a>(array: &'a dyn Array, target: Option<&ColumnType>) -> Writer<'a> {
    let form = Form {
        zoned: matches!(array.data_type(), DataType::Timestamp(_, Some(_))),
        day: match (array.data_type(), target) {
            (DataType::Date32, Some(ColumnType::Timestamp(_))) => Day::WithTime,
            (DataType::Date32, _) => Day::Alone,
            (DataType::Date64, None | Some(ColumnType::Date(_) | ColumnType::String))
            | (_, Some(ColumnType::Date(_))) => Day::AloneAtMidnight,
            _ => Day::WithTime,
        },
    };
    let at = move |seconds: i64, nanos: i64, out: &mut Vec<u8>| form.write(seconds, nanos, out);
    match array.data_type() {
        DataType::Date32 => primitive::<Date32Type>(array, move |days, out| at(i64::from(days) * DAY_SECONDS, 0, out)),
        DataType::Date64 => primitive::<Date64Type>(array, move |value, out| {
            at(value.div_euclid(1000), value.rem_euclid(1000) * 1_000_000, out);
        }),
        DataType::Timestamp(TimeUnit::Second, _) => {
            primitive::<TimestampSecondType>(array, move |value, out| at(value, 0, out))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            primitive::<TimestampMillisecondType>(array, move |value, out| {
                at(value.div_euclid(1000), value.rem_euclid(1000) * 1_000_000, out);
            })
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            primitive::<TimestampMicrosecondType>(array, move |value, out| {
                at(value.div_euclid(1_000_000), value.rem_euclid(1_000_000) * 1000, out);
            })
        }
        _ => primitive::<TimestampNanosecondType>(array, move |value, out| {
            at(value.div_euclid(SECOND_NANOS), value.rem_euclid(SECOND_NANOS), out);
        }),
    }
}

/// How a date or a timestamp is written.
#[derive(Clone, Copy)]
struct Form {
    zoned: bool,
    day: Day,
}

#[derive(Clone, Copy, PartialEq)]
enum Day {
    Alone,
    AloneAtMidnight,
    WithTime,
}

impl Form {
    fn write(self, seconds: i64, nanos: i64, out: &mut Vec<u8>) {
        let Some(at) = u32::try_from(nanos).ok().and_then(|nanos| DateTime::from_timestamp(seconds, nanos)) else {
            let written = write!(out, "{seconds} seconds since 1970-01-01");
            debug_assert!(written.is_ok());
            return;
        };
        let at = at.naive_utc();
        date(at.date(), out);
        let midnight = at.num_seconds_from_midnight() == 0 && at.nanosecond() == 0;
        if self.day == Day::Alone || (self.day == Day::AloneAtMidnight && midnight) {
            return;
        }
        out.push(b'T');
        clock(u64::from(at.num_seconds_from_midnight()), at.nanosecond(), out);
        if self.zoned {
            out.extend_from_slice(b"+00:00");
        }
    }
}

fn date(date: NaiveDate, out: &mut Vec<u8>) {
    let (year, month, day) = (date.year(), date.month(), date.day());
    let written = match (0..=9999).contains(&year) {
        true => write!(out, "{year:04}-{month:02}-{day:02}"),
        false => write!(out, "{year:+05}-{month:02}-{day:02}"),
    };
    debug_assert!(written.is_ok());
}

/// Bytes in the encoding that is declared for them, in JSON in hexadecimal; for other types than `binary` they are
/// taken for text, as old writers of Parquet mark strings as nothing else.
fn binary<'a>(array: &'a dyn Array, target: Option<&ColumnType>) -> Writer<'a> {
    let fixed = matches!(array.data_type(), DataType::FixedSizeBinary(_));
    match target {
        Some(ColumnType::Binary(BinaryEncoding::Base64)) => Box::new(move |row, out| base64(bytes_at(array, row), out)),
        None | Some(ColumnType::Binary(BinaryEncoding::Hex)) => {
            Box::new(move |row, out| hex(bytes_at(array, row), out))
        }
        Some(_) if fixed => Box::new(move |row, out| hex(bytes_at(array, row), out)),
        Some(_) => Box::new(move |row, out| out.extend_from_slice(bytes_at(array, row))),
    }
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend(bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]));
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, index| bits << 8 | usize::from(group.get(index).copied().unwrap_or(0)));
        let digits = [18, 12, 6, 0].map(|shift| DIGITS[bits >> shift & 63]);
        out.extend_from_slice(&digits[..=group.len()]);
        out.resize(out.len() + 3 - group.len(), b'=');
    }
}

/// Durations and intervals, as Arrow writes them.
fn other(array: &dyn Array) -> Writer<'_> {
    const OPTIONS: FormatOptions<'static> = FormatOptions::new();
    match ArrayFormatter::try_new(array, &OPTIONS) {
        Ok(formatter) => Box::new(move |row, out| {
            let written = write!(out, "{}", formatter.value(row));
            debug_assert!(written.is_ok());
        }),
        Err(_) => Box::new(|_, _| {}),
    }
}
