use std::collections::HashSet;

use stepwell_pipeline::{
    ErrorKind, StageError,
    batch::{BatchList, BatchName, PinnedBatch},
    request::RunRequest,
    run::{Run, Source},
    stage::StageContext,
    store::{self, ObjectRef},
};

use crate::{pin, source::Object};

/// The longest list that is read: some 200,000 members.
const LIST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Whether a request is for a batch.
pub(crate) fn is_wanted(context: &StageContext, request: &RunRequest) -> bool {
    BatchName::of(&ObjectRef::new(&request.bucket, &request.key), &context.buckets.work).is_some()
}

/// Looks at the list and pins it, unless an earlier round or execution pinned the version that the request names.
///
/// # Errors
/// `InvalidInput` for a list of another shape or another pipeline, or that names a member twice; and as [`pin::pin`].
pub(crate) async fn pin(context: &StageContext, request: &RunRequest) -> Result<PinnedBatch, StageError> {
    let pinned = match find(context, request).await? {
        Some(pinned) => pinned,
        None => read(context, request).await?,
    };
    match request.pipeline.as_deref() {
        Some(asked) if asked != pinned.list.pipeline => Err(invalid(format!(
            "{} is a batch of the pipeline `{}`, and `pipeline` says `{asked}`; leave `pipeline` out",
            ObjectRef::new(&request.bucket, &request.key),
            pinned.list.pipeline
        ))),
        _ => Ok(pinned),
    }
}

/// Keeps what was pinned, for later rounds and for the report.
pub(crate) async fn keep(context: &StageContext, run: &Run, pinned: &PinnedBatch) -> Result<(), StageError> {
    let object = ObjectRef::new(&context.buckets.work, PinnedBatch::key(&run.id));
    store::put_json(&*context.stores, &object, pinned).await
}

async fn find(context: &StageContext, request: &RunRequest) -> Result<Option<PinnedBatch>, StageError> {
    let (Some(pipeline), Some(etag)) = (&request.pipeline, &request.etag) else { return Ok(None) };
    let source = Source {
        bucket: request.bucket.clone(),
        key: request.key.clone(),
        version: request.version.clone(),
        etag: pin::unquoted(etag).to_owned(),
        size: 0,
        modified_ms: 0,
        sequencer: None,
    };
    let run = Run::new(pipeline, "", source);
    let object = ObjectRef::new(&context.buckets.work, PinnedBatch::key(&run.id));
    store::get_json(&*context.stores, &object).await
}

async fn read(context: &StageContext, request: &RunRequest) -> Result<PinnedBatch, StageError> {
    let source = pin::pin(context, request).await?;
    let name = ObjectRef::new(&source.bucket, &source.key).to_string();
    if source.size > LIST_BYTES_MAX {
        return Err(invalid(format!(
            "the batch list {name} has {} bytes, more than the {LIST_BYTES_MAX} that are read; make several batches of it",
            source.size
        )));
    }
    let object = Object::new(context, &source)?;
    let mut bytes = Vec::with_capacity(usize::try_from(source.size).unwrap_or_default());
    while (bytes.len() as u64) < source.size {
        let start = bytes.len() as u64;
        bytes.extend_from_slice(&object.read(start..source.size.min(start + object.range_bytes())).await?);
    }
    let mut list: BatchList = serde_json::from_slice(&bytes).map_err(|error| {
        StageError::with_source(ErrorKind::InvalidInput, format!("{name} is no list of a batch"), error)
    })?;
    for member in &mut list.members {
        member.etag = pin::unquoted(&member.etag).to_owned();
    }
    check(&list, &name)?;
    let sequencer = Some(BatchList::sequencer(list.revision));
    Ok(PinnedBatch { source: Source { sequencer, ..source }, list })
}

/// Twice the same member would be twice its records.
fn check(list: &BatchList, name: &str) -> Result<(), StageError> {
    let mut seen = HashSet::with_capacity(list.members.len());
    for member in &list.members {
        let object = || ObjectRef::new(&member.bucket, &member.key);
        store::path(&member.key)?;
        if member.etag.is_empty() {
            return Err(invalid(format!(
                "the batch list {name} does not pin its member {}: its etag is empty",
                object()
            )));
        }
        if !seen.insert((&member.bucket, &member.key)) {
            return Err(invalid(format!("the batch list {name} names {} twice", object())));
        }
    }
    Ok(())
}

fn invalid(message: String) -> StageError {
    StageError::new(ErrorKind::InvalidInput, message)
}
