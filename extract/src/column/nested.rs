//! Lists and structs, from JSON.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ListArray, StructArray},
    buffer::{NullBuffer, OffsetBuffer},
    compute,
    datatypes::{DataType, FieldRef, Fields as ArrowFields, UInt32Type},
};
use stepwell_pipeline::{
    reject::RejectCode,
    spec::{Column, ColumnType},
};

use super::{
    cell::{Fields, Selection},
    conditions::Report,
    dispatch::with_parser,
    faults::Unfit,
    fixed::{Leaf, Parser},
    json::Json,
    nulls::{Nulls, Reader},
    texts::{ByteStrings, Decode, check_utf8, key},
    values::Values,
};

/// What is wrong within a nested value, and where.
#[derive(Debug, PartialEq, Eq)]
struct ElementFault {
    /// As in `[2].name`, from the column's value on.
    path: String,
    code: RejectCode,
    message: String,
}

impl ElementFault {
    fn new(unfit: Unfit, column_type: &ColumnType) -> Self {
        Self { path: String::new(), code: unfit.code(), message: unfit.message(column_type) }
    }

    fn within(mut self, step: &str) -> Self {
        self.path.insert_str(0, step);
        self
    }
}

/// Gathers values of one type within a list or a struct. A value that does not fit becomes null, so that what is
/// gathered always is whole; its record is rejected.
trait Element: Send + Sync {
    fn push(&mut self, value: Option<Json<'_>>) -> Result<(), ElementFault>;
    fn finish(&mut self) -> ArrayRef;
}

struct Scalar<P: Parser> {
    column_type: ColumnType,
    leaf: Leaf<P>,
}

impl<P: Parser<Value: Send + Sync> + Send + Sync> Element for Scalar<P> {
    fn push(&mut self, value: Option<Json<'_>>) -> Result<(), ElementFault> {
        let text = value.map(|value| value.text().unwrap_or_default());
        self.leaf.push(text.as_deref()).map_err(|unfit| ElementFault::new(unfit, &self.column_type))
    }

    fn finish(&mut self) -> ArrayRef {
        self.leaf.finish()
    }
}

/// Text, or bytes written as text.
struct Sequence {
    column_type: ColumnType,
    values: ByteStrings,
}

impl Element for Sequence {
    fn push(&mut self, value: Option<Json<'_>>) -> Result<(), ElementFault> {
        let Some(value) = value else {
            self.values.push_null();
            return Ok(());
        };
        let pushed = self.values.push_with(|bytes| {
            let text = value.text().ok_or(Unfit::Invalid)?;
            match &self.column_type {
                ColumnType::Binary(encoding) => encoding.decode(&text, bytes),
                _ => check_utf8(&text).map(|()| bytes.extend_from_slice(&text)),
            }
        });
        pushed.map_err(|unfit| ElementFault::new(unfit, &self.column_type))
    }

    fn finish(&mut self) -> ArrayRef {
        match self.column_type {
            ColumnType::Binary(_) => self.values.take_binary(self.values.len()),
            _ => self.values.take_strings(self.values.len()),
        }
    }
}

struct List {
    column_type: ColumnType,
    field: FieldRef,
    item: Box<dyn Element>,
    items: i32,
    ends: Vec<i32>,
    nulls: Nulls,
}

impl Element for List {
    fn push(&mut self, value: Option<Json<'_>>) -> Result<(), ElementFault> {
        let mut result = Ok(());
        let items = value.and_then(Json::items);
        if items.is_none() {
            self.nulls.push(self.ends.len());
        }
        if value.is_some() && items.is_none() {
            result = Err(ElementFault::new(Unfit::Invalid, &self.column_type));
        }
        for (index, item) in items.into_iter().flatten().enumerate() {
            let pushed = self.item.push(Some(item).filter(|item| !item.is_null()));
            result = result.and(pushed.map_err(|fault| fault.within(&format!("[{index}]"))));
            self.items += 1;
        }
        self.ends.push(self.items);
        result
    }

