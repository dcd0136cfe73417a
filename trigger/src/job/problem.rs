use std::collections::BTreeMap;

use serde_json::json;
use stepwell_pipeline::{ErrorKind, StageError};

use super::{api::ProblemDetails, http::Response};

/// What a request cannot be answered with otherwise (RFC 9457, "Problem Details for HTTP APIs").
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Problem {
    pub(super) status: u16,
    /// One word.
    pub(super) title: String,
    pub(super) detail: String,
    headers: BTreeMap<&'static str, String>,
}

impl Problem {
    pub(super) fn new(status: u16, title: &str, detail: impl Into<String>) -> Self {
        Self { status, title: title.to_owned(), detail: detail.into(), headers: BTreeMap::new() }
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(400, ErrorKind::InvalidInput.name(), detail)
    }

    #[must_use]
    pub(super) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.insert(name, value.into());
        self
    }
}

/// What the stores and the executions say: later it may go better, or it is not the client's fault.
impl From<StageError> for Problem {
    fn from(error: StageError) -> Self {
        let problem =
            Self::new(if error.kind().is_transient() { 503 } else { 500 }, error.kind().name(), error.report());
        if error.kind().is_transient() { problem.with_header("retry-after", "5") } else { problem }
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        let details = ProblemDetails {
            problem_type: format!("urn:stepwell:problem:{}", problem.title),
            title: problem.title,
            status: problem.status,
            detail: problem.detail,
        };
        let mut response = Self::json(problem.status, &json!(details));
        response.headers.extend(problem.headers);
        response.headers.insert("content-type", "application/problem+json".to_owned());
        response
    }
}
