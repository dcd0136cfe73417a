use std::collections::HashMap;

use stepwell_pipeline::{
    ErrorKind, StageError,
    spec::{CheckedSpec, UnknownColumns, nearest},
};

/// Names that a message lists at most.
const NAMED_MAX: usize = 10;
/// Undeclared names among which a misspelt one is looked for.
const CANDIDATES_MAX: usize = 1000;

/// Which field of a record holds which column of the schema.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    /// By declared column; nothing where the source lacks it.
    field_of_column: Vec<Option<usize>>,
    fields: usize,
    /// The fields to keep that no column declares, with their names.
    extra: Vec<(usize, String)>,
}

impl Layout {
    /// The layout of a source without a header: the schema's order.
    pub(crate) fn by_position(columns: usize) -> Self {
        Self { field_of_column: (0..columns).map(Some).collect(), fields: columns, extra: Vec::new() }
    }

    /// The layout that a header names.
    ///
    /// # Errors
    /// `UnreadableSource` for a name that is not UTF-8; `SchemaMismatch`, naming what is missing, what is extra
    /// and what stands twice.
    pub(crate) fn from_names<'a>(
        names: impl Iterator<Item = &'a [u8]>,
        spec: &CheckedSpec,
        object: &str,
    ) -> Result<Self, StageError> {
        let mut columns: HashMap<&str, Vec<usize>> = HashMap::new();
        for (column, declared) in spec.columns.iter().enumerate() {
            columns.entry(&declared.path[0]).or_default().push(column);
        }
        let mut field_of_column = vec![None; spec.columns.len()];
        let mut faults = Vec::new();
        let mut extra_names: Vec<&str> = Vec::new();
        let (mut extra, mut extra_count, mut fields) = (Vec::new(), 0_usize, 0_usize);
        for (field, name) in names.enumerate() {
            fields += 1;
            let name = std::str::from_utf8(name).map_err(|error| {
                let message = format!(
                    "the header of {object} is not UTF-8 in field {}; name the file's `encoding` in the spec",
                    field + 1
                );
                StageError::with_source(ErrorKind::UnreadableSource, message, error)
            })?;
            match columns.get(name.trim()) {
                Some(declared) => {
                    for column in declared {
                        if field_of_column[*column].replace(field).is_some() && faults.len() < NAMED_MAX {
                            faults.push(format!("`{name}` stands twice"));
                        }
                    }
                }
                None => {
                    extra_count += 1;
                    if extra_names.len() < CANDIDATES_MAX {
                        extra_names.push(name);
                    }
                    if spec.spec.unknown_columns == UnknownColumns::Keep {
                        extra.push((field, name.to_owned()));
                    }
                }
            }
        }
        let is_needed = |column: usize| spec.columns[column].required && spec.columns[column].default.is_none();
        let absent: Vec<usize> = (0..spec.columns.len()).filter(|column| field_of_column[*column].is_none()).collect();
        let nothing_fits = absent.len() == spec.columns.len();
        let missing: Vec<usize> = absent.into_iter().filter(|column| nothing_fits || is_needed(*column)).collect();
        // What stands where the header should be may be a record, and hold what nobody may see.
        let is_secret = nothing_fits && spec.columns.iter().any(|column| column.pii.is_some());
        if !missing.is_empty() {
            let candidates: &[&str] = if is_secret { &[] } else { &extra_names };
            let named = missing.iter().map(|column| with_nearest(&spec.columns[*column].path[0], candidates));
            faults.push(format!("missing {}", listed(named, missing.len())));
        }
        if extra_count > 0 && is_secret {
            faults.push(format!("extra {extra_count}, not named here since they may be personal data"));
        } else if extra_count > 0 && (spec.spec.unknown_columns == UnknownColumns::Reject || !missing.is_empty()) {
            let declared: Vec<&str> = spec.columns.iter().map(|column| column.path[0].as_str()).collect();
            let named = extra_names.iter().map(|name| match missing.is_empty() {
                true => with_nearest(name, &declared),
                false => format!("`{name}`"),
            });
            faults.push(format!("extra {}", listed(named, extra_count)));
        }
        if faults.is_empty() {
            return Ok(Self { field_of_column, fields, extra });
        }
        Err(StageError::new(
            ErrorKind::SchemaMismatch,
            format!("the header of {object} does not fit the schema of `{}`: {}", spec.name(), faults.join("; ")),
        ))
    }

    /// How many fields a record has.
    pub(crate) fn fields(&self) -> usize {
        self.fields
    }

    /// The field that holds a column, if the source has it.
    pub(crate) fn field_of(&self, column: usize) -> Option<usize> {
        self.field_of_column[column]
    }

    /// The fields to keep that no column declares, with their names.
    pub(crate) fn extra(&self) -> &[(usize, String)] {
        &self.extra
    }
}

fn listed(named: impl Iterator<Item = String>, count: usize) -> String {
    let shown: Vec<String> = named.take(NAMED_MAX).map(|name| name.chars().take(200).collect()).collect();
    match count - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn with_nearest(name: &str, candidates: &[&str]) -> String {
    match nearest(name, candidates.iter().copied()) {
        Some(candidate) => format!("`{name}` (is it `{candidate}`?)"),
        None => format!("`{name}`"),
    }
}
