use std::fmt;

use arrow_schema::{DataType, Field, Fields, TimeUnit};

use super::error::unknown;

/// The type of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// A signed integer of 8, 16, 32 or 64 bits.
    Int(u8),
    /// An unsigned integer of 8, 16, 32 or 64 bits.
    Uint(u8),
    /// A binary floating-point number of 32 or 64 bits (IEEE 754).
    Float(u8),
    /// An exact decimal number.
    Decimal {
        /// All digits, 1 to 38.
        precision: u8,
        /// Digits after the point, 0 to `precision`.
        scale: u8,
    },
    /// `true` or `false`.
    Boolean(BooleanSpellings),
    /// Text in UTF-8.
    String,
    /// Bytes, written as text.
    Binary(BinaryEncoding),
    /// A day, as strftime's letters say.
    Date(String),
    /// A time of day to the microsecond, as strftime's letters say.
    Time(String),
    /// A date and time of day to the microsecond.
    Timestamp(TimestampFormat),
    /// A list of values; from JSON only.
    List(Box<ColumnType>),
    /// Named values; from JSON only.
    Struct(Vec<NamedType>),
}

/// How booleans are spelt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BooleanSpellings {
    /// The spellings of true.
    pub yes: Vec<String>,
    /// The spellings of false.
    pub no: Vec<String>,
}

impl Default for BooleanSpellings {
    fn default() -> Self {
        let owned = |spellings: [&str; 6]| spellings.map(str::to_owned).to_vec();
        Self {
            yes: owned(["true", "True", "TRUE", "t", "T", "1"]),
            no: owned(["false", "False", "FALSE", "f", "F", "0"]),
        }
    }
}

/// How bytes are written as text (RFC 4648).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryEncoding {
    /// Two hexadecimal digits a byte, of either case.
    Hex,
    /// Base 64 with the standard alphabet, padding optional.
    Base64,
}

/// How timestamps are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampFormat {
    /// strftime's letters, or one of [`ColumnType::EPOCHS`].
    pub pattern: String,
    /// The IANA time zone that they are in, where they have no offset themselves.
    pub zone: Option<String>,
}

impl TimestampFormat {
    /// Whether the values are instants, and so kept in UTC, rather than times on somebody's wall.
    pub fn is_instant(&self) -> bool {
        let offset = ["%z", "%:z", "%::z", "%:::z", "%#z", "%+"].iter().any(|item| self.pattern.contains(item));
        self.zone.is_some() || offset || ColumnType::EPOCHS.contains(&self.pattern.as_str())
    }
}

/// A field of a struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedType {
    /// The field's name.
    pub name: String,
    /// Its type.
    pub column_type: ColumnType,
}

const NAMES: [&str; 19] = [
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "decimal(p,s)",
    "boolean",
    "string",
    "binary",
    "date",
    "time",
    "timestamp",
    "list<…>",
    "struct<…>",
];

