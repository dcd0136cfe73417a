use aws_sdk_s3::{operation::list_objects_v2::ListObjectsV2Output, types::EncodingType};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{ListResult, ObjectMeta, Result, path::Path};
use percent_encoding::percent_decode_str;
use stepwell_pipeline::{ErrorKind, StageError};
use tracing::debug;

use super::{
    S3Store,
    error::{generic, operation_error},
    read::to_chrono,
    unquoted,
};

/// The objects below a prefix, in the order of their keys.
pub(super) fn objects(
    store: S3Store,
    prefix: Option<&Path>,
    after: Option<&Path>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    pages(store, prefix, after, None)
        .and_then(|page| std::future::ready(metas(&page)))
        .map_ok(|metas| futures::stream::iter(metas.into_iter().map(Ok)))
        .try_flatten()
        .boxed()
}

/// The objects right below a prefix, and the prefixes right below it.
pub(super) async fn level(store: &S3Store, prefix: Option<&Path>) -> Result<ListResult> {
    let mut result = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
    let mut pages = pages(store.clone(), prefix, None, Some("/"));
    while let Some(page) = pages.try_next().await? {
        result.objects.extend(metas(&page)?);
        for common in page.common_prefixes() {
            let key = decoded(common.prefix().unwrap_or_default(), &page)?;
            result.common_prefixes.extend(addressable(key.strip_suffix('/').unwrap_or(&key)));
        }
    }
    Ok(result)
}

fn pages(
    store: S3Store,
    prefix: Option<&Path>,
    after: Option<&Path>,
    delimiter: Option<&'static str>,
) -> BoxStream<'static, Result<ListObjectsV2Output>> {
    // A prefix is a whole segment: `a` has `a/b` below it and not `ab`.
    let location = prefix.cloned().unwrap_or_default();
    let prefix = prefix.filter(|prefix| !prefix.as_ref().is_empty()).map(|prefix| format!("{prefix}/"));
    let request = store
        .client
        .list_objects_v2()
        .bucket(&*store.bucket)
        .set_prefix(prefix)
        .set_start_after(after.map(ToString::to_string))
        .set_delimiter(delimiter.map(str::to_owned))
        // XML 1.0 cannot hold every character that a key may have.
        .encoding_type(EncodingType::Url);
    futures::stream::try_unfold(Some(None::<String>), move |next| {
        let (request, location) = (request.clone(), location.clone());
        async move {
            let Some(token) = next else { return Ok(None) };
            let page = request
                .set_continuation_token(token)
                .send()
                .await
                .map_err(|error| operation_error(error, &location))?;
            let following = page.next_continuation_token().map(|token| Some(token.to_owned()));
            Ok(Some((page, following)))
        }
    })
    .boxed()
}

fn metas(page: &ListObjectsV2Output) -> Result<Vec<ObjectMeta>> {
    let mut metas = Vec::with_capacity(page.contents().len());
    for object in page.contents() {
        let key = decoded(object.key().unwrap_or_default(), page)?;
        let Some(location) = addressable(&key) else { continue };
        metas.push(ObjectMeta {
            location,
            last_modified: object.last_modified().copied().map(to_chrono).unwrap_or_default(),
            size: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
            e_tag: object.e_tag().map(|etag| unquoted(etag.to_owned())),
            version: None,
        });
    }
    Ok(metas)
}

/// A key of a page, which is form-encoded where the page says so: a space is `+`.
fn decoded(key: &str, page: &ListObjectsV2Output) -> Result<String> {
    if page.encoding_type() != Some(&EncodingType::Url) {
        return Ok(key.to_owned());
    }
    let spaced = key.replace('+', " ");
    match percent_decode_str(&spaced).decode_utf8() {
        Ok(key) => Ok(key.into_owned()),
        Err(error) => Err(generic(StageError::with_source(
            ErrorKind::StoreUnavailable,
            format!("the service listed a key that is not UTF-8: {key}"),
            error,
        ))),
    }
}

/// The path of a key, unless the key is one that paths cannot express, such as a folder marker.
fn addressable(key: &str) -> Option<Path> {
    let path = Path::parse(key).ok().filter(|path| !key.is_empty() && path.as_ref() == key);
    if path.is_none() {
        debug!(key, "key left out of the listing, since it cannot be addressed");
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded_as_the_page_says() {
        let encoded = ListObjectsV2Output::builder().encoding_type(EncodingType::Url).build();
        assert_eq!(decoded("in/a+b%2Bc%C3%BC%25.csv", &encoded).expect("UTF-8"), "in/a b+cü%.csv");
        assert_eq!(decoded("in/a%20b", &encoded).expect("UTF-8"), "in/a b");
        assert!(decoded("in/%FF", &encoded).is_err());
        let plain = ListObjectsV2Output::builder().build();
        assert_eq!(decoded("in/a+b%2B", &plain).expect("as it is"), "in/a+b%2B");
    }

    #[test]
    fn keys_that_a_path_would_change_are_left_out() {
        for key in ["in/", "in//a", "/in/a", "in/../a", ""] {
            assert_eq!(addressable(key), None, "{key:?}");
        }
        assert_eq!(addressable("in/a b+ü%.csv").map(|path| path.to_string()).as_deref(), Some("in/a b+ü%.csv"));
    }
}
