use std::collections::BTreeSet;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    buffer::NullBuffer,
    datatypes::{DataType, FieldRef, Fields, Schema},
};
use stepwell_pipeline::{
    ErrorKind, StageError,
    spec::{CheckedSpec, Column, ColumnType, Pii, UnknownColumns, nearest},
};

use super::{TextColumn, json, parser_column, parser_column::is_text};

/// How many columns a message names.
const NAMED_MAX: usize = 5;
/// The most characters that a message gives of a name or a type.
const NAME_CHARACTERS: usize = 80;

/// Which of a typed source's columns holds which column of the schema.
#[derive(Debug)]
pub(crate) struct TypedLayout {
    projection: Vec<usize>,
    places: Vec<Option<Place>>,
    parsers: Vec<Column>,
    extra: Option<Vec<(String, Place)>>,
    masked: Vec<Vec<String>>,
}

/// A column of the source, or a field of structs within it: the index in the projected batch, then those in the structs.
type Place = Vec<usize>;

/// A column of the source with where it is in the file.
struct Found {
    place: Place,
    data_type: DataType,
}

impl TypedLayout {
    /// Finds the declared columns in a source's schema.
    ///
    /// # Errors
    /// `SchemaMismatch`, naming what is missing, what is extra and whose type cannot fit; `InvalidSpec` as
    /// [`parser_column`] says.
    pub(crate) fn new(source: &Schema, spec: &CheckedSpec, object: &str) -> Result<Self, StageError> {
        let found: Vec<Option<Found>> = spec.columns.iter().map(|column| find(source, column)).collect();
        let declared: BTreeSet<&Place> = found.iter().flatten().map(|found| &found.place).collect();
        let mut extra = Vec::new();
        undeclared(source.fields(), &mut Vec::new(), &mut String::new(), &declared, &mut extra);
        let faults = faults(source, spec, &found, &extra);
        if !faults.is_empty() {
            return Err(StageError::new(
                ErrorKind::SchemaMismatch,
                format!("the columns of {object} do not fit the schema of `{}`: {}", spec.name(), faults.join("; ")),
            ));
        }
        let keep = spec.spec.unknown_columns == UnknownColumns::Keep;
        let needed = declared.iter().map(|place| place[0]);
        let projection: BTreeSet<usize> = if keep { (0..source.fields().len()).collect() } else { needed.collect() };
        let projection: Vec<usize> = projection.into_iter().collect();
        let projected = |mut place: Place| {
            place[0] = projection.binary_search(&place[0]).unwrap_or_default();
            place
        };
        let parsers = spec.columns.iter().zip(&found).map(|(column, found)| match found {
            Some(found) => parser_column(column, &found.data_type),
            None => Ok(column.clone()),
        });
        let masked = spec.columns.iter().zip(&found).filter_map(|(column, found)| match column.pii {
            Some(Pii::Redact | Pii::Drop) => Some(names(source, &found.as_ref()?.place)),
            Some(Pii::Hash) | None => None,
        });
        Ok(Self {
            masked: masked.collect(),
            parsers: parsers.collect::<Result<_, _>>()?,
            places: found.into_iter().map(|found| found.map(|found| projected(found.place))).collect(),
            extra: keep.then(|| extra.into_iter().map(|(name, place)| (name, projected(place))).collect()),
            projection,
        })
    }

    /// The source's columns that are to be read, by index, in order.
    pub(crate) fn projection(&self) -> &[usize] {
        &self.projection
    }

    /// The declared columns as their parsers should be given them.
    pub(crate) fn parsers(&self) -> &[Column] {
        &self.parsers
    }

    /// The paths, from the column inwards, of what rejects must not show.
    pub(crate) fn masked(&self) -> &[Vec<String>] {
        &self.masked
    }

    /// The cells of a declared column, by its index in the spec, of a batch of the projected columns.
    pub(crate) fn text(&self, column: usize, batch: &RecordBatch) -> TextColumn {
        let Some(place) = &self.places[column] else { return TextColumn::absent(batch.num_rows()) };
        let (array, outer) = at(place, batch);
        TextColumn::new(&array, outer.as_ref(), &self.parsers[column].column_type)
    }