impl ColumnType {
    /// ISO 8601, as in `2013-01-01T10:00:00`, the fraction of a second optional; a space may stand for the T.
    pub const ISO_TIMESTAMP: &'static str = "%Y-%m-%dT%H:%M:%S%.f";
    /// ISO 8601, as in `2013-01-01`.
    pub const ISO_DATE: &'static str = "%Y-%m-%d";
    /// ISO 8601, as in `10:00:00`, the fraction of a second optional.
    pub const ISO_TIME: &'static str = "%H:%M:%S%.f";
    /// Formats of timestamps that are numbers: seconds, milliseconds and microseconds since 1970.
    pub const EPOCHS: [&'static str; 3] = ["epoch_s", "epoch_ms", "epoch_us"];

    /// The Arrow type that holds it.
    pub fn arrow_type(&self) -> DataType {
        match self {
            Self::Int(8) => DataType::Int8,
            Self::Int(16) => DataType::Int16,
            Self::Int(32) => DataType::Int32,
            Self::Int(_) => DataType::Int64,
            Self::Uint(8) => DataType::UInt8,
            Self::Uint(16) => DataType::UInt16,
            Self::Uint(32) => DataType::UInt32,
            Self::Uint(_) => DataType::UInt64,
            Self::Float(32) => DataType::Float32,
            Self::Float(_) => DataType::Float64,
            Self::Decimal { precision, scale } => DataType::Decimal128(*precision, scale.cast_signed()),
            Self::Boolean(_) => DataType::Boolean,
            Self::String => DataType::Utf8,
            Self::Binary(_) => DataType::Binary,
            Self::Date(_) => DataType::Date32,
            Self::Time(_) => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp(format) => {
                DataType::Timestamp(TimeUnit::Microsecond, format.is_instant().then(|| "UTC".into()))
            }
            Self::List(item) => DataType::List(Field::new_list_field(item.arrow_type(), true).into()),
            Self::Struct(fields) => DataType::Struct(
                fields
                    .iter()
                    .map(|field| Field::new(&field.name, field.column_type.arrow_type(), true))
                    .collect::<Fields>(),
            ),
        }
    }

    /// The Arrow type in which parts hold it: decimals of up to 18 digits as 64-bit integers, which halves their bytes.
    pub fn staged_type(&self) -> DataType {
        match self {
            Self::Decimal { precision: precision @ ..=18, scale } => {
                DataType::Decimal64(*precision, scale.cast_signed())
            }
            other => other.arrow_type(),
        }
    }

    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Uint(_) | Self::Float(_) | Self::Decimal { .. })
    }

    /// The type of that name. `format` is given for dates, times, timestamps and binary only, `zone` for timestamps.
    ///
    /// # Errors
    /// A message with the nearest valid name.
    pub(super) fn parse(name: &str, format: Option<&str>, zone: Option<&str>) -> Result<Self, String> {
        let name = name.trim();
        if let Some(format) = format {
            check_format(name, format)?;
        }
        if zone.is_some() && name != "timestamp" {
            return Err(format!("`zone` goes with `timestamp`, not with `{name}`"));
        }
        if let Some(inner) = name.strip_prefix("decimal") {
            return decimal(name, inner);
        }
        if let Some(item) = bracketed(name, "list") {
            return Ok(Self::List(Box::new(Self::parse(item, None, None)?)));
        }
        if let Some(fields) = bracketed(name, "struct") {
            return structure(name, fields);
        }
        Ok(match name {
            "int8" => Self::Int(8),
            "int16" => Self::Int(16),
            "int32" => Self::Int(32),
            "int64" => Self::Int(64),
            "uint8" => Self::Uint(8),
            "uint16" => Self::Uint(16),
            "uint32" => Self::Uint(32),
            "uint64" => Self::Uint(64),
            "float32" => Self::Float(32),
            "float64" => Self::Float(64),
            "boolean" => Self::Boolean(BooleanSpellings::default()),
            "string" => Self::String,
            "binary" => Self::Binary(if format == Some("hex") { BinaryEncoding::Hex } else { BinaryEncoding::Base64 }),
            "date" => Self::Date(format.unwrap_or(Self::ISO_DATE).to_owned()),
            "time" => Self::Time(format.unwrap_or(Self::ISO_TIME).to_owned()),
            "timestamp" => Self::Timestamp(TimestampFormat {
                pattern: format.unwrap_or(Self::ISO_TIMESTAMP).to_owned(),
                zone: zone.map(str::to_owned),
            }),
            other => return Err(unknown("type", other, NAMES)),
        })
    }
}

fn check_format(name: &str, format: &str) -> Result<(), String> {
    match name {
        "binary" if matches!(format, "hex" | "base64") => Ok(()),
        "binary" => Err(unknown("format of binary", format, ["hex", "base64"])),
        // strftime takes `epoch_s` and the like for plain text.
        "date" | "time" | "timestamp" => {
            let wrong =
                chrono::format::StrftimeItems::new(format).any(|item| matches!(item, chrono::format::Item::Error));
            if wrong { Err(format!("`{format}` is no strftime format")) } else { Ok(()) }
        }
        _ => Err(format!("`format` goes with `date`, `time`, `timestamp` and `binary`, not with `{name}`")),
    }
}

fn bracketed<'a>(name: &'a str, kind: &str) -> Option<&'a str> {
    name.strip_prefix(kind)?.trim_start().strip_prefix('<')?.strip_suffix('>')
}

