//! The closed set of errors that a stage can end in.

use std::{error::Error, fmt, str::FromStr};

macro_rules! error_kinds {
    ($($(#[$doc:meta])* $name:ident: $class:ident,)+) => {
        /// What went wrong, in one word that is also the error's name in the state machine.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ErrorKind { $($(#[$doc])* $name,)+ }

        impl ErrorKind {
            /// Every kind, in the order of declaration.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name,)+];

            /// The name that `ErrorEquals` in the state machine matches.
            pub fn name(self) -> &'static str {
                match self { $(ErrorKind::$name => stringify!($name),)+ }
            }

            /// Whether a repetition of the same work may succeed, so that the state machine retries it.
            pub fn is_transient(self) -> bool {
                match self { $(ErrorKind::$name => error_kinds!(@ $class),)+ }
            }
        }
    };
    (@ transient) => { true };
    (@ permanent) => { false };
}

error_kinds! {
    /// The object store answered with a server error or not at all.
    StoreUnavailable: transient,
    /// A service asked for fewer requests.
    Throttled: transient,
    /// The place that a notice or a table goes to did not answer.
    TargetUnavailable: transient,
    /// The function's time ran out before its work was done.
    OutOfTime: transient,
    /// What the stage was given lacks something or contradicts itself.
    InvalidInput: permanent,
    /// The pipeline's spec is wrong.
    InvalidSpec: permanent,
    /// No pipeline's `match` fits the key.
    NoPipeline: permanent,
    /// The bucket or the object does not exist.
    SourceMissing: permanent,
    /// The object is no longer the version that the run pinned.
    SourceChanged: permanent,
    /// The role may not do what the stage needs.
    AccessDenied: permanent,
    /// The object's bytes are not of the declared format.
    UnreadableSource: permanent,
    /// The object's columns are not those that the spec declares.
    SchemaMismatch: permanent,
    /// More records were rejected than `rejects.tolerate` allows.
    TooManyRejects: permanent,
    /// The SQL could not be carried out.
    TransformFailed: permanent,
    /// Another run committed the same key meanwhile.
    Conflict: permanent,
    /// The counts of the stages do not add up.
    ReconciliationFailed: permanent,
    /// A defect of Stepwell itself.
    Internal: permanent,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ErrorKind {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name).ok_or(())
    }
}

/// The error that every stage returns: a kind to decide by, a message to read, the cause where there is one.
#[derive(Debug)]
pub struct StageError {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StageError {
    /// An error without a cause of its own. The message is lowercase, without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// An error with the fault that led to it.
    pub fn with_source(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { kind, message: message.into(), source: Some(source.into()) }
    }

    /// What went wrong, in one word.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message followed by the messages of all causes, each once.
    ///
    /// SDK errors say only "dispatch failure" in their own `Display`; what a person needs is further down.
    pub fn report(&self) -> String {
        let mut report = self.message.clone();
        let mut next = self.source();
        while let Some(error) = next {
            let text = error.to_string();
            if !report.contains(&text) {
                report.push_str(": ");
                report.push_str(&text);
            }
            next = error.source();
        }
        report
    }
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for StageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for kind in ErrorKind::ALL {
            assert_eq!(kind.name().parse(), Ok(*kind));
            assert_eq!(kind.to_string(), kind.name());
        }
    }

    #[test]
    fn report_gives_the_whole_chain_once() {
        let inner = StageError::new(ErrorKind::Throttled, "slow down");
        let outer = StageError::with_source(ErrorKind::StoreUnavailable, "cannot read the manifest", inner);
        assert_eq!(outer.report(), "cannot read the manifest: slow down");
        assert_eq!(outer.to_string(), "cannot read the manifest");
    }
}
