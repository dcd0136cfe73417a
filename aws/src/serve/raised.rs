use std::fmt;

use lambda_runtime::Diagnostic;
use stepwell_pipeline::{ErrorKind, StageError};

/// A cause has at most 32,768 characters in the state machine (Step Functions API Reference, `HistoryEvent` details),
/// of which JSON's escapes may take half; a longer one is cut there, and is no JSON any more.
const LONGEST_MESSAGE: usize = 16_000;

/// An error as the state machine sees it. The name is one of our kinds or, raised again, any other's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// What `ErrorEquals` matches.
    pub name: String,
    /// What people read.
    pub message: String,
}

impl Raised {
    /// An error of that name.
    pub fn new(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { name: name.into(), message: message.into() }
    }

    /// Whether the state machine repeats what ended in this error.
    pub fn is_transient(&self) -> bool {
        self.name.parse().is_ok_and(ErrorKind::is_transient)
    }
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

impl From<StageError> for Raised {
    fn from(error: StageError) -> Self {
        Self::new(error.kind().name(), error.report())
    }
}

impl From<Raised> for Diagnostic {
    fn from(raised: Raised) -> Self {
        let mut error_message = raised.message;
        if let Some((cut, _)) = error_message.char_indices().nth(LONGEST_MESSAGE) {
            error_message.truncate(cut);
            error_message.push('…');
        }
        Diagnostic { error_type: raised.name, error_message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_the_name() {
        for kind in ErrorKind::ALL {
            let raised = Raised::from(StageError::new(*kind, "why"));
            assert_eq!(raised.is_transient(), kind.is_transient());
            let diagnostic = Diagnostic::from(raised);
            assert_eq!((diagnostic.error_type.as_str(), diagnostic.error_message.as_str()), (kind.name(), "why"));
        }
    }

    #[test]
    fn a_name_of_another_is_kept() {
        let raised = Raised::new("States.Timeout", "ü".repeat(LONGEST_MESSAGE + 5));
        assert!(!raised.is_transient());
        let diagnostic = Diagnostic::from(raised);
        assert_eq!(diagnostic.error_type, "States.Timeout");
        assert_eq!(diagnostic.error_message.chars().count(), LONGEST_MESSAGE + 1);
    }
}
