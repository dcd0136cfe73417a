use chrono::{DateTime, Utc};
use object_store::ObjectMeta;
use stepwell_pipeline::{
    StageError, current,
    request::RunRequest,
    run::{Run, Source, short_hash},
    spec::CheckedSpec,
    store::{self, ObjectRef},
};

use super::{
    checkpoint::{Backfill, Counts},
    request::{invalid, moment},
};
use crate::{
    Ports, gather,
    look::{Fit, Look},
    slots,
};

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Unfit,
    Empty,
    Outside,
    Committed,
    Started,
}

impl Counts {
    pub(super) fn add(&mut self, fate: Fate) {
        self.listed += 1;
        *match fate {
            Fate::Unfit => &mut self.unfit,
            Fate::Empty => &mut self.empty,
            Fate::Outside => &mut self.outside,
            Fate::Committed => &mut self.committed,
            Fate::Started => &mut self.started,
        } += 1;
    }
}

/// Which objects a backfill is about, and what is to be done with one.
pub(super) struct Objects<'a> {
    ports: &'a Ports,
    spec: &'a CheckedSpec,
    id: String,
    bucket: String,
    prefix: String,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    again: bool,
}

impl<'a> Objects<'a> {
    pub(super) fn new(ports: &'a Ports, spec: &'a CheckedSpec, state: &Backfill) -> Result<Self, StageError> {
        let parsed = |text: &Option<String>| text.as_deref().map(moment).transpose().map_err(invalid);
        Ok(Self {
            ports,
            spec,
            id: state.id.clone(),
            bucket: state.bucket.clone(),
            prefix: state.prefix.clone(),
            from: parsed(&state.from)?,
            to: parsed(&state.to)?,
            again: state.again,
        })
    }

    /// The objects after a key, in the order of their keys.
    ///
    /// # Errors
    /// What the store says when it is first called; what it says later comes in the stream.
    pub(super) async fn after(&self, key: Option<&str>) -> Result<Listing, StageError> {
        use futures::StreamExt;

        let bucket = self.ports.context.stores.bucket(&self.bucket)?;
        // A prefix of `object_store` is a whole folder; of S3 it is any beginning.
        let folder = self.prefix.rsplit_once('/').map(|(folder, _)| store::path(folder)).transpose()?;
        let is_folder = self.prefix.is_empty() || self.prefix.ends_with('/');
        let first = match key {
            None if !is_folder => {
                store::head(&*self.ports.context.stores, &ObjectRef::new(&self.bucket, &self.prefix)).await?
            }
            _ => None,
        };
        let offset = key.or((!is_folder).then_some(&self.prefix));
        let rest = match offset {
            Some(offset) => bucket.list_with_offset(folder.as_ref(), &store::path(offset)?),
            None => bucket.list(folder.as_ref()),
        };
        let metas = futures::stream::iter(first).map(Ok).chain(rest).boxed();
        Ok(Listing { metas, last: key.map(str::to_owned), prefix: self.prefix.clone() })
    }

    /// What becomes of an object, told from the listing alone: nothing for one that must be looked at more closely.
    pub(super) fn passed_over(&self, meta: &ObjectMeta) -> Option<Fate> {
        if !self.spec.match_glob.fits(meta.location.as_ref()) {
            Some(Fate::Unfit)
        } else if meta.size == 0 {
            Some(Fate::Empty)
        } else if self.from.is_some_and(|from| meta.last_modified < from)
            || self.to.is_some_and(|to| meta.last_modified >= to)
        {
            Some(Fate::Outside)
        } else {
            None
        }
    }

    /// What becomes of an object that the listing does not tell: nothing where it is to be started.
    pub(super) async fn settled(&self, meta: &ObjectMeta) -> Result<Option<Fate>, StageError> {
        let request = self.request(meta);
        match Look::new(&self.ports.context, &request).fit(self.spec).await? {
            Fit::Misfit(_) => Ok(Some(Fate::Unfit)),
            Fit::Ignored(_) => Ok(Some(Fate::Empty)),
            Fit::Fits => Ok(self.is_committed(meta).await?.then_some(Fate::Committed)),
        }
    }

