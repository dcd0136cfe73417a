//! Turns the bytes of a field into a typed value.

use std::{num::IntErrorKind, str};

use chrono::{
    DateTime, NaiveDate, NaiveDateTime,
    format::{Item, Parsed, StrftimeItems},
};
use stepwell_pipeline::{reject::RejectCode, spec::ColumnType};

/// A typed value.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) enum Cell<'a> {
    Int(i64),
    Uint(u64),
    Float(f64),
    /// Unscaled.
    Decimal(i128),
    Boolean(bool),
    String(&'a str),
    /// Days since 1970.
    Date(i32),
    /// Microseconds since 1970.
    Timestamp(i64),
}

type Unfit = (RejectCode, String);

/// Parses the fields of one column.
pub(crate) struct FieldParser {
    column_type: ColumnType,
    /// The patterns of a date or timestamp, tried in order.
    patterns: Vec<Vec<Item<'static>>>,
    has_offset: bool,
}

impl FieldParser {
    pub(crate) fn new(column_type: &ColumnType) -> Self {
        let format = match column_type {
            ColumnType::Date(format) => format.as_str(),
            ColumnType::Timestamp(format) => format.pattern.as_str(),
            _ => "",
        };
        // ISO 8601 as people write it has a space as often as a T.
        let spaced = (format == ColumnType::ISO_TIMESTAMP).then(|| format.replace('T', " "));
        let patterns = [Some(format.to_owned()), spaced]
            .into_iter()
            .flatten()
            .filter_map(|format| StrftimeItems::new(&format).parse_to_owned().ok())
            .collect();
        let has_offset = ["%z", "%:z", "%::z", "%:::z", "%#z", "%+"].iter().any(|item| format.contains(item));
        Self { column_type: column_type.clone(), patterns, has_offset }
    }

