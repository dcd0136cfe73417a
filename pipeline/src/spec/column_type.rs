use std::fmt;

use arrow_schema::{DataType, TimeUnit};

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
    Boolean,
    /// Text in UTF-8.
    String,
    /// A day, as strftime's letters say.
    Date(String),
    /// A date and time of day without a zone, to the microsecond, as strftime's letters say.
    Timestamp(String),
}

const NAMES: [&str; 15] = [
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
    "date",
    "timestamp",
];

impl ColumnType {
    /// ISO 8601, as in `2013-01-01T10:00:00`, the fraction of a second optional.
    pub const ISO_TIMESTAMP: &'static str = "%Y-%m-%dT%H:%M:%S%.f";
    /// ISO 8601, as in `2013-01-01`.
    pub const ISO_DATE: &'static str = "%Y-%m-%d";

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
            Self::Boolean => DataType::Boolean,
            Self::String => DataType::Utf8,
            Self::Date(_) => DataType::Date32,
            Self::Timestamp(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }

    /// The type of that name. `format` is given for dates and timestamps only.
    ///
    /// # Errors
    /// A message with the nearest valid name.
    pub(super) fn parse(name: &str, format: Option<&str>) -> Result<Self, String> {
        let dated = matches!(name, "date" | "timestamp");
        if let Some(format) = format {
            if !dated {
                return Err(format!("`format` goes with `date` and `timestamp`, not with `{name}`"));
            }
            let unknown_letter =
                chrono::format::StrftimeItems::new(format).any(|item| matches!(item, chrono::format::Item::Error));
            if unknown_letter {
                return Err(format!("`{format}` is no strftime format"));
            }
        }
        if let Some(inner) = name.strip_prefix("decimal") {
            return decimal(name, inner);
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
            "boolean" => Self::Boolean,
            "string" => Self::String,
            "date" => Self::Date(format.unwrap_or(Self::ISO_DATE).to_owned()),
            "timestamp" => Self::Timestamp(format.unwrap_or(Self::ISO_TIMESTAMP).to_owned()),
            other => return Err(unknown("type", other, NAMES)),
        })
    }
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
            Self::Boolean => f.write_str("boolean"),
            Self::String => f.write_str("string"),
            Self::Date(_) => f.write_str("date"),
            Self::Timestamp(_) => f.write_str("timestamp"),
        }
    }
}
