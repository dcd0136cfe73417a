//! Definitions of state machines among what is checked.

use std::{
    fs,
    path::{Path, PathBuf},
};

use stepwell_statemachine::{
    lint,
    lint::{Finding, Severity},
};

use crate::command::CommandError;

/// The files that are meant: those of a folder which are specs or definitions, in the order of their names.
pub(super) fn files(given: &[PathBuf]) -> Result<Vec<PathBuf>, CommandError> {
    let mut files = Vec::new();
    for path in given {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let found = in_folder(path)
            .map_err(|error| CommandError::Usage(format!("cannot read the folder {}: {error}", path.display())))?;
        if found.is_empty() {
            let message = format!("{} has no spec and no definition of a state machine in it", path.display());
            return Err(CommandError::Usage(message));
        }
        files.extend(found);
    }
    Ok(files)
}

fn in_folder(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let definition = name.ends_with(".asl.json") || name.ends_with(".asl");
        if file.is_file() && (definition || ((name.ends_with(".yaml") || name.ends_with(".yml")) && is_spec(&file)?)) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a YAML file has the key that only specs must have.
fn is_spec(file: &Path) -> std::io::Result<bool> {
    let text = fs::read(file)?;
    Ok(String::from_utf8_lossy(&text).lines().any(|line| line.starts_with("pipeline:")))
}

pub(super) fn is_definition(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "json" || extension == "asl")
}

pub(super) async fn findings(file: &Path) -> Result<Vec<Finding>, CommandError> {
    let text = tokio::fs::read_to_string(file)
        .await
        .map_err(|error| CommandError::Usage(format!("cannot read the definition {}: {error}", file.display())))?;
    Ok(lint(&text))
}

/// Whether something was found that is more than a hint.
pub(super) fn is_wrong(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity != Severity::Hint)
}

/// The findings as a person reads them.
pub(super) fn text(file: &str, findings: &[Finding]) -> String {
    let mut lines: Vec<_> = findings
        .iter()
        .map(|finding| format!("{file}:{finding}\n    why: {}\n    do:  {}", finding.why, finding.remedy))
        .collect();
    if !is_wrong(findings) {
        let hints = match findings.len() {
            0 => "nothing is found".to_owned(),
            1 => "1 hint".to_owned(),
            hints => format!("{hints} hints"),
        };
        lines.push(format!("{file}: the state machine is valid: {hints}"));
    }
    lines.join("\n")
}