    /// The value of a field that is not null.
    pub(crate) fn parse<'a>(&self, field: &'a [u8]) -> Result<Cell<'a>, Unfit> {
        let text = str::from_utf8(field).map_err(|error| {
            let at = error.valid_up_to() + 1;
            (RejectCode::InvalidEncoding, format!("byte {at} of the field is not UTF-8"))
        })?;
        match self.column_type {
            ColumnType::Int(bits) => self.int(text, bits),
            ColumnType::Uint(bits) => self.uint(text, bits),
            ColumnType::Float(bits) => self.float(text, bits),
            ColumnType::Decimal { precision, scale } => self.decimal(text, precision, scale),
            ColumnType::Boolean(_) => match text {
                "true" | "TRUE" | "True" | "t" | "T" | "1" => Ok(Cell::Boolean(true)),
                "false" | "FALSE" | "False" | "f" | "F" | "0" => Ok(Cell::Boolean(false)),
                _ => Err(self.invalid()),
            },
            ColumnType::String => Ok(Cell::String(text)),
            ColumnType::Binary(_) | ColumnType::Time(_) | ColumnType::List(_) | ColumnType::Struct(_) => {
                Err(self.invalid())
            }
            ColumnType::Date(_) => self.date(text),
            ColumnType::Timestamp(_) => self.timestamp(text),
        }
    }

    fn invalid(&self) -> Unfit {
        (RejectCode::InvalidValue, format!("the value is no {}", self.column_type))
    }

    fn out_of_range(&self) -> Unfit {
        (RejectCode::OutOfRange, format!("the value is beyond {}", self.column_type))
    }

    fn int(&self, text: &str, bits: u8) -> Result<Cell<'static>, Unfit> {
        let value: i64 = text.parse().map_err(|error: std::num::ParseIntError| self.unfit(error.kind()))?;
        let bound = i64::MAX >> (64 - bits);
        if value > bound || value < -bound - 1 { Err(self.out_of_range()) } else { Ok(Cell::Int(value)) }
    }

    fn uint(&self, text: &str, bits: u8) -> Result<Cell<'static>, Unfit> {
        if text.starts_with('-') && text.parse::<i64>().is_ok_and(|value| value < 0) {
            return Err(self.out_of_range());
        }
        let value: u64 = text.parse().map_err(|error: std::num::ParseIntError| self.unfit(error.kind()))?;
        if value > u64::MAX >> (64 - bits) { Err(self.out_of_range()) } else { Ok(Cell::Uint(value)) }
    }

    fn unfit(&self, kind: &IntErrorKind) -> Unfit {
        match kind {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => self.out_of_range(),
            _ => self.invalid(),
        }
    }

    fn float(&self, text: &str, bits: u8) -> Result<Cell<'static>, Unfit> {
        let value: f64 = fast_float2::parse(text).map_err(|_| self.invalid())?;
        // A literal "inf" is a value; a number too large for the type is not.
        let written_infinite = text.trim_start_matches(['+', '-']).starts_with(['i', 'I']);
        let held = if bits == 32 { f64::from(value as f32) } else { value };
        if held.is_infinite() && !written_infinite { Err(self.out_of_range()) } else { Ok(Cell::Float(value)) }
    }

    fn decimal(&self, text: &str, precision: u8, scale: u8) -> Result<Cell<'static>, Unfit> {
        let (negative, digits) = match text.as_bytes() {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] | digits => (false, digits),
        };
        let point = digits.iter().position(|byte| *byte == b'.');
        let (whole, fraction) = match point {
            Some(point) => (&digits[..point], &digits[point + 1..]),
            None => (digits, &[][..]),
        };
        if whole.is_empty() && fraction.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
            return Err(self.invalid());
        }
        let scale = usize::from(scale);
        if fraction.iter().skip(scale).any(|digit| *digit != b'0') {
            return Err((
                RejectCode::OutOfRange,
                format!("the value has more than the {scale} digits after the point of {}", self.column_type),
            ));
        }
        let padded = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(scale);
        let mut unscaled: i128 = 0;
        for digit in whole.iter().copied().chain(padded) {
            unscaled = unscaled
                .checked_mul(10)
                .and_then(|value| value.checked_add(i128::from(digit - b'0')))
                .ok_or_else(|| self.out_of_range())?;
        }
        if unscaled >= 10_i128.pow(u32::from(precision)) {
            return Err(self.out_of_range());
        }
        Ok(Cell::Decimal(if negative { -unscaled } else { unscaled }))
    }

    fn date(&self, text: &str) -> Result<Cell<'static>, Unfit> {
        let parsed = self.parsed(text).ok_or_else(|| self.mismatch())?;
        let date = parsed.to_naive_date().map_err(|_| self.mismatch())?;
        let days = date.signed_duration_since(NaiveDate::default()).num_days();
        i32::try_from(days).map(Cell::Date).map_err(|_| self.out_of_range())
    }

    fn timestamp(&self, text: &str) -> Result<Cell<'static>, Unfit> {
        let parsed = self.parsed(text).ok_or_else(|| self.mismatch())?;
        let instant: NaiveDateTime = if self.has_offset {
            parsed.to_datetime().as_ref().map(DateTime::naive_utc).map_err(|_| self.mismatch())?
        } else {
            parsed.to_naive_datetime_with_offset(0).map_err(|_| self.mismatch())?
        };
        Ok(Cell::Timestamp(instant.and_utc().timestamp_micros()))
    }

    fn parsed(&self, text: &str) -> Option<Parsed> {
        self.patterns.iter().find_map(|pattern| {
            let mut parsed = Parsed::new();
            chrono::format::parse(&mut parsed, text, pattern.iter()).ok().map(|()| parsed)
        })
    }

    fn mismatch(&self) -> Unfit {
        let format = match &self.column_type {
            ColumnType::Date(format) => format,
            ColumnType::Timestamp(format) => &format.pattern,
            _ => return self.invalid(),
        };
        (RejectCode::InvalidValue, format!("the value is no {} of the format {format}", self.column_type))
    }
}

