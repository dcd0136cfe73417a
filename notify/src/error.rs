use std::{error::Error, fmt};

use stepwell_pipeline::StageError;

/// How a call of `notify` fails.
#[derive(Debug)]
pub enum NotifyError {
    /// The call itself failed.
    Own(StageError),
    /// The call did what it was asked to: it raises the error in which a stage ended, so that the execution ends in
    /// it too.
    Original {
        /// The error's name: one of our kinds or one of AWS's own names.
        name: String,
        /// The error's message.
        message: String,
    },
}

impl NotifyError {
    /// The name that the state machine sees.
    pub fn name(&self) -> &str {
        match self {
            Self::Own(error) => error.kind().name(),
            Self::Original { name, .. } => name,
        }
    }

    /// The message that people read, with all causes.
    pub fn message(&self) -> String {
        match self {
            Self::Own(error) => error.report(),
            Self::Original { message, .. } => message.clone(),
        }
    }
}

impl From<StageError> for NotifyError {
    fn from(error: StageError) -> Self {
        Self::Own(error)
    }
}

impl fmt::Display for NotifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.message())
    }
}

impl Error for NotifyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Own(error) => error.source(),
            Self::Original { .. } => None,
        }
    }
}
