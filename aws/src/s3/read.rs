use std::ops::Range;

use aws_sdk_s3::primitives::DateTime;
use chrono::Utc;
use futures::StreamExt;
use object_store::{Attribute, Attributes, GetOptions, GetResult, GetResultPayload, ObjectMeta, Result, path::Path};
use stepwell_pipeline::{ErrorKind, StageError};

use super::{
    S3Store,
    attributes::Found,
    body_stream,
    error::{generic, operation_error},
    quoted, unquoted,
};

/// Attributes and metadata of the object that an answer of HeadObject or GetObject is about; the two share these
/// fields and no trait.
macro_rules! described {
    ($output:expr, $location:expr, $size:expr) => {{
        let found = Found {
            named: [
                (Attribute::CacheControl, $output.cache_control()),
                (Attribute::ContentDisposition, $output.content_disposition()),
                (Attribute::ContentEncoding, $output.content_encoding()),
                (Attribute::ContentLanguage, $output.content_language()),
                (Attribute::ContentType, $output.content_type()),
            ],
            metadata: $output.metadata(),
        };
        let meta = ObjectMeta {
            location: $location.clone(),
            last_modified: $output.last_modified().copied().map(to_chrono).unwrap_or_default(),
            size: $size,
            e_tag: $output.e_tag().map(|etag| unquoted(etag.to_owned())),
            version: $output.version_id().map(str::to_owned),
        };
        (Attributes::from(found), meta)
    }};
}

pub(super) async fn head(store: &S3Store, location: &Path, options: GetOptions) -> Result<GetResult> {
    let output = store
        .client
        .head_object()
        .bucket(&*store.bucket)
        .key(location.as_ref())
        .set_version_id(options.version)
        .set_if_match(options.if_match.as_deref().map(quoted))
        .set_if_none_match(options.if_none_match.as_deref().map(quoted))
        .set_if_modified_since(options.if_modified_since.map(from_chrono))
        .set_if_unmodified_since(options.if_unmodified_since.map(from_chrono))
        .send()
        .await
        .map_err(|error| operation_error(error, location))?;
    let size = length(output.content_length)?;
    let (attributes, meta) = described!(output, location, size);
    let payload = GetResultPayload::Stream(futures::stream::empty().boxed());
    Ok(GetResult { payload, meta, range: 0..size, attributes })
}

pub(super) async fn get(store: &S3Store, location: &Path, options: GetOptions) -> Result<GetResult> {
    if let Some(range) = &options.range {
        range.is_valid().map_err(|error| {
            generic(StageError::with_source(ErrorKind::Internal, "the range asked for is not valid", error))
        })?;
    }
    let output = store
        .client
        .get_object()
        .bucket(&*store.bucket)
        .key(location.as_ref())
        .set_version_id(options.version)
        .set_range(options.range.as_ref().map(ToString::to_string))
        .set_if_match(options.if_match.as_deref().map(quoted))
        .set_if_none_match(options.if_none_match.as_deref().map(quoted))
        .set_if_modified_since(options.if_modified_since.map(from_chrono))
        .set_if_unmodified_since(options.if_unmodified_since.map(from_chrono))
        .send()
        .await
        .map_err(|error| operation_error(error, location))?;
    let (range, size) = match (&options.range, output.content_range()) {
        (None, _) => {
            let size = length(output.content_length)?;
            (0..size, size)
        }
        (Some(_), Some(header)) => content_range(header).ok_or_else(|| unusable("a Content-Range of another form"))?,
        (Some(_), None) => return Err(unusable("the whole object where a range was asked for")),
    };
    let (attributes, meta) = described!(output, location, size);
    Ok(GetResult { payload: GetResultPayload::Stream(body_stream(output.body)), meta, range, attributes })
}

fn length(content_length: Option<i64>) -> Result<u64> {
    content_length.and_then(|length| u64::try_from(length).ok()).ok_or_else(|| unusable("no Content-Length"))
}

fn unusable(what: &str) -> object_store::Error {
    generic(StageError::new(ErrorKind::StoreUnavailable, format!("the service answered with {what}")))
}

/// The bytes that an answer holds and the object's size, from `bytes 0-9/100`.
fn content_range(header: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = header.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?, size.parse().ok()?))
}

pub(super) fn to_chrono(time: DateTime) -> chrono::DateTime<Utc> {
    chrono::DateTime::from_timestamp(time.secs(), time.subsec_nanos()).unwrap_or_default()
}

fn from_chrono(time: chrono::DateTime<Utc>) -> DateTime {
    DateTime::from_secs(time.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_names_bytes_and_size() {
        assert_eq!(content_range("bytes 5-9/100"), Some((5..10, 100)));
        for header in ["bytes */100", "bytes 5-9/*", "5-9/100", "bytes 5-18446744073709551615/100"] {
            assert_eq!(content_range(header), None, "{header}");
        }
    }
}
