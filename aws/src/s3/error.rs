use std::error::Error as StdError;

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use object_store::{Error, path::Path};
use stepwell_pipeline::{ErrorKind, StageError};

use crate::fault::{Fault, stage_error};

/// The store's error for a failed operation on an object (or, for listings, on a prefix).
pub(super) fn operation_error<E>(error: SdkError<E, HttpResponse>, location: &Path) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let path = location.to_string();
    match Fault::of(&error) {
        Fault::Missing => Error::NotFound { path, source: error.into() },
        Fault::Denied => Error::PermissionDenied { path, source: error.into() },
        Fault::ConditionFailed => Error::Precondition { path, source: error.into() },
        Fault::NotModified => Error::NotModified { path, source: error.into() },
        Fault::Throttled | Fault::Unavailable | Fault::Other => {
            generic(stage_error(error, ErrorKind::StoreUnavailable, format!("operation on {path:?} failed")))
        }
    }
}

/// An error whose kind `stepwell_pipeline::store::classify` finds again.
pub(super) fn generic(source: StageError) -> Error {
    Error::Generic { store: "S3", source: source.into() }
}

pub(super) fn unsupported(message: &'static str) -> Error {
    Error::NotSupported { source: message.into() }
}

pub(super) fn is_bucket_missing<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    error.code() == Some("NoSuchBucket")
}