    fn finish(&mut self) -> ArrayRef {
        self.items = 0;
        let nulls = self.nulls.take(self.ends.len());
        let ends = std::mem::take(&mut self.ends);
        let offsets: Vec<i32> = std::iter::once(0).chain(ends).collect();
        Arc::new(ListArray::new(self.field.clone(), OffsetBuffer::new(offsets.into()), self.item.finish(), nulls))
    }
}

struct Struct {
    column_type: ColumnType,
    fields: ArrowFields,
    elements: Vec<Box<dyn Element>>,
    len: usize,
    nulls: Nulls,
}

impl Element for Struct {
    fn push(&mut self, value: Option<Json<'_>>) -> Result<(), ElementFault> {
        let mut found = vec![None; self.elements.len()];
        let members = value.and_then(Json::members);
        let mut result = Ok(());
        if members.is_none() {
            self.nulls.push(self.len);
        }
        if value.is_some() && members.is_none() {
            result = Err(ElementFault::new(Unfit::Invalid, &self.column_type));
        }
        for (name, member) in members.into_iter().flatten() {
            let name = name.text().unwrap_or_default();
            if let Some(index) = self.fields.iter().position(|field| field.name().as_bytes() == &*name) {
                found[index] = Some(member).filter(|member| !member.is_null());
            }
        }
        for ((element, field), value) in self.elements.iter_mut().zip(&self.fields).zip(found) {
            let pushed = element.push(value);
            result = result.and(pushed.map_err(|fault| fault.within(&format!(".{}", field.name()))));
        }
        self.len += 1;
        result
    }

    fn finish(&mut self) -> ArrayRef {
        let nulls: Option<NullBuffer> = self.nulls.take(self.len);
        let arrays = self.elements.iter_mut().map(|element| element.finish()).collect();
        let len = std::mem::take(&mut self.len);
        match StructArray::try_new_with_length(self.fields.clone(), arrays, nulls, len) {
            Ok(array) => Arc::new(array),
            Err(_) => arrow::array::new_null_array(&DataType::Struct(self.fields.clone()), len),
        }
    }
}

fn element(column_type: &ColumnType) -> Result<Box<dyn Element>, String> {
    let column_type = column_type.clone();
    Ok(match (&column_type, column_type.arrow_type()) {
        (ColumnType::List(item), DataType::List(field)) => {
            let item = element(item)?;
            Box::new(List { column_type, field, item, items: 0, ends: Vec::new(), nulls: Nulls::default() })
        }
        (ColumnType::Struct(types), DataType::Struct(fields)) => {
            let elements = types.iter().map(|named| element(&named.column_type)).collect::<Result<_, _>>()?;
            Box::new(Struct { column_type, fields, elements, len: 0, nulls: Nulls::default() })
        }
        (ColumnType::String | ColumnType::Binary(_), _) => {
            Box::new(Sequence { column_type, values: ByteStrings::default() })
        }
        _ => with_parser!(&column_type, column_type.arrow_type(), parser => Box::new(Scalar {
            leaf: Leaf::new(parser),
            column_type: column_type.clone(),
        }) as Box<dyn Element>, _ => return Err(format!("`{column_type}` is no type within a list or struct"))),
    })
}

/// A column of lists or structs, each written as JSON.
pub(super) struct Nested {
    root: Box<dyn Element>,
    data_type: DataType,
    required: bool,
    default: Option<Vec<u8>>,
    block: Option<ArrayRef>,
    kept: Vec<ArrayRef>,
}

impl Nested {
    pub(super) fn new(column: &Column, wrong: &mut Vec<String>) -> Result<Self, String> {
        let mut root = element(&column.column_type)?;
        if let Some(default) = &column.default {
            let value = Json::new(default.as_bytes());
            let pushed = match value {
                Some(value) => root.push(Some(value)),
                None => Err(ElementFault::new(Unfit::Invalid, &column.column_type)),
            };
            let _: ArrayRef = root.finish();
            if let Err(fault) = pushed {
                wrong.push(format!("`default` `{default}`: {}", fault.message));
            }
        }
        let limits =
            [("enum", !column.allowed.is_empty()), ("min", column.min.is_some()), ("max", column.max.is_some())];
        for (key, _) in limits.iter().filter(|(_, is_declared)| *is_declared) {
            wrong.push(format!("`{key}` goes with plain values, not with {}", column.column_type));
        }
        Ok(Self {
            root,
            data_type: column.column_type.arrow_type(),
            required: column.required && column.default.is_none(),
            default: column.default.as_ref().map(|default| default.as_bytes().to_vec()),
            block: None,
            kept: Vec::new(),
        })
    }
}

impl Values for Nested {
    fn parse<F: Fields>(&mut self, reader: &Reader, fields: &F, report: &mut Report<'_>) {
        for record in 0..fields.len() {
            let cell = reader.read(fields, record);
            let Some(text) = cell.map(|cell| cell.text()).or(self.default.as_deref()) else {
                if self.required {
                    report.missing(record);
                }
                let _ = self.root.push(None);
                continue;
            };
            // Nothing of a bad record is kept, so that nothing of it need be parsed.
            let json = if report.is_bad(record) { None } else { Json::new(text) };
            let value = json.filter(|json| !json.is_null());
            let result = self.root.push(value);
            match (json, value, result) {
                (None, ..) => report.unfit(record, check_utf8(text).err().unwrap_or(Unfit::Invalid)),
                (Some(_), None, _) if self.required => report.missing(record),
                (.., Err(fault)) => report.add(record, fault.code, || match fault.path.as_str() {
                    "" => fault.message,
                    path => format!("at `{path}`: {}", fault.message),
                }),
                _ => {}
            }
        }
        self.block = Some(self.root.finish());
    }

