//! What only this stage can check of a spec: conditions and character encodings.

mod compile;
mod condition;
mod evaluate;
mod types;

use stepwell_pipeline::spec::{CheckedSpec, Spanned, SpecError, SpecErrors};

pub(crate) use self::condition::Condition;
use crate::{column, source};

/// Checks of a spec what only this stage can: conditions and character encodings.
///
/// # Errors
/// Everything that is wrong, with file and line.
pub fn check(spec: &CheckedSpec) -> Result<(), SpecErrors> {
    let mut found = Vec::new();
    let mut add = |line: u64, message: String| found.push(SpecError { file: spec.file.clone(), line, message });
    if let Some(encoding) = &spec.spec.source.encoding
        && let Err(message) = source::encoding(&encoding.value)
    {
        add(line(encoding), message);
    }
    for (index, column) in spec.columns.iter().enumerate() {
        let declared = spec.spec.schema.get(index).map_or(0, |declared| line(&declared.name));
        for message in column::check(column) {
            add(declared, format!("column `{}`: {message}", column.name));
        }
        if let (Some(condition), Err(message)) = (&column.check, Condition::new(&spec.columns, index)) {
            add(line(condition), format!("column `{}`: `check`: {message}", column.name));
        }
    }
    if found.is_empty() { Ok(()) } else { Err(SpecErrors(found)) }
}

fn line<T>(at: &Spanned<T>) -> u64 {
    at.referenced.line()
}

#[cfg(test)]
mod tests;
