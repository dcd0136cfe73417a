//! Values and records as JSON.

use arrow::{
    array::{Array, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch, StructArray},
    buffer::OffsetBuffer,
    compute::take,
    datatypes::{ArrowNativeType, DataType, Fields, Float16Type, Float32Type, Float64Type},
};
use stepwell_pipeline::spec::ColumnType;

use super::value::{self, Writer};

/// What stands for a value that must not be shown.
const MASK: &[u8] = b"\"***\"";

/// What writes the values of an array as JSON, nulls included: numbers exactly as they are, `NaN` and infinities, dates
/// and times as strings, bytes in hexadecimal unless a type says otherwise.
pub(super) fn writer<'a>(array: &'a dyn Array, target: Option<&'a ColumnType>) -> Writer<'a> {
    let nulls = array.logical_nulls();
    let write = values(array, target);
    Box::new(move |row, out| match nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
        true => out.extend_from_slice(b"null"),
        false => write(row, out),
    })
}

fn values<'a>(array: &'a dyn Array, target: Option<&'a ColumnType>) -> Writer<'a> {
    match array.data_type() {
        DataType::Null => Box::new(|_, out| out.extend_from_slice(b"null")),
        DataType::Boolean => value::writer(array, None),
        DataType::Float16 => finite(array, |row| array.as_primitive::<Float16Type>().value(row).is_finite()),
        DataType::Float32 => finite(array, |row| array.as_primitive::<Float32Type>().value(row).is_finite()),
        DataType::Float64 => finite(array, |row| array.as_primitive::<Float64Type>().value(row).is_finite()),
        data_type if data_type.is_integer() || data_type.is_decimal() => value::writer(array, None),
        DataType::List(_) => list(array.as_list::<i32>().offsets(), array.as_list::<i32>().values(), target),
        DataType::LargeList(_) => list(array.as_list::<i64>().offsets(), array.as_list::<i64>().values(), target),
        DataType::Struct(_) => structure(array.as_struct(), target),
        DataType::Map(_, _) => map(array),
        DataType::Union(_, _) => union(array, target),
        DataType::Dictionary(_, _) => dictionary(array, target),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            quoted(value::writer(array, target.filter(|target| matches!(target, ColumnType::Binary(_)))))
        }
        _ => quoted(value::writer(array, target)),
    }
}

fn finite<'a>(array: &'a dyn Array, is_finite: impl Fn(usize) -> bool + 'a) -> Writer<'a> {
    let write = value::writer(array, None);
    Box::new(move |row, out| {
        if is_finite(row) {
            return write(row, out);
        }
        out.push(b'"');
        write(row, out);
        out.push(b'"');
    })
}

fn quoted(write: Writer<'_>) -> Writer<'_> {
    Box::new(move |row, out| {
        let mut text = Vec::new();
        write(row, &mut text);
        string(&text, out);
    })
}

/// A JSON string.
fn string(text: &[u8], out: &mut Vec<u8>) {
    let written = serde_json::to_writer(out, &String::from_utf8_lossy(text));
    debug_assert!(written.is_ok());
}

fn list<'a, O: OffsetSizeTrait>(
    offsets: &'a OffsetBuffer<O>,
    items: &'a ArrayRef,
    target: Option<&'a ColumnType>,
) -> Writer<'a> {
    let item_type = match target {
        Some(ColumnType::List(item)) => Some(&**item),
        _ => None,
    };
    let write = writer(items, item_type);
    Box::new(move |row, out| {
        out.push(b'[');
        let start = offsets[row].as_usize();
        for item in start..offsets[row + 1].as_usize() {
            if item > start {
                out.push(b',');
            }
            write(item, out);
        }
        out.push(b']');
    })
}

