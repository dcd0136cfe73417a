//! What commands that reach a deployment on AWS are given: options, or the environment variables that functions have.

use std::env;

use stepwell_pipeline::{ErrorKind, StageError};

use super::CommandError;

/// Settings that may come from an option or a variable, read so that all that are missing are named at once.
#[derive(Default)]
pub(super) struct Settings {
    missing: Vec<String>,
}

impl Settings {
    /// An option's value, else the variable's; where there is neither an empty text, and [`Settings::finish`] will refuse.
    pub(super) fn required(&mut self, given: Option<String>, option: &str, variable: &str) -> String {
        optional(given, variable).unwrap_or_else(|| {
            self.missing.push(format!("{option} or {variable}"));
            String::new()
        })
    }

    pub(super) fn finish(self) -> Result<(), CommandError> {
        if self.missing.is_empty() {
            return Ok(());
        }
        Err(CommandError::Usage(format!("missing: {}", self.missing.join(", "))))
    }
}

pub(super) fn optional(given: Option<String>, variable: &str) -> Option<String> {
    given.or_else(|| env::var(variable).ok()).filter(|value| !value.is_empty())
}

/// What a stage's error is to a person at the command line.
pub(super) fn told(error: StageError) -> CommandError {
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::InvalidSpec | ErrorKind::NoPipeline => CommandError::Usage(error.report()),
        kind => CommandError::Failed(format!("{kind}: {}", error.report())),
    }
}