    fn check_allowed<F: Fields>(&self, _: &Reader, _: &F, _: &mut Report<'_>) {}

    fn check_bounds<F: Fields>(&self, _: &Reader, _: &F, _: &mut Report<'_>) {}

    fn block_array<F: Fields>(&self, _: &Reader, fields: &F) -> ArrayRef {
        self.block.clone().unwrap_or_else(|| arrow::array::new_null_array(&self.data_type, fields.len()))
    }

    fn unique_key<F: Fields>(&self, reader: &Reader, fields: &F, record: usize) -> Option<u128> {
        if self.block.as_ref().is_none_or(|block| block.is_null(record)) {
            return None;
        }
        reader.read(fields, record).map(|cell| cell.text()).or(self.default.as_deref()).map(key)
    }

    fn keep<F: Fields>(&mut self, _: &Reader, _: &F, selection: &Selection<'_>) {
        let Some(block) = &self.block else { return };
        let selected = match selection {
            Selection::All(records) => Ok(block.slice(0, *records)),
            Selection::Some(records) => {
                let indices = records.iter().copied();
                compute::take(block, &arrow::array::PrimitiveArray::<UInt32Type>::from_iter_values(indices), None)
            }
        };
        if let Ok(selected) = selected
            && !selected.is_empty()
        {
            self.kept.push(selected);
        }
    }

    fn len(&self) -> usize {
        self.kept.iter().map(|array| array.len()).sum()
    }

    fn take(&mut self, records: usize) -> ArrayRef {
        let mut taken = Vec::new();
        let mut wanted = records;
        let mut rest = Vec::new();
        for array in self.kept.drain(..) {
            let count = wanted.min(array.len());
            if count > 0 {
                taken.push(array.slice(0, count));
            }
            if count < array.len() {
                rest.push(array.slice(count, array.len() - count));
            }
            wanted -= count;
        }
        self.kept = rest;
        let taken: Vec<&dyn Array> = taken.iter().map(|array| array.as_ref()).collect();
        let empty = || arrow::array::new_empty_array(&self.data_type);
        if taken.is_empty() { empty() } else { compute::concat(&taken).unwrap_or_else(|_| empty()) }
    }

    fn restore(&mut self, array: &ArrayRef) -> Option<()> {
        if array.data_type() != &self.data_type {
            return None;
        }
        if !array.is_empty() {
            self.kept.push(array.clone());
        }
        Some(())
    }
}