fn structure<'a>(array: &'a StructArray, target: Option<&'a ColumnType>) -> Writer<'a> {
    let field_type = |name: &str| match target {
        Some(ColumnType::Struct(fields)) => {
            fields.iter().find(|field| field.name == name).map(|field| &field.column_type)
        }
        _ => None,
    };
    let fields: Vec<(Vec<u8>, Writer<'a>)> = array
        .fields()
        .iter()
        .zip(array.columns())
        .map(|(field, column)| (key(field.name()), writer(column, field_type(field.name()))))
        .collect();
    Box::new(move |row, out| {
        out.push(b'{');
        for (index, (key, write)) in fields.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(key);
            write(row, out);
        }
        out.push(b'}');
    })
}

/// A member's name and the colon after it.
pub(super) fn key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 3);
    string(name.as_bytes(), &mut key);
    key.push(b':');
    key
}

fn map(array: &dyn Array) -> Writer<'_> {
    let map = array.as_map();
    let (keys, write) = (value::writer(map.keys(), None), writer(map.values(), None));
    Box::new(move |row, out| {
        out.push(b'{');
        let start = map.value_offsets()[row].as_usize();
        for entry in start..map.value_offsets()[row + 1].as_usize() {
            if entry > start {
                out.push(b',');
            }
            let mut name = Vec::new();
            keys(entry, &mut name);
            string(&name, out);
            out.push(b':');
            write(entry, out);
        }
        out.push(b'}');
    })
}

fn union<'a>(array: &'a dyn Array, target: Option<&'a ColumnType>) -> Writer<'a> {
    let union = array.as_union();
    let DataType::Union(fields, _) = array.data_type() else { return Box::new(|_, _| {}) };
    let writers: Vec<(i8, Writer<'a>)> =
        fields.iter().map(|(type_id, _)| (type_id, writer(union.child(type_id), target))).collect();
    Box::new(move |row, out| {
        let type_id = union.type_id(row);
        if let Some((_, write)) = writers.iter().find(|(known, _)| *known == type_id) {
            write(union.value_offset(row), out);
        }
    })
}

fn dictionary<'a>(array: &'a dyn Array, target: Option<&'a ColumnType>) -> Writer<'a> {
    let dictionary = array.as_any_dictionary();
    let keys = dictionary.normalized_keys();
    let write = writer(&**dictionary.values(), target);
    Box::new(move |row, out| write(keys[row], out))
}

/// An array without its dictionary, if it has one.
pub(super) fn undictionaried(array: &ArrayRef) -> ArrayRef {
    let Some(dictionary) = array.as_any_dictionary_opt() else { return array.clone() };
    take(dictionary.values(), dictionary.keys(), None).unwrap_or_else(|_| array.clone())
}

/// A record as one JSON object, without a line end, for the rejects of a typed source.
///
/// Numbers are written with all their digits. `masked` are the paths, from the column inwards, of what is replaced by
/// `"***"`. A path that leads into something else than structs masks all of that.
pub(crate) fn record_json(batch: &RecordBatch, row: usize, masked: &[Vec<String>]) -> Vec<u8> {
    let masked: Vec<&[String]> = masked.iter().map(Vec::as_slice).collect();
    let mut out = Vec::new();
    members(batch.schema_ref().fields(), batch.columns(), row, &masked, &mut out);
    out
}

fn members(fields: &Fields, columns: &[ArrayRef], row: usize, masked: &[&[String]], out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (field, column)) in fields.iter().zip(columns).enumerate() {
        let name = field.name();
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&key(name));
        let inner: Vec<&[String]> =
            masked.iter().filter(|path| path.first().is_some_and(|step| step == name)).map(|path| &path[1..]).collect();
        match column.as_struct_opt() {
            _ if inner.is_empty() => writer(column, None)(row, out),
            Some(fields) if inner.iter().all(|path| !path.is_empty()) && fields.is_valid(row) => {
                members(fields.fields(), fields.columns(), row, &inner, out);
            }
            _ => out.extend_from_slice(MASK),
        }
    }
    out.push(b'}');
}