/// The beginning of a field, as text for people.
pub(crate) fn excerpt(field: &[u8]) -> String {
    const CHARS_MAX: usize = 200;
    let text = String::from_utf8_lossy(&field[..field.len().min(4 * CHARS_MAX)]);
    text.chars().take(CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use RejectCode::{InvalidEncoding, InvalidValue, OutOfRange};

    use stepwell_pipeline::spec::TimestampFormat;

    use super::*;

    fn parse<'a>(column_type: ColumnType, field: &'a (impl AsRef<[u8]> + ?Sized)) -> Result<Cell<'a>, RejectCode> {
        FieldParser::new(&column_type).parse(field.as_ref()).map_err(|(code, _)| code)
    }

    #[test]
    fn integers_keep_to_their_bits() {
        for (bits, least, greatest) in [(8, -128, 127), (16, -32768, 32767), (64, i64::MIN, i64::MAX)] {
            for value in [least, -1, 0, greatest] {
                assert_eq!(parse(ColumnType::Int(bits), &value.to_string()), Ok(Cell::Int(value)));
            }
            for value in [i128::from(least) - 1, i128::from(greatest) + 1] {
                assert_eq!(parse(ColumnType::Int(bits), &value.to_string()), Err(OutOfRange), "{value}");
            }
        }
        assert_eq!(parse(ColumnType::Uint(8), "255"), Ok(Cell::Uint(255)));
        assert_eq!(parse(ColumnType::Uint(8), "256"), Err(OutOfRange));
        assert_eq!(parse(ColumnType::Uint(64), "18446744073709551615"), Ok(Cell::Uint(u64::MAX)));
        assert_eq!(parse(ColumnType::Uint(64), "-1"), Err(OutOfRange));
        for text in ["", "1.0", "1e3", " 1", "1 ", "0x1", "NA", "--1"] {
            assert_eq!(parse(ColumnType::Int(32), text), Err(InvalidValue), "{text:?}");
        }
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        let money = ColumnType::Decimal { precision: 4, scale: 2 };
        for (text, unscaled) in
            [("1", 100), ("-1.5", -150), ("+.25", 25), ("99.99", 9999), ("0.100", 10), ("5.", 500), ("007", 700)]
        {
            assert_eq!(parse(money.clone(), text), Ok(Cell::Decimal(unscaled)), "{text}");
        }
        for text in ["100", "0.001", "-100.00", &"9".repeat(50)] {
            assert_eq!(parse(money.clone(), text), Err(OutOfRange), "{text}");
        }
        for text in ["", ".", "-", "1,5", "1e2", "1.2.3", "$1"] {
            assert_eq!(parse(money.clone(), text), Err(InvalidValue), "{text}");
        }
        let widest = ColumnType::Decimal { precision: 38, scale: 0 };
        let nines = 10_i128.pow(38) - 1;
        assert_eq!(parse(widest, &nines.to_string()), Ok(Cell::Decimal(nines)));
    }

    #[test]
    fn floats_do_not_overflow_in_silence() {
        assert_eq!(parse(ColumnType::Float(64), "1e400"), Err(OutOfRange));
        assert_eq!(parse(ColumnType::Float(32), "1e39"), Err(OutOfRange));
        assert_eq!(parse(ColumnType::Float(64), "1e39"), Ok(Cell::Float(1e39)));
        assert_eq!(parse(ColumnType::Float(64), "-inf"), Ok(Cell::Float(f64::NEG_INFINITY)));
        assert_eq!(parse(ColumnType::Float(64), "1,5"), Err(InvalidValue));
    }

    #[test]
    fn dates_and_timestamps_follow_their_format() {
        let timestamp = |pattern: &str| ColumnType::Timestamp(TimestampFormat { pattern: pattern.into(), zone: None });
        let iso = timestamp(ColumnType::ISO_TIMESTAMP);
        let expected = Ok(Cell::Timestamp(1_357_034_400_250_000));
        assert_eq!(parse(iso.clone(), "2013-01-01T10:00:00.25"), expected);
        assert_eq!(parse(iso.clone(), "2013-01-01 10:00:00.25"), expected);
        assert_eq!(parse(iso, "2013-02-30 10:00:00"), Err(InvalidValue));
        let literal = timestamp("%Y-%m-%dT%H:%M:%SZ");
        assert_eq!(parse(literal, "2013-01-01T10:00:00Z"), Ok(Cell::Timestamp(1_357_034_400_000_000)));
        let offset = timestamp("%Y-%m-%dT%H:%M:%S%:z");
        assert_eq!(parse(offset, "2013-01-01T12:00:00+02:00"), Ok(Cell::Timestamp(1_357_034_400_000_000)));
        assert_eq!(parse(ColumnType::Date("%d.%m.%Y".into()), "02.01.1970"), Ok(Cell::Date(1)));
        assert_eq!(parse(ColumnType::Date("%d.%m.%Y".into()), "1970-01-02"), Err(InvalidValue));
    }

    #[test]
    fn text_must_be_utf8() {
        assert_eq!(parse(ColumnType::String, "zażółć"), Ok(Cell::String("zażółć")));
        assert_eq!(parse(ColumnType::String, b"caf\xe9"), Err(InvalidEncoding));
    }
}
