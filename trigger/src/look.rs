use bytes::Bytes;
use object_store::{GetOptions, GetRange, GetResult};
use stepwell_pipeline::{
    ErrorKind, StageError,
    request::RunRequest,
    spec::CheckedSpec,
    stage::StageContext,
    store::{self, ObjectRef},
};

use crate::first_record::{self, Unread};

/// How many bytes of an object are looked at for its first record: mostly the fewer, more where a record is longer.
const START_BYTES: [u64; 2] = [64 * 1024, 1024 * 1024];

/// An object that an event names, looked at as far as its pipelines ask for it and once for all of them.
pub(crate) struct Look<'a> {
    context: &'a StageContext,
    request: &'a RunRequest,
    size: Option<u64>,
    start: Option<Start>,
}

#[derive(Clone)]
struct Start {
    bytes: Bytes,
    /// Whether that is the whole object.
    is_whole: bool,
}

/// Whether a pipeline takes an object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    Fits,
    /// It does not, and why.
    Misfit(String),
    /// Nobody takes it, and why: it is there no more, or is empty.
    Ignored(&'static str),
}

/// What the store says of an object.
enum Seen<T> {
    There(T),
    Ignored(&'static str),
}

impl<'a> Look<'a> {
    pub(crate) fn new(context: &'a StageContext, request: &'a RunRequest) -> Self {
        Self { context, request, size: request.size, start: None }
    }

    /// Whether the object is what the pipeline's `match` asks for beside the key. Of the record's values nothing is told,
    /// since they may be personal data.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn fit(&mut self, spec: &CheckedSpec) -> Result<Fit, StageError> {
        let size = match self.size().await? {
            Seen::There(0) => return Ok(Fit::Ignored("it is empty")),
            Seen::There(size) => size,
            Seen::Ignored(reason) => return Ok(Fit::Ignored(reason)),
        };
        let (min_bytes, max_bytes) = (*spec.conditions.bytes.start(), *spec.conditions.bytes.end());
        if size < min_bytes {
            return Ok(Fit::Misfit(format!("it has {size} bytes, and `min_bytes` is {min_bytes}")));
        }
        if size > max_bytes {
            return Ok(Fit::Misfit(format!("it has {size} bytes, and `max_bytes` is {max_bytes}")));
        }
        if spec.conditions.fields.is_empty() { Ok(Fit::Fits) } else { self.record_fit(spec).await }
    }

    async fn record_fit(&mut self, spec: &CheckedSpec) -> Result<Fit, StageError> {
        for start_bytes in START_BYTES {
            let start = match self.start(start_bytes).await? {
                Seen::There(start) => start,
                Seen::Ignored(reason) => return Ok(Fit::Ignored(reason)),
            };
            match first_record::read(spec, &self.request.key, &start.bytes, start.is_whole) {
                Ok(record) => {
                    let unmet = spec.conditions.fields.iter().find(|condition| !record.fits(condition));
                    return Ok(unmet.map_or(Fit::Fits, |condition| {
                        let name = &condition.name;
                        Fit::Misfit(format!("`{name}` of its first record is nothing that `where` asks for"))
                    }));
                }
                Err(Unread::Unreadable(reason)) => {
                    return Ok(Fit::Misfit(format!("its first record cannot be read: {reason}")));
                }
                Err(Unread::Longer) => {}
            }
        }
        let [.., most] = START_BYTES;
        Ok(Fit::Misfit(format!("its first record does not end within {most} bytes, so `where` cannot look into it")))
    }

    async fn size(&mut self) -> Result<Seen<u64>, StageError> {
        if let Some(size) = self.size {
            return Ok(Seen::There(size));
        }
        Ok(match self.get(GetOptions { head: true, ..GetOptions::default() }).await? {
            Seen::There(found) => Seen::There(*self.size.insert(found.meta.size)),
            Seen::Ignored(reason) => Seen::Ignored(reason),
        })
    }

    async fn start(&mut self, bytes: u64) -> Result<Seen<Start>, StageError> {
        if let Some(start) = &self.start
            && (start.is_whole || start.bytes.len() as u64 >= bytes)
        {
            return Ok(Seen::There(start.clone()));
        }
        let options = GetOptions { range: Some(GetRange::Bounded(0..bytes)), ..GetOptions::default() };
        let found = match self.get(options).await? {
            Seen::There(found) => found,
            Seen::Ignored(reason) => return Ok(Seen::Ignored(reason)),
        };
        let (end, size) = (found.range.end, found.meta.size);
        let object = self.object();
        let bytes = found.bytes().await.map_err(|error| store::classify(error, &format!("cannot read {object}")))?;
        if bytes.len() as u64 != end {
            let message = format!("{} bytes of {object} came where there are {end}", bytes.len());
            return Err(StageError::new(ErrorKind::StoreUnavailable, message));
        }
        Ok(Seen::There(self.start.insert(Start { bytes, is_whole: end >= size }).clone()))
    }

    /// The version of the event, and no other.
    async fn get(&self, options: GetOptions) -> Result<Seen<GetResult>, StageError> {
        let RunRequest { bucket, key, version, etag, .. } = self.request;
        let etag = etag.as_deref().map(|etag| etag.trim_matches('"').to_owned());
        let options = GetOptions { version: version.clone(), if_match: etag, ..options };
        match self.context.stores.bucket(bucket)?.get_opts(&store::path(key)?, options).await {
            Ok(found) => Ok(Seen::There(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(Seen::Ignored("it is there no more")),
            Err(object_store::Error::Precondition { .. }) => {
                Ok(Seen::Ignored("it was replaced since; what replaced it has an event of its own"))
            }
            Err(error) => Err(store::classify(error, &format!("cannot look at {}", self.object()))),
        }
    }

    fn object(&self) -> ObjectRef {
        ObjectRef::new(&self.request.bucket, &self.request.key)
    }
}

#[cfg(test)]
mod tests;