    /// Whether the object's present version is committed; with `again`, only under the present spec.
    ///
    /// Of a pipeline that gathers, that is so for what it loaded before it did: a batch would not replace it but add to it.
    /// What is in a batch already, whoever cuts batches knows.
    async fn is_committed(&self, meta: &ObjectMeta) -> Result<bool, StageError> {
        let run = Run::new(self.spec.name(), &self.spec.digest, self.source(meta));
        let context = &self.ports.context;
        let document = current::document(&self.spec.table(&context.buckets), &run);
        let Some(current) = current::read(&*context.stores, &document).await? else { return Ok(false) };
        let committed = &current.manifest.run;
        let is_same_version = committed.source.etag == run.source.etag && committed.source.size == run.source.size;
        let is_any_spec = !self.again || self.spec.batch.is_some();
        Ok(is_same_version && (is_any_spec || committed.spec_digest == run.spec_digest))
    }

    /// Starts the object's execution.
    pub(super) async fn start(&self, meta: &ObjectMeta) -> Result<(), StageError> {
        let request = self.request(meta);
        if self.spec.batch.is_some() {
            return gather::keep(self.ports, self.spec, &request).await;
        }
        let etag = request.etag.as_deref().unwrap_or_default();
        // Not the name that an upload's event gives: an execution of that name may have failed, and its name is taken.
        let words = [self.spec.name(), &request.bucket, &request.key, etag, &self.id];
        let name = format!("{}-{}", self.spec.name(), short_hash(&words));
        slots::start(self.ports, &name, &request).await
    }

    fn request(&self, meta: &ObjectMeta) -> RunRequest {
        let source = self.source(meta);
        RunRequest {
            bucket: source.bucket,
            key: source.key,
            // A listing has no version ids: `extract` pins the one that is current, if it has this entity tag.
            version: None,
            etag: Some(source.etag),
            size: Some(source.size),
            sequencer: None,
            pipeline: Some(self.spec.name().to_owned()),
            reason: Some(format!("backfill {}", self.id)),
            trace_header: None,
            more: false,
        }
    }

    fn source(&self, meta: &ObjectMeta) -> Source {
        Source {
            bucket: self.bucket.clone(),
            key: meta.location.to_string(),
            version: meta.version.clone(),
            etag: meta.e_tag.as_deref().unwrap_or_default().trim_matches('"').to_owned(),
            size: meta.size,
            modified_ms: meta.last_modified.timestamp_millis(),
            sequencer: None,
        }
    }

    fn cannot_list(&self, error: object_store::Error) -> StageError {
        let listed = ObjectRef::new(&self.bucket, &self.prefix);
        store::classify(error, &format!("cannot list {listed}"))
    }
}

/// Objects in the order of their keys, read page by page.
pub(super) struct Listing {
    metas: futures::stream::BoxStream<'static, object_store::Result<ObjectMeta>>,
    last: Option<String>,
    prefix: String,
}

impl Listing {
    /// The next so many objects: fewer, or none, at the end.
    pub(super) async fn take(&mut self, objects: &Objects<'_>, count: usize) -> Result<Vec<ObjectMeta>, StageError> {
        use futures::TryStreamExt;

        let mut batch = Vec::with_capacity(count);
        while batch.len() < count
            && let Some(meta) = self.metas.try_next().await.map_err(|error| objects.cannot_list(error))?
        {
            let key = meta.location.as_ref();
            if self.last.as_deref().is_some_and(|last| key <= last) {
                return Err(invalid(format!(
                    "the listing of {} is not in the order of its keys, as those of directory buckets are not; a backfill \
                     cannot tell where it is in it",
                    objects.bucket
                )));
            }
            // Keys in order: none after the first that is beyond the prefix begins with it.
            if !key.starts_with(&self.prefix) {
                break;
            }
            self.last = Some(key.to_owned());
            batch.push(meta);
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests;
