//! Mends a defect of ministack 1.5.33: a GET that names a version ignores its `Range` header and answers with the
//! whole object. S3 answers 206 with the range (Amazon S3 API Reference, `GetObject`).

use http_body_util::BodyExt;
use hyper::{HeaderMap, Request, Response, StatusCode, header};

use crate::http::{self, Body, Cut};

/// The range that a request for a version asks for.
pub(crate) fn asked_of_version<B>(request: &Request<B>) -> Option<String> {
    let names_version = request.uri().query().is_some_and(|query| query.contains("versionId="));
    let range = request.headers().get(header::RANGE)?.to_str().ok()?;
    names_version.then(|| range.to_owned())
}

/// The answer that S3 would have given, made from one that holds the whole object.
pub(crate) async fn mend(answer: Response<Body>, range: &str) -> Result<Response<Body>, Cut> {
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let size = body.len();
    let (first, last) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).ok_or(Cut)?;
    let first: usize = first.parse().map_err(|_| Cut)?;
    let last = last.parse().map_or(size - 1, |last: usize| last.min(size - 1));
    let mut mended = Response::new(http::full(body.slice(first..=last)));
    *mended.status_mut() = StatusCode::PARTIAL_CONTENT;
    // A checksum of the whole object does not hold for a part of it, and S3 sends none.
    let kept = parts.headers.iter().filter(|(name, _)| !name.as_str().starts_with("x-amz-checksum-"));
    *mended.headers_mut() = kept.map(|(name, value)| (name.clone(), value.clone())).collect::<HeaderMap>();
    mended.headers_mut().insert(header::CONTENT_LENGTH, (last + 1 - first).into());
    let content_range = format!("bytes {first}-{last}/{size}").parse().map_err(|_| Cut)?;
    mended.headers_mut().insert(header::CONTENT_RANGE, content_range);
    Ok(mended)
}
