use object_store::{GetOptions, ObjectStore};
use stepwell_pipeline::{
    ErrorKind, StageError,
    request::RunRequest,
    run::Source,
    stage::StageContext,
    store::{self, ObjectRef},
};

/// Looks at the object and pins the version that the run reads.
///
/// # Errors
/// `SourceMissing` for a missing bucket or key, `SourceChanged` for another version than the request names,
/// `UnreadableSource` for an empty object.
pub(crate) async fn pin(context: &StageContext, request: &RunRequest) -> Result<Source, StageError> {
    let object = ObjectRef::new(&request.bucket, &request.key);
    let bucket = context.stores.bucket(&request.bucket)?;
    let options = GetOptions { head: true, version: request.version.clone(), ..GetOptions::default() };
    let meta = match bucket.get_opts(&store::path(&request.key)?, options).await {
        Ok(result) => result.meta,
        Err(object_store::Error::NotFound { .. }) => return Err(missing(&*bucket, request, &object).await),
        Err(error) => return Err(store::classify(error, &format!("cannot look at {object}"))),
    };
    let etag = unquoted(meta.e_tag.as_deref().unwrap_or_default());
    if let Some(wanted) = request.etag.as_deref().map(unquoted)
        && wanted != etag
    {
        return Err(StageError::new(
            ErrorKind::SourceChanged,
            format!(
                "{object} has the etag {etag} and not {wanted}: it was replaced after the event; the newer event has its own run"
            ),
        ));
    }
    if meta.size == 0 {
        return Err(StageError::new(ErrorKind::UnreadableSource, format!("{object} is empty: it has 0 bytes")));
    }
    Ok(Source {
        bucket: request.bucket.clone(),
        key: request.key.clone(),
        version: request.version.clone().or(meta.version),
        etag: etag.to_owned(),
        size: meta.size,
        modified_ms: meta.last_modified.timestamp_millis(),
        sequencer: request.sequencer.clone(),
    })
}

async fn missing(bucket: &dyn ObjectStore, request: &RunRequest, object: &ObjectRef) -> StageError {
    let message = match (bucket.list_with_delimiter(None).await, &request.version) {
        (Err(object_store::Error::NotFound { .. }), _) => format!("the bucket {} does not exist", request.bucket),
        (_, Some(version)) => format!("there is no version {version} of {object}"),
        (_, None) => format!("there is no object {object}; keys are case-sensitive, and are written decoded"),
    };
    StageError::new(ErrorKind::SourceMissing, message)
}

/// An entity tag without its quotes.
pub(crate) fn unquoted(etag: &str) -> &str {
    etag.trim_matches('"')
}
