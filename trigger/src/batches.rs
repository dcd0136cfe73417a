//! The lists of batches: written on condition, and run.

use object_store::ObjectMeta;
use stepwell_pipeline::{
    ErrorKind, StageError,
    batch::BatchList,
    request::RunRequest,
    run::{Source, execution_name},
    store::{self, ObjectRef},
};

use crate::{Ports, slots};

/// So many requests to a store are under way at the same time.
pub(crate) const IN_FLIGHT: usize = 32;

/// One batch, listed or not.
pub(crate) struct Batch<'a> {
    ports: &'a Ports,
    pipeline: &'a str,
    object: ObjectRef,
}

/// A batch's list as it is stored.
pub(crate) struct Listed {
    pub(crate) list: BatchList,
    etag: String,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(ports: &'a Ports, pipeline: &'a str, name: &str) -> Self {
        let object = ObjectRef::new(&ports.context.buckets.work, BatchList::key(pipeline, name));
        Self { ports, pipeline, object }
    }

    /// The batch's list, if there is one.
    pub(crate) async fn listed(&self) -> Result<Option<Listed>, StageError> {
        let Some((bytes, meta)) = store::get(&*self.ports.context.stores, &self.object).await? else { return Ok(None) };
        let list = serde_json::from_slice(&bytes).map_err(|error| {
            StageError::with_source(ErrorKind::Internal, format!("{} is no list of a batch", self.object), error)
        })?;
        let etag = meta.e_tag.ok_or_else(|| no_etag(&self.object))?;
        Ok(Some(Listed { list, etag }))
    }

    /// Lists the members, unless the list is no longer as it was seen. Gives whether they were listed.
    pub(crate) async fn write(&self, mut members: Vec<Source>, seen: Option<&Listed>) -> Result<bool, StageError> {
        members.sort_by(|one, other| place(one).cmp(&place(other)));
        let revision = seen.map_or(0, |seen| seen.list.revision + 1);
        let list = BatchList { pipeline: self.pipeline.to_owned(), revision, members };
        let etag = seen.map(|seen| seen.etag.clone());
        store::put_if(&*self.ports.context.stores, &self.object, store::json_bytes(&list)?, etag).await
    }

    /// Starts the execution that loads a list, unless it was started before; gives its name.
    ///
    /// It loads the batch as it is listed when it begins: where that is a newer revision by then, both executions are
    /// the same run, and none fails for the other's sake.
    pub(crate) async fn start(&self, listed: &Listed) -> Result<String, StageError> {
        let request = RunRequest {
            bucket: self.object.bucket.clone(),
            key: self.object.key.clone(),
            sequencer: Some(BatchList::sequencer(listed.list.revision)),
            pipeline: Some(self.pipeline.to_owned()),
            reason: Some("batch".to_owned()),
            ..RunRequest::default()
        };
        let name = execution_name(self.pipeline, &request);
        slots::start(self.ports, &name, &request).await?;
        Ok(name)
    }

    /// Starts the execution that loads the batch as it is listed now; gives its name.
    pub(crate) async fn start_current(&self) -> Result<String, StageError> {
        let listed = self.listed().await?.ok_or_else(|| self.gone())?;
        self.start(&listed).await
    }

    /// The error of a batch whose list should be there.
    pub(crate) fn gone(&self) -> StageError {
        let message = format!("{} is gone, by which a batch is known; the lists of batches must be kept", self.object);
        StageError::new(ErrorKind::SourceMissing, message)
    }
}

/// What a member is known by.
pub(crate) fn place(source: &Source) -> (&str, &str) {
    (&source.bucket, &source.key)
}

/// Whether two are the same version of an object.
pub(crate) fn is_same(one: &Source, other: &Source) -> bool {
    place(one) == place(other)
        && match (&one.version, &other.version) {
            (Some(one), Some(other)) => one == other,
            _ => one.etag == other.etag,
        }
}

/// An object as a store tells it, pinned.
pub(crate) fn pinned(object: &ObjectRef, meta: ObjectMeta) -> Result<Source, StageError> {
    Ok(Source {
        bucket: object.bucket.clone(),
        key: object.key.clone(),
        version: meta.version,
        etag: meta.e_tag.ok_or_else(|| no_etag(object))?,
        size: meta.size,
        modified_ms: meta.last_modified.timestamp_millis(),
        sequencer: None,
    })
}

fn no_etag(object: &ObjectRef) -> StageError {
    StageError::new(ErrorKind::Internal, format!("{object} has no entity tag"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_by_their_ids_and_without_ids_by_their_entity_tags() {
        let source = |version: Option<&str>, etag: &str| Source {
            bucket: "b".into(),
            key: "k".into(),
            version: version.map(str::to_owned),
            etag: etag.into(),
            size: 1,
            modified_ms: 0,
            sequencer: None,
        };
        for (one, other, expected) in [
            (source(Some("1"), "x"), source(Some("1"), "x"), true),
            // The same bytes once more are another version.
            (source(Some("1"), "x"), source(Some("2"), "x"), false),
            (source(Some("1"), "x"), source(None, "x"), true),
            (source(Some("1"), "x"), source(None, "y"), false),
            (source(None, "x"), source(None, "x"), true),
            (source(None, "x"), source(None, "y"), false),
            (source(None, "x"), Source { key: "l".into(), ..source(None, "x") }, false),
            (source(None, "x"), Source { bucket: "c".into(), ..source(None, "x") }, false),
        ] {
            assert_eq!(is_same(&one, &other), expected, "{one:?} {other:?}");
        }
    }
}
