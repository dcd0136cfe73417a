use std::{error::Error, fmt};

use serde_saphyr::{Error as YamlError, Location, Spanned};

use crate::{ErrorKind, StageError};

/// One thing that is wrong with a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    /// The file.
    pub file: String,
    /// The line, counted from 1; 0 where it is not known.
    pub line: u64,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            line => write!(f, "{}:{line}: {}", self.file, self.message),
        }
    }
}

/// Everything that is wrong with a spec; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecErrors(pub Vec<SpecError>);

impl fmt::Display for SpecErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl Error for SpecErrors {}

impl From<SpecErrors> for StageError {
    fn from(errors: SpecErrors) -> Self {
        StageError::new(ErrorKind::InvalidSpec, errors.to_string())
    }
}

/// Gathers what is wrong with one file.
pub(super) struct Findings<'a> {
    file: &'a str,
    found: Vec<SpecError>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(file: &'a str) -> Self {
        Self { file, found: Vec::new() }
    }

    pub(super) fn add<T>(&mut self, at: &Spanned<T>, message: impl Into<String>) {
        self.found.push(SpecError { file: self.file.to_owned(), line: at.referenced.line(), message: message.into() });
    }

    pub(super) fn into_result(self) -> Result<(), SpecErrors> {
        if self.found.is_empty() { Ok(()) } else { Err(SpecErrors(self.found)) }
    }
}

/// The name among `known` that a person who wrote `word` most likely meant, if any is near.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().max(word.len()) / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `unknown <what> `word`` with the nearest valid name, or all of them where none is near.
pub(super) fn unknown<'a>(what: &str, word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(meant) => format!("unknown {what} `{word}`; did you mean `{meant}`?"),
        None => {
            let known: Vec<_> = known.into_iter().map(|name| format!("`{name}`")).collect();
            format!("unknown {what} `{word}`; valid are {}", known.join(", "))
        }
    }
}

pub(super) fn from_yaml(file: &str, error: &YamlError) -> SpecErrors {
    let error = error.without_snippet();
    let message = match error {
        YamlError::SerdeUnknownField { field, expected, .. } => unknown("key", field, expected.iter().copied()),
        YamlError::SerdeUnknownVariant { variant, expected, .. } => unknown("value", variant, expected.iter().copied()),
        YamlError::SerdeMissingField { field, .. } => format!("key `{field}` is missing"),
        YamlError::NullIntoString { .. } => {
            "a YAML null stands where text is expected; for the text, quote it, as in \"null\"".to_owned()
        }
        other => {
            let text = other.to_string();
            text.lines().next().unwrap_or_default().to_owned()
        }
    };
    let line = error.location().as_ref().map_or(0, Location::line);
    SpecErrors(vec![SpecError { file: file.to_owned(), line, message }])
}
