//! What only this stage can check of a spec: conditions and character encodings.

mod compile;
mod condition;
mod evaluate;
mod types;

use encoding_rs::Encoding;
use stepwell_pipeline::spec::{CheckedSpec, Spanned, SpecError, SpecErrors, nearest};

pub(crate) use self::condition::Condition;
use crate::column;

/// Encodings that messages propose; all of the WHATWG's labels are understood.
const ENCODINGS: [&str; 12] = [
    "utf-8",
    "utf-16le",
    "utf-16be",
    "latin1",
    "iso-8859-1",
    "iso-8859-2",
    "iso-8859-15",
    "windows-1250",
    "windows-1251",
    "windows-1252",
    "shift_jis",
    "gb18030",
];

/// Checks of a spec what only this stage can: conditions and character encodings.
///
/// # Errors
/// Everything that is wrong, with file and line.
pub fn check(spec: &CheckedSpec) -> Result<(), SpecErrors> {
    let mut found = Vec::new();
    let mut add = |line: u64, message: String| found.push(SpecError { file: spec.file.clone(), line, message });
    if let Some(encoding) = &spec.spec.source.encoding
        && let Err(message) = check_encoding(&encoding.value)
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

fn check_encoding(label: &str) -> Result<(), String> {
    // The WHATWG's `replacement` decodes nothing: its labels are those of encodings that are unsafe to read.
    if Encoding::for_label_no_replacement(label.as_bytes()).is_some() {
        return Ok(());
    }
    Err(match nearest(label, ENCODINGS) {
        Some(meant) => format!("unknown encoding `{label}`; did you mean `{meant}`?"),
        None => format!("unknown encoding `{label}`; common ones are {}", ENCODINGS.join(", ")),
    })
}

#[cfg(test)]
mod tests;
