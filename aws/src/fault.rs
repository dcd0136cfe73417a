//! What an answer of a service means, whatever the service.

use std::{error::Error, fmt};

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use stepwell_pipeline::{ErrorKind, StageError};

/// The trouble that an error of the SDK stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The service asks for fewer requests.
    Throttled,
    /// No answer, a broken one or a server error: a repetition may succeed.
    Unavailable,
    /// The role may not do that, or its credentials do not hold.
    Denied,
    /// What the request names does not exist.
    Missing,
    /// A condition of the request does not hold.
    ConditionFailed,
    /// The object is not newer than the caller's.
    NotModified,
    /// Anything else: a repetition would end the same way.
    Other,
}

impl Fault {
    /// The trouble that an error stands for.
    pub(crate) fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        match error {
            SdkError::TimeoutError(_) | SdkError::ResponseError(_) => Self::Unavailable,
            SdkError::DispatchFailure(failure) if failure.is_user() => Self::Other,
            SdkError::DispatchFailure(_) => Self::Unavailable,
            SdkError::ServiceError(answer) => {
                // Only S3 has this header: the version asked for is a deletion.
                let deleted = answer.raw().headers().get("x-amz-delete-marker") == Some("true");
                if deleted { Self::Missing } else { Self::of_answer(status(error), answer.err().code()) }
            }
            _ => Self::Other,
        }
    }

    /// The trouble that an HTTP status and a service's error code stand for.
    ///
    /// Codes come first, since services put throttling and denials under several statuses: the lists of the SDK's
    /// own retry classifier (aws-runtime, `retries/classifiers.rs`) and of S3's error responses.
    pub(crate) fn of_answer(status: Option<u16>, code: Option<&str>) -> Self {
        match code.unwrap_or_default() {
            "Throttling"
            | "ThrottlingException"
            | "Throttled"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "BandwidthLimitExceeded"
            | "LimitExceededException"
            | "SlowDown"
            | "ServiceUnavailable"
            | "PriorRequestNotComplete"
            | "ExecutionLimitExceeded"
            | "KMSThrottling"
            | "KmsThrottlingException" => return Self::Throttled,
            // S3 reports a copy that breaks down midway under the status 200 with which its answer began.
            "InternalError"
            | "RequestTimeout"
            | "RequestTimeoutException"
            | "ConditionalRequestConflict"
            | "OperationAborted" => return Self::Unavailable,
            "AccessDenied"
            | "AccessDeniedException"
            | "AuthorizationError"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "InvalidToken"
            | "UnrecognizedClientException"
            | "KMSAccessDenied"
            | "KmsAccessDeniedException" => return Self::Denied,
            _ => {}
        }
        match status {
            Some(429 | 503) => Self::Throttled,
            Some(500..) => Self::Unavailable,
            Some(401 | 403) => Self::Denied,
            Some(404) => Self::Missing,
            Some(412) => Self::ConditionFailed,
            Some(304) => Self::NotModified,
            _ => Self::Other,
        }
    }

    /// The kind of a stage error for it; `unavailable` is the kind for a service that does not answer.
    pub(crate) fn kind(self, unavailable: ErrorKind) -> ErrorKind {
        match self {
            Self::Throttled => ErrorKind::Throttled,
            Self::Unavailable => unavailable,
            Self::Denied => ErrorKind::AccessDenied,
            Self::Missing | Self::ConditionFailed | Self::NotModified | Self::Other => ErrorKind::Internal,
        }
    }
}

/// The stage error of an error of the SDK: kind by [`Fault`], the whole chain kept as its source.
pub(crate) fn stage_error<E>(
    error: SdkError<E, HttpResponse>,
    unavailable: ErrorKind,
    message: impl fmt::Display,
) -> StageError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let kind = Fault::of(&error).kind(unavailable);
    let message = format!("{message}: {}", answer(&error));
    StageError::with_source(kind, message, error)
}

/// What the service answered, in a few words.
pub(crate) fn answer<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> String {
    match (status(error), error.code()) {
        (Some(status), Some(code)) => format!("the service answered {status} {code}"),
        (Some(status), None) => format!("the service answered {status}"),
        (None, _) => "the service gave no answer".to_owned(),
    }
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_stays() {
        let cases = [
            (Some(503), Some("SlowDown"), Fault::Throttled),
            (Some(503), None, Fault::Throttled),
            (Some(429), None, Fault::Throttled),
            (Some(400), Some("ThrottlingException"), Fault::Throttled),
            (Some(400), Some("ExecutionLimitExceeded"), Fault::Throttled),
            (Some(500), Some("InternalError"), Fault::Unavailable),
            (Some(200), Some("InternalError"), Fault::Unavailable),
            (Some(502), None, Fault::Unavailable),
            (Some(400), Some("RequestTimeout"), Fault::Unavailable),
            (Some(409), Some("ConditionalRequestConflict"), Fault::Unavailable),
            (Some(403), None, Fault::Denied),
            (Some(400), Some("AccessDeniedException"), Fault::Denied),
            (Some(400), Some("ExpiredToken"), Fault::Denied),
            (Some(404), Some("NoSuchBucket"), Fault::Missing),
            (Some(412), Some("PreconditionFailed"), Fault::ConditionFailed),
            (Some(304), None, Fault::NotModified),
            (Some(400), Some("InvalidArgument"), Fault::Other),
            (Some(301), Some("PermanentRedirect"), Fault::Other),
            (None, None, Fault::Other),
        ];
        for (status, code, fault) in cases {
            assert_eq!(Fault::of_answer(status, code), fault, "{status:?} {code:?}");
        }
    }

    #[test]
    fn only_throttling_and_silence_are_worth_a_repetition() {
        for fault in [Fault::Denied, Fault::Missing, Fault::ConditionFailed, Fault::NotModified, Fault::Other] {
            assert!(!fault.kind(ErrorKind::StoreUnavailable).is_transient(), "{fault:?}");
        }
        assert_eq!(Fault::Throttled.kind(ErrorKind::StoreUnavailable), ErrorKind::Throttled);
        assert_eq!(Fault::Unavailable.kind(ErrorKind::TargetUnavailable), ErrorKind::TargetUnavailable);
    }
}
