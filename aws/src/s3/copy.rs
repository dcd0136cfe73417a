use std::error::Error as StdError;

use aws_sdk_s3::{
    Client,
    error::ProvideErrorMetadata,
    operation::head_object::HeadObjectOutput,
    types::{ChecksumAlgorithm, CompletedPart},
};
use futures::{StreamExt, TryStreamExt};
use object_store::{Error, Result, path::Path};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use stepwell_pipeline::store::ObjectRef;
use tracing::warn;

use super::{S3Store, error::operation_error, upload::UploadTarget};

/// What one CopyObject takes: 5 GiB (S3 API Reference, `CopyObject`).
const WHOLE_COPY_LIMIT: u64 = 5 << 30;

/// Large enough that the 10,000 parts of an upload reach S3's largest objects of 50 TB, small enough that several
/// copied at once are quicker than one.
const LEAST_PART: u64 = 512 << 20;

/// The most parts that an upload has (S3 User Guide, "Amazon S3 multipart upload limits").
const MOST_PARTS: u64 = 10_000;

const PARTS_AT_ONCE: usize = 8;

/// Everything but what RFC 3986 leaves alone, and the slashes between segments.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Copies an object on S3's side, possibly into another bucket; with `create` only if there is none of that key.
pub(super) async fn copy(client: &Client, from: &ObjectRef, bucket: &str, to: &Path, create: bool) -> Result<()> {
    let copied = client
        .copy_object()
        .copy_source(copy_source(from))
        .bucket(bucket)
        .key(to.as_ref())
        .set_if_none_match(create.then(|| "*".to_owned()))
        .send()
        .await;
    let Err(error) = copied else { return Ok(()) };
    // S3 says InvalidRequest for a source that is too large, and for much else: only then is the size asked for.
    if error.code() == Some("InvalidRequest") {
        let source = client.head_object().bucket(&from.bucket).key(&from.key).send().await;
        if let Ok(source) = source
            && size(&source) > WHOLE_COPY_LIMIT
        {
            return copy_in_parts(client, from, &source, bucket, to, create).await;
        }
    }
    Err(copy_error(error, from, to, create))
}

fn copy_error<E>(
    error: aws_sdk_s3::error::SdkError<E, aws_sdk_s3::config::http::HttpResponse>,
    from: &ObjectRef,
    to: &Path,
    create: bool,
) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    match operation_error(error, to) {
        Error::Precondition { path, source } if create => Error::AlreadyExists { path, source },
        // Of the two objects only the source can be missing.
        Error::NotFound { source, .. } => Error::NotFound { path: from.key.clone(), source },
        error => error,
    }
}

async fn copy_in_parts(
    client: &Client,
    from: &ObjectRef,
    source: &HeadObjectOutput,
    bucket: &str,
    to: &Path,
    create: bool,
) -> Result<()> {
    let begun = client
        .create_multipart_upload()
        .bucket(bucket)
        .key(to.as_ref())
        .checksum_algorithm(ChecksumAlgorithm::Crc32)
        .set_content_type(source.content_type.clone())
        .set_content_encoding(source.content_encoding.clone())
        .set_metadata(source.metadata.clone())
        .send()
        .await
        .map_err(|error| operation_error(error, to))?;
    let target = UploadTarget::new(S3Store::new(client.clone(), bucket), to.clone(), begun.upload_id)?;
    let copied = async {
        let parts = copy_parts(client, from, source, &target).await?;
        target.complete(parts, create).await
    };
    match copied.await {
        Ok(_) => Ok(()),
        Err(error) => {
            if let Err(abort_error) = target.abort().await {
                warn!(key = %to, error = %abort_error, "unfinished copy left for the bucket's lifecycle rule");
            }
            Err(error)
        }
    }
}

async fn copy_parts(
    client: &Client,
    from: &ObjectRef,
    source: &HeadObjectOutput,
    target: &UploadTarget,
) -> Result<Vec<CompletedPart>> {
    let copies = part_ranges(size(source)).into_iter().zip(1..).map(|((first, last), number)| async move {
        let output = client
            .upload_part_copy()
            .copy_source(copy_source(from))
            .copy_source_range(format!("bytes={first}-{last}"))
            // The parts must be of one version of the source.
            .set_copy_source_if_match(source.e_tag.clone())
            .bucket(&*target.store.bucket)
            .key(target.location.as_ref())
            .upload_id(&target.upload_id)
            .part_number(number)
            .send()
            .await
            .map_err(|error| copy_error(error, from, &target.location, false))?;
        let result = output.copy_part_result;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(result.as_ref().and_then(|part| part.e_tag.clone()))
            .set_checksum_crc32(result.and_then(|part| part.checksum_crc32))
            .build())
    });
    futures::stream::iter(copies).buffered(PARTS_AT_ONCE).try_collect().await
}

/// The first and last byte of each part of an object.
fn part_ranges(size: u64) -> Vec<(u64, u64)> {
    let part = LEAST_PART.max(size.div_ceil(MOST_PARTS));
    (0..size.div_ceil(part)).map(|index| (index * part, ((index + 1) * part).min(size) - 1)).collect()
}

fn size(object: &HeadObjectOutput) -> u64 {
    object.content_length.and_then(|length| u64::try_from(length).ok()).unwrap_or_default()
}

/// `bucket/key` with the key percent-encoded (S3 API Reference, `CopyObject`, `x-amz-copy-source`).
fn copy_source(from: &ObjectRef) -> String {
    format!("{}/{}", from.bucket, utf8_percent_encode(&from.key, ENCODED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_encoded_but_for_its_slashes() {
        let from = ObjectRef::new("b", "in/a b+c%20ü=1.csv");
        assert_eq!(copy_source(&from), "b/in/a%20b%2Bc%2520%C3%BC%3D1.csv");
    }

    #[test]
    fn parts_cover_the_object_without_gap_or_overlap() {
        for size in [WHOLE_COPY_LIMIT + 1, 2 * LEAST_PART, 2 * LEAST_PART + 1, 50_000_000_000_000] {
            let ranges = part_ranges(size);
            assert!(ranges.len() as u64 <= MOST_PARTS, "{size}");
            let end = ranges.iter().fold(0, |next, (first, last)| {
                assert_eq!(*first, next, "{size}");
                assert!(last >= first && last - first < WHOLE_COPY_LIMIT, "{size}");
                last + 1
            });
            assert_eq!(end, size);
        }
    }
}
