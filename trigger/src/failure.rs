use stepwell_pipeline::{ErrorKind, StageError, queue::DeathCause};

/// An error, and the pipeline that it concerns.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The pipeline, where one is known.
    pub(crate) pipeline: Option<String>,
    pub(crate) error: StageError,
}

/// What went wrong with one event. An event is about several objects and pipelines, and each fails by itself.
#[derive(Debug, Default)]
pub(crate) struct Failures(Vec<Failure>);

impl Failures {
    pub(crate) fn push(&mut self, pipeline: Option<&str>, error: StageError) {
        self.0.push(Failure { pipeline: pipeline.map(str::to_owned), error });
    }

    pub(crate) fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was done, unless something went wrong beside.
    pub(crate) fn or_done<T>(self, done: T) -> Result<T, Self> {
        if self.is_empty() { Ok(done) } else { Err(self) }
    }

    /// Whether a repetition of the event may mend something.
    pub(crate) fn is_any_transient(&self) -> bool {
        self.0.iter().any(|failure| failure.error.kind().is_transient())
    }

    /// What the dead letter says: all that went wrong, under the name of what no repetition mends, if there is such.
    pub(crate) fn cause(&self) -> DeathCause {
        let leading = self.0.iter().find(|failure| !failure.error.kind().is_transient()).or(self.0.first());
        let kind = leading.map_or(ErrorKind::Internal, |failure| failure.error.kind());
        let mut pipelines: Vec<&str> = self.0.iter().filter_map(|failure| failure.pipeline.as_deref()).collect();
        pipelines.sort_unstable();
        pipelines.dedup();
        DeathCause {
            error: kind.name().to_owned(),
            message: self.report(),
            pipeline: (!pipelines.is_empty()).then(|| pipelines.join(",")),
        }
    }

    fn report(&self) -> String {
        let mut reports: Vec<String> = Vec::with_capacity(self.0.len());
        for Failure { pipeline, error } in &self.0 {
            let report = match pipeline {
                Some(pipeline) => format!("{pipeline}: {}", error.report()),
                None => error.report(),
            };
            if !reports.contains(&report) {
                reports.push(report);
            }
        }
        reports.join("; ")
    }

    /// The first error, for who can be told of only one.
    pub(crate) fn into_first(self) -> StageError {
        let first = self.0.into_iter().next();
        first.map_or_else(|| StageError::new(ErrorKind::Internal, "failed without an error"), |failure| failure.error)
    }
}

impl From<StageError> for Failures {
    fn from(error: StageError) -> Self {
        Self(vec![Failure { pipeline: None, error }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_names_what_no_repetition_mends_and_every_pipeline() {
        let mut failures = Failures::default();
        failures.push(Some("b"), StageError::new(ErrorKind::Throttled, "slow down"));
        failures.push(Some("a"), StageError::new(ErrorKind::AccessDenied, "not yours"));
        failures.push(None, StageError::new(ErrorKind::NoPipeline, "nobody's"));
        failures.push(Some("a"), StageError::new(ErrorKind::AccessDenied, "not yours"));
        assert!(failures.is_any_transient());
        let cause = DeathCause {
            error: "AccessDenied".into(),
            message: "b: slow down; a: not yours; nobody's".into(),
            pipeline: Some("a,b".into()),
        };
        assert_eq!(failures.cause(), cause);
        assert_eq!(failures.into_first().kind(), ErrorKind::Throttled);
    }

    #[test]
    fn a_transient_error_alone_is_named_too() {
        let failures = Failures::from(StageError::new(ErrorKind::StoreUnavailable, "gone away"));
        let cause = DeathCause { error: "StoreUnavailable".into(), message: "gone away".into(), pipeline: None };
        assert_eq!(failures.cause(), cause);
    }
}
