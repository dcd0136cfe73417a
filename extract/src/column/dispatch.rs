//! From the declared type of a column to the parser of it.

/// Evaluates an expression with the parser of a type whose values take a fixed size, kept as an Arrow type; another expression for other types.
/// Errors of the parser's construction are returned as text by `?`.
macro_rules! with_parser {
    ($column_type:expr, $data_type:expr, $parser:ident => $then:expr, _ => $otherwise:expr) => {{
        use std::marker::PhantomData;

        use arrow::datatypes as types;
        use stepwell_pipeline::spec::ColumnType;

        use $crate::column::{decimal, number, temporal};

        let column_type: &ColumnType = $column_type;
        let data_type = $data_type;
        macro_rules! then {
            ($made:expr) => {{
                let $parser = $made;
                $then
            }};
        }
        macro_rules! integer {
            ($arrow:ident) => {
                then!(number::IntegerParser::<types::$arrow>(PhantomData))
            };
        }
        match column_type {
            ColumnType::Int(8) => integer!(Int8Type),
            ColumnType::Int(16) => integer!(Int16Type),
            ColumnType::Int(32) => integer!(Int32Type),
            ColumnType::Int(_) => integer!(Int64Type),
            ColumnType::Uint(8) => integer!(UInt8Type),
            ColumnType::Uint(16) => integer!(UInt16Type),
            ColumnType::Uint(32) => integer!(UInt32Type),
            ColumnType::Uint(_) => integer!(UInt64Type),
            ColumnType::Float(32) => then!(number::FloatParser::<types::Float32Type>(PhantomData)),
            ColumnType::Float(_) => then!(number::FloatParser::<types::Float64Type>(PhantomData)),
            ColumnType::Decimal { precision, scale } if *precision <= decimal::NARROW_DIGITS => {
                then!(decimal::NarrowDecimalParser::new(*precision, *scale, data_type))
            }
            ColumnType::Decimal { precision, scale } => {
                then!(decimal::WideDecimalParser::new(*precision, *scale, data_type))
            }
            ColumnType::Boolean(spellings) => then!(number::BooleanParser::new(spellings)),
            ColumnType::Date(pattern) => then!(temporal::DateParser::new(pattern)),
            ColumnType::Time(pattern) => then!(temporal::TimeParser::new(pattern, data_type)),
            ColumnType::Timestamp(format) => match temporal::EpochParser::new(format, data_type.clone()) {
                Some(epoch) => then!(epoch),
                None => then!(temporal::TimestampParser::new(format, data_type)?),
            },
            _ => $otherwise,
        }
    }};
}

pub(super) use with_parser;