    /// What is not declared, as one JSON object per record with the paths as names, null where all of it is null;
    /// nothing unless it is kept.
    pub(crate) fn extra(&self, batch: &RecordBatch) -> Option<TextColumn> {
        let extra: Vec<_> = self.extra.as_ref()?.iter().map(|(name, place)| (name, at(place, batch))).collect();
        let members: Vec<_> = extra
            .iter()
            .map(|(name, (array, outer))| {
                let nulls = NullBuffer::union(array.logical_nulls().as_ref(), outer.as_ref());
                (json::key(name), json::writer(array, None), nulls)
            })
            .collect();
        Some(TextColumn::collect(batch.num_rows(), |row, out| {
            let start = out.len();
            for (key, write, nulls) in &members {
                if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                    continue;
                }
                out.push(if out.len() == start { b'{' } else { b',' });
                out.extend_from_slice(key);
                write(row, out);
            }
            let any = out.len() > start;
            out.push(b'}');
            any
        }))
    }
}

fn at(place: &Place, batch: &RecordBatch) -> (ArrayRef, Option<NullBuffer>) {
    let mut array = batch.column(place[0]).clone();
    let mut outer: Option<NullBuffer> = None;
    for &step in &place[1..] {
        outer = NullBuffer::union(outer.as_ref(), array.nulls());
        array = array.as_struct().column(step).clone();
    }
    (array, outer)
}

fn names(source: &Schema, place: &Place) -> Vec<String> {
    let mut fields = source.fields();
    let mut names = Vec::new();
    for &step in place {
        names.push(fields[step].name().clone());
        if let DataType::Struct(inner) = fields[step].data_type() {
            fields = inner;
        }
    }
    names
}

/// The column of that name, or the field that the name leads to with dots between the steps.
fn find(source: &Schema, column: &Column) -> Option<Found> {
    let whole = column.path.join(".");
    if let Some((index, field)) = source.fields().find(&whole) {
        return Some(Found { place: vec![index], data_type: field.data_type().clone() });
    }
    let mut fields = source.fields();
    let mut place = Vec::new();
    let mut steps = whole.split('.').peekable();
    while let Some(step) = steps.next() {
        let (index, field) = fields.find(step)?;
        place.push(index);
        match field.data_type() {
            data_type if steps.peek().is_none() => return Some(Found { place, data_type: data_type.clone() }),
            DataType::Struct(inner) => fields = inner,
            _ => return None,
        }
    }
    None
}

/// Columns, and fields of structs of which only some are declared, that the schema does not declare.
fn undeclared(
    fields: &Fields,
    place: &mut Place,
    path: &mut String,
    declared: &BTreeSet<&Place>,
    extra: &mut Vec<(String, Place)>,
) {
    for (index, field) in fields.iter().enumerate() {
        let path_bytes = path.len();
        place.push(index);
        path.push_str(field.name());
        if !declared.contains(place) {
            let within = declared.iter().any(|declared| declared.starts_with(place));
            match field.data_type() {
                DataType::Struct(inner) if within => {
                    path.push('.');
                    undeclared(inner, place, path, declared, extra);
                }
                _ => extra.push((path.clone(), place.clone())),
            }
        }
        place.pop();
        path.truncate(path_bytes);
    }
}

fn faults(source: &Schema, spec: &CheckedSpec, found: &[Option<Found>], extra: &[(String, Place)]) -> Vec<String> {
    let mut faults = Vec::new();
    let columns = || spec.columns.iter().zip(found);
    let missing = columns().filter(|(column, found)| found.is_none() && column.required && column.default.is_none());
    let missing: Vec<String> = missing.map(|(column, _)| with_nearest(&column.path.join("."), extra)).collect();
    if !missing.is_empty() {
        faults.push(format!("missing {}", list(&missing)));
    }
    if !extra.is_empty() && (spec.spec.unknown_columns == UnknownColumns::Reject || !missing.is_empty()) {
        let names: Vec<String> = extra.iter().take(NAMED_MAX).map(|(name, _)| format!("`{}`", short(name))).collect();
        let more = extra.len() - names.len();
        let names = names.join(", ");
        faults.push(if more > 0 { format!("extra {names} and {more} more") } else { format!("extra {names}") });
    }
    let twice = columns().filter_map(|(_, found)| Some(source.field(found.as_ref()?.place[0]))).filter(|field| {
        let same = |other: &&FieldRef| other.name() == field.name();
        source.fields().iter().filter(same).count() > 1
    });
    let twice: Vec<String> = twice.map(|field| format!("`{}` stands twice", short(field.name()))).collect();
    if !twice.is_empty() {
        faults.push(list(&twice));
    }
    let misfits: Vec<String> = columns()
        .filter_map(|(column, found)| Some((column, misfit(&found.as_ref()?.data_type, &column.column_type)?)))
        .map(|(column, fault)| format!("`{}` {fault}", short(&column.name)))
        .collect();
    if !misfits.is_empty() {
        faults.push(list(&misfits));
    }
    faults
}

