//! Specs of files that declare their types themselves.

use arrow::datatypes::{DataType, Schema, TimeUnit};
use stepwell_pipeline::spec::Format;

use super::write::{self, Draft, column_line, column_type, quoted};

/// The most digits of a decimal.
const PRECISION_MAX: u8 = 38;

/// A column as a spec declares it.
struct Declared {
    column_type: String,
    is_instant: bool,
    remark: Option<&'static str>,
}

/// The spec of files with these columns.
///
/// # Errors
/// Where there are none.
pub(super) fn spec(file: &str, format: Format, schema: &Schema) -> Result<String, String> {
    let fields: Vec<_> = schema.fields().iter().filter(|field| !field.name().is_empty()).collect();
    if fields.is_empty() {
        return Err(format!("{file} has no columns to infer a spec from"));
    }
    let (mut columns, mut typed) = (Vec::new(), Vec::new());
    for field in fields {
        let declared = declared(field.data_type());
        let mut keys = vec![("name", quoted(field.name())), ("type", column_type(&declared.column_type))];
        if declared.is_instant {
            keys.push(("zone", "UTC".to_owned()));
        }
        if !field.is_nullable() {
            keys.push(("required", "true".to_owned()));
        }
        let remarks: Vec<String> = declared.remark.into_iter().map(str::to_owned).collect();
        columns.push(column_line(&keys, &remarks));
        typed.push((field.name().clone(), declared.column_type));
    }
    let basis = "the declared types".to_owned();
    Ok(write::spec(Draft { file, format, basis, source: Vec::new(), remarks: &[], columns, typed }))
}

fn declared(data_type: &DataType) -> Declared {
    let plain = |column_type: String| Declared { column_type, is_instant: false, remark: None };
    match data_type {
        DataType::Timestamp(unit, zone) => Declared {
            column_type: "timestamp".to_owned(),
            is_instant: zone.is_some(),
            remark: (*unit == TimeUnit::Nanosecond).then_some("values finer than microseconds are rejected"),
        },
        other => match name(other) {
            Some(name) => plain(name),
            None => Declared { remark: Some("kept as JSON text"), ..plain("string".to_owned()) },
        },
    }
}

/// The type that holds every value, where there is one but text. Instants need a zone, which only columns have.
fn name(data_type: &DataType) -> Option<String> {
    let name = match data_type {
        DataType::Int8 => "int8",
        DataType::Int16 => "int16",
        DataType::Int32 => "int32",
        DataType::Int64 => "int64",
        DataType::UInt8 => "uint8",
        DataType::UInt16 => "uint16",
        DataType::UInt32 => "uint32",
        DataType::UInt64 => "uint64",
        DataType::Float16 | DataType::Float32 => "float32",
        DataType::Float64 => "float64",
        DataType::Boolean => "boolean",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => "string",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "binary",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Timestamp(_, None) => "timestamp",
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            let scale = u8::try_from(*scale).ok()?;
            return (*precision <= PRECISION_MAX && scale <= *precision)
                .then(|| format!("decimal({precision},{scale})"));
        }
        DataType::Dictionary(_, value) => return name(value),
        DataType::List(item) | DataType::LargeList(item) => return Some(format!("list<{}>", name(item.data_type())?)),
        DataType::Struct(fields) => {
            let fields: Option<Vec<String>> = fields
                .iter()
                .map(|field| {
                    // Names that a type's own punctuation would cut cannot stand in one.
                    let is_word = !field.name().is_empty() && !field.name().contains([':', ',', '<', '>', '(', ')']);
                    is_word.then_some(format!("{}: {}", field.name(), name(field.data_type())?))
                })
                .collect();
            return fields.filter(|fields| !fields.is_empty()).map(|fields| format!("struct<{}>", fields.join(", ")));
        }
        _ => return None,
    };
    Some(name.to_owned())
}
