use std::collections::BTreeMap;

use stepwell_pipeline::{
    ErrorKind, StageError,
    spec::{CheckedSpec, Column, UnknownColumns, nearest},
};

use crate::csv::Record;

/// Which field of a record holds which column of the schema.
pub(crate) struct Layout {
    field_of_column: Vec<usize>,
    fields: usize,
}

impl Layout {
    /// The layout of a source without a header: the schema's order.
    pub(crate) fn by_position(columns: &[Column]) -> Self {
        Self { field_of_column: (0..columns.len()).collect(), fields: columns.len() }
    }

    /// The layout that a header names.
    ///
    /// # Errors
    /// `UnreadableSource` for a header that is not UTF-8; `SchemaMismatch`, naming what is missing, what is extra
    /// and what stands twice.
    pub(crate) fn from_header(record: &Record<'_>, spec: &CheckedSpec, object: &str) -> Result<Self, StageError> {
        let mut found = BTreeMap::new();
        let mut faults = Vec::new();
        for index in 0..record.field_count() {
            let name = std::str::from_utf8(record.field(index)).map_err(|error| {
                StageError::with_source(
                    ErrorKind::UnreadableSource,
                    format!("the header of {object} is not UTF-8 in field {}; convert the file to UTF-8", index + 1),
                    error,
                )
            })?;
            let declared = spec.columns.iter().any(|column| column.name == name);
            if found.insert(name, index).is_some() && declared {
                faults.push(format!("`{name}` stands twice"));
            }
        }
        let missing: Vec<&str> =
            spec.columns.iter().map(|column| column.name.as_str()).filter(|name| !found.contains_key(name)).collect();
        let extra: Vec<&str> =
            found.keys().copied().filter(|name| spec.columns.iter().all(|column| column.name != *name)).collect();
        if !missing.is_empty() {
            let named: Vec<_> = missing.iter().map(|name| with_nearest(name, &extra)).collect();
            faults.push(format!("missing {}", named.join(", ")));
        }
        if !extra.is_empty() && (spec.spec.unknown_columns == UnknownColumns::Reject || !missing.is_empty()) {
            let named: Vec<_> = extra.iter().map(|name| format!("`{name}`")).collect();
            faults.push(format!("extra {}", named.join(", ")));
        }
        if !faults.is_empty() {
            return Err(StageError::new(
                ErrorKind::SchemaMismatch,
                format!("the header of {object} does not fit the schema of `{}`: {}", spec.name(), faults.join("; ")),
            ));
        }
        let field_of_column = spec.columns.iter().filter_map(|column| found.get(column.name.as_str()).copied());
        Ok(Self { field_of_column: field_of_column.collect(), fields: record.field_count() })
    }

    /// How many fields a record has.
    pub(crate) fn fields(&self) -> usize {
        self.fields
    }

    /// The field that holds a column.
    pub(crate) fn field_of(&self, column: usize) -> usize {
        self.field_of_column[column]
    }
}

fn with_nearest(name: &str, candidates: &[&str]) -> String {
    match nearest(name, candidates.iter().copied()) {
        Some(candidate) => format!("`{name}` (is it `{candidate}`?)"),
        None => format!("`{name}`"),
    }
}