fn list(faults: &[String]) -> String {
    let named = faults.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match faults.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(NAME_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn with_nearest(name: &str, extra: &[(String, Place)]) -> String {
    match nearest(name, extra.iter().map(|(extra, _)| extra.as_str())) {
        Some(candidate) => format!("`{}` (is it `{}`?)", short(name), short(candidate)),
        None => format!("`{}`", short(name)),
    }
}

/// Why no value of a source's type can be of a declared type.
fn misfit(source: &DataType, declared: &ColumnType) -> Option<String> {
    let instant = matches!(declared, ColumnType::Timestamp(format) if format.is_instant());
    match (source, declared) {
        (DataType::Timestamp(_, Some(_)), ColumnType::Timestamp(_)) if !instant => Some(
            "is an instant in the source and declared `timestamp` without a zone; declare `zone: UTC` or another"
                .into(),
        ),
        (DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64, ColumnType::Timestamp(format))
            if instant && format.zone.is_none() =>
        {
            Some("has no zone in the source and is declared an instant; declare its `zone`, such as `zone: UTC`".into())
        }
        (source, declared) if fits(source, declared) => None,
        (source, declared) => Some(format!(
            "is `{}` in the source and declared `{}`",
            short(&source.to_string()),
            short(&declared.to_string())
        )),
    }
}

/// Whether values of a source's type can be of a declared type. Whether each of them is shows when it is parsed.
fn fits(source: &DataType, declared: &ColumnType) -> bool {
    let is_bytes = matches!(source, DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
    let is_number = source.is_numeric();
    match (source, declared) {
        (DataType::Null, _) | (_, ColumnType::String) => true,
        (source, _) if is_text(source) || is_bytes => true,
        (DataType::Dictionary(_, value), declared) => fits(value, declared),
        (DataType::Union(fields, _), declared) => fields.iter().any(|(_, field)| fits(field.data_type(), declared)),
        (DataType::FixedSizeBinary(_), ColumnType::Binary(_)) => true,
        (_, ColumnType::Int(_) | ColumnType::Uint(_) | ColumnType::Float(_) | ColumnType::Decimal { .. }) => is_number,
        (DataType::Boolean, ColumnType::Boolean(_)) => true,
        (_, ColumnType::Boolean(_)) => source.is_integer(),
        (DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _), ColumnType::Date(_)) => true,
        (DataType::Time32(_) | DataType::Time64(_), ColumnType::Time(_)) => true,
        (DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _), ColumnType::Timestamp(_)) => true,
        (_, ColumnType::Timestamp(format)) => {
            source.is_integer() && ColumnType::EPOCHS.contains(&format.pattern.as_str())
        }
        (DataType::List(item) | DataType::LargeList(item), ColumnType::List(declared)) => {
            misfit(item.data_type(), declared).is_none()
        }
        (DataType::Struct(fields), ColumnType::Struct(declared)) => declared.iter().all(|named| {
            fields.find(&named.name).is_none_or(|(_, field)| misfit(field.data_type(), &named.column_type).is_none())
        }),
        (DataType::Map(entries, _), ColumnType::Struct(declared)) => match entries.data_type() {
            DataType::Struct(entry) if entry.len() == 2 => {
                declared.iter().all(|named| misfit(entry[1].data_type(), &named.column_type).is_none())
            }
            _ => false,
        },
        _ => false,
    }
}