/// The fields of `struct<name: type, …>`; commas within brackets belong to the types.
fn structure(name: &str, fields: &str) -> Result<ColumnType, String> {
    let mut depth = 0_i32;
    let parts = fields.split(|letter| {
        match letter {
            '<' | '(' => depth += 1,
            '>' | ')' => depth -= 1,
            _ => {}
        }
        letter == ',' && depth == 0
    });
    let mut types: Vec<NamedType> = Vec::new();
    for part in parts {
        let named = part.split_once(':').map(|(field, column_type)| (field.trim(), column_type));
        let Some((field, column_type)) = named.filter(|(field, _)| !field.is_empty()) else {
            return Err(format!("`{name}` is no struct; write `struct<name: type, …>`"));
        };
        if types.iter().any(|known| known.name == field) {
            return Err(format!("`{name}` has the field `{field}` twice"));
        }
        types.push(NamedType { name: field.to_owned(), column_type: ColumnType::parse(column_type, None, None)? });
    }
    Ok(ColumnType::Struct(types))
}

fn decimal(name: &str, inner: &str) -> Result<ColumnType, String> {
    let numbers = inner.trim().strip_prefix('(').and_then(|inner| inner.strip_suffix(')'));
    let parsed = numbers
        .and_then(|numbers| numbers.split_once(','))
        .and_then(|(precision, scale)| Some((precision.trim().parse::<u8>().ok()?, scale.trim().parse::<u8>().ok()?)));
    match parsed {
        Some((precision @ 1..=38, scale)) if scale <= precision => Ok(ColumnType::Decimal { precision, scale }),
        _ => Err(format!("`{name}` is no decimal; write `decimal(p,s)` with p from 1 to 38 and s from 0 to p")),
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(bits) => write!(f, "int{bits}"),
            Self::Uint(bits) => write!(f, "uint{bits}"),
            Self::Float(bits) => write!(f, "float{bits}"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Boolean(_) => f.write_str("boolean"),
            Self::String => f.write_str("string"),
            Self::Binary(_) => f.write_str("binary"),
            Self::Date(_) => f.write_str("date"),
            Self::Time(_) => f.write_str("time"),
            Self::Timestamp(_) => f.write_str("timestamp"),
            Self::List(item) => write!(f, "list<{item}>"),
            Self::Struct(fields) => {
                f.write_str("struct<")?;
                for (index, field) in fields.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(f, "{separator}{}: {}", field.name, field.column_type)?;
                }
                f.write_str(">")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_as_they_are_written() {
        for name in [
            "int8",
            "uint64",
            "float32",
            "decimal(38,0)",
            "boolean",
            "string",
            "binary",
            "date",
            "time",
            "timestamp",
            "list<list<int8>>",
            "struct<a: int8>",
            "struct<a: decimal(5,2), b: list<struct<c: int8, d: decimal(1,1)>>, e: struct<f: string>, g: date>",
        ] {
            assert_eq!(ColumnType::parse(name, None, None).map(|read| read.to_string()), Ok(name.to_owned()));
        }
        let loose = ColumnType::parse(" struct <a:int8,b : decimal ( 5 , 2 ) > ", None, None);
        assert_eq!(loose.map(|read| read.to_string()), Ok("struct<a: int8, b: decimal(5,2)>".to_owned()));
    }

    #[test]
    fn what_is_no_type_is_told_with_what_would_be() {
        for (name, message) in [
            ("struct<a: int8, b: string, a: date>", "`struct<a: int8, b: string, a: date>` has the field `a` twice"),
            ("struct<a>", "`struct<a>` is no struct; write `struct<name: type, …>`"),
            ("struct<>", "`struct<>` is no struct; write `struct<name: type, …>`"),
            ("struct<: int8>", "`struct<: int8>` is no struct; write `struct<name: type, …>`"),
            ("struct<a: int7>", "unknown type `int7`; did you mean `int8`?"),
            ("list<txt>", "unknown type `txt`; valid are"),
        ] {
            let error = ColumnType::parse(name, None, None).expect_err(name);
            assert!(error.starts_with(message), "{name}: {error}");
        }
    }

    #[test]
    fn formats_go_with_types() {
        for (name, format, is_right) in [
            ("timestamp", "epoch_s", true),
            ("timestamp", "epoch_ms", true),
            ("timestamp", "epoch_us", true),
            ("timestamp", "%Q", false),
            ("date", "%d.%m.%Y", true),
            ("binary", "hex", true),
            ("binary", "base32", false),
            ("int8", "%d", false),
        ] {
            assert_eq!(ColumnType::parse(name, Some(format), None).is_ok(), is_right, "{name} {format}");
        }
    }
}
