use datafusion::{
    common::{Column, SchemaError},
    error::DataFusionError,
};
use stepwell_pipeline::spec::{CheckedSpec, Spanned, SpecError, nearest};

/// What is wrong with the SQL, in words for its author.
pub(super) fn explained(error: &DataFusionError, tables: &[&str]) -> String {
    match error.find_root() {
        DataFusionError::SchemaError(schema_error, _) => match schema_error.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let names = valid_fields.iter().map(Column::name);
                format!("the SQL names a column `{}` that does not exist{}", field.name, hint(&field.name, names))
            }
            other => format!("the SQL is wrong: {other}"),
        },
        DataFusionError::Plan(message) if message.contains("not found") && message.contains("table") => match tables {
            [only] => format!("the SQL is wrong: {message}; the only table is `{only}`"),
            several => format!("the SQL is wrong: {message}; there are `{}`", several.join("`, `")),
        },
        DataFusionError::Plan(message) => format!("the SQL is wrong: {message}"),
        other => format!("the SQL is wrong: {}", other.strip_backtrace()),
    }
}

/// The nearest valid name, or all where none is near.
pub(super) fn hint<'a>(name: &str, valid: impl Iterator<Item = &'a str>) -> String {
    let valid: Vec<_> = valid.collect();
    match nearest(name, valid.iter().copied()) {
        Some(meant) => format!("; did you mean `{meant}`?"),
        None => format!("; there are `{}`", valid.join("`, `")),
    }
}

/// An error at a place of the spec.
pub(super) fn error_at<T>(spec: &CheckedSpec, at: &Spanned<T>, message: String) -> SpecError {
    SpecError { file: spec.file.clone(), line: at.referenced.line(), message }
}
