use std::{collections::VecDeque, fs::File, io, ops::Range, sync::Arc};

use bytes::Bytes;
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStore, path::Path};
use stepwell_pipeline::{ErrorKind, StageError, run::Source, stage::StageContext, store};
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::buffers::Buffers;

/// Three ranges of 4 MiB in flight cover the delay to the first byte (some 50 ms) at 240 MB/s, three times what a function's
/// network gives, and hold 16 MiB with the one that is being read.
const RANGES_IN_FLIGHT: usize = 3;

/// A pinned object.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    bucket: Arc<dyn ObjectStore>,
    path: Path,
    source: Arc<Source>,
    range_bytes: u64,
    buffers: Buffers,
    /// Its first bytes, if they are at hand.
    front: Bytes,
}

impl Object {
    pub(crate) fn new(context: &StageContext, source: &Source) -> Result<Self, StageError> {
        Ok(Self {
            bucket: context.stores.bucket(&source.bucket)?,
            path: store::path(&source.key)?,
            source: Arc::new(source.clone()),
            range_bytes: context.limits.range_bytes.max(1),
            buffers: Buffers::new(usize::try_from(context.limits.range_bytes).unwrap_or(usize::MAX)),
            front: Bytes::new(),
        })
    }

    /// The same with its first bytes, which need not be read again.
    pub(crate) fn with_front(self, front: Bytes) -> Self {
        Self { front, ..self }
    }

    /// The object's size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.source.size
    }

    /// The most bytes that one request asks for.
    pub(crate) fn range_bytes(&self) -> u64 {
        self.range_bytes
    }

    /// The object's key.
    pub(crate) fn key(&self) -> &str {
        &self.source.key
    }

    /// The object's address, as messages name it.
    pub(crate) fn name(&self) -> String {
        format!("s3://{}/{}", self.source.bucket, self.source.key)
    }

    /// The bytes of a range, which must lie within the object.
    ///
    /// # Errors
    /// `SourceChanged` if the object is no longer the pinned version, and what the store says.
    pub(crate) async fn read(&self, range: Range<u64>) -> Result<Bytes, StageError> {
        if let (Ok(start), Ok(end)) = (usize::try_from(range.start), usize::try_from(range.end))
            && start <= end
            && end <= self.front.len()
        {
            return Ok(self.front.slice(start..end));
        }
        let failed = |error| match error {
            object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. } => {
                let message = format!("{} was replaced or removed while it was being read", self.name());
                StageError::with_source(ErrorKind::SourceChanged, message, error)
            }
            error => store::classify(error, &format!("cannot read {}", self.name())),
        };
        self.fetch(range, failed).await
    }

    /// The first bytes of a member of a batch, which may have been listed long ago.
    ///
    /// # Errors
    /// `SourceMissing` where it is gone, `SourceChanged` where it is not the listed version, and what the store says.
    pub(crate) async fn read_first(&self, bytes: u64) -> Result<Bytes, StageError> {
        let failed = |error| match error {
            object_store::Error::NotFound { .. } => {
                let message =
                    format!("{} is gone, which the batch lists; bring it back or list the batch anew", self.name());
                StageError::with_source(ErrorKind::SourceMissing, message, error)
            }
            object_store::Error::Precondition { .. } => {
                let message = format!("{} was replaced after the batch was listed; list the batch anew", self.name());
                StageError::with_source(ErrorKind::SourceChanged, message, error)
            }
            error => store::classify(error, &format!("cannot read {}", self.name())),
        };
        self.fetch(0..bytes, failed).await
    }

    async fn fetch(
        &self,
        range: Range<u64>,
        failed: impl Fn(object_store::Error) -> StageError,
    ) -> Result<Bytes, StageError> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            if_match: Some(self.source.etag.clone()),
            version: self.source.version.clone(),
            ..GetOptions::default()
        };
        let result = self.bucket.get_opts(&self.path, options).await.map_err(&failed)?;
        let bytes = match result.payload {
            GetResultPayload::File(file, _) => self.read_file(file, result.range).await?,
            _ => result.bytes().await.map_err(&failed)?,
        };
        if bytes.len() as u64 != range.end - range.start {
            return Err(StageError::new(
                ErrorKind::StoreUnavailable,
                format!("{}: {} bytes came for the range {}..{}", self.name(), bytes.len(), range.start, range.end),
            ));
        }
        Ok(bytes)
    }

    async fn read_file(&self, mut file: File, range: Range<u64>) -> Result<Bytes, StageError> {
        let buffers = self.buffers.clone();
        let reading = tokio::task::spawn_blocking(move || buffers.read(&mut file, range));
        let read = reading.await.map_err(io::Error::other).flatten();
        read.map_err(|error| store::classify_io(error, &format!("cannot read {}", self.name())))
    }
}

/// Reads a range of a pinned object in order, fetching a little ahead of the decoder. Nothing is fetched before the
/// first bytes are asked for.
#[derive(Debug)]
pub(crate) struct Ranges {
    object: Object,
    rest: Range<u64>,
    fetching: VecDeque<JoinHandle<Result<Bytes, StageError>>>,
}

impl Ranges {
    pub(crate) fn new(object: &Object, range: Range<u64>) -> Self {
        Self { object: object.clone(), rest: range, fetching: VecDeque::new() }
    }

    /// The next bytes, or nothing at the end of the range.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, StageError> {
        while self.fetching.len() < RANGES_IN_FLIGHT && self.rest.start < self.rest.end {
            let range = self.rest.start..self.rest.end.min(self.rest.start + self.object.range_bytes);
            self.rest.start = range.end;
            let object = self.object.clone();
            self.fetching.push_back(tokio::spawn(async move { object.read(range).await }.in_current_span()));
        }
        // The handle stays in the queue while it is awaited, so that a cancelled call loses nothing.
        let Some(fetch) = self.fetching.front_mut() else { return Ok(None) };
        let fetched = fetch.await;
        self.fetching.pop_front();
        let cancelled = |error| StageError::with_source(ErrorKind::Internal, "a read was cancelled", error);
        fetched.map_err(cancelled)?.map(Some)
    }
}

impl Drop for Ranges {
    fn drop(&mut self) {
        self.fetching.iter().for_each(JoinHandle::abort);
    }
}
