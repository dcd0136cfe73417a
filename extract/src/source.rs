use std::{collections::VecDeque, ops::Range, sync::Arc};

use bytes::Bytes;
use object_store::{GetOptions, GetRange, ObjectStore, path::Path};
use stepwell_pipeline::{ErrorKind, StageError, run::Source, stage::StageContext, store};
use tokio::task::JoinHandle;

const CHUNK_BYTES: u64 = 8 * 1024 * 1024;
const CHUNKS_AHEAD: usize = 2;

/// Reads a pinned object in order, fetching a little ahead of the decoder.
pub(crate) struct SourceReader {
    bucket: Arc<dyn ObjectStore>,
    path: Path,
    source: Source,
    next_offset: u64,
    fetching: VecDeque<JoinHandle<Result<Bytes, StageError>>>,
}

impl SourceReader {
    pub(crate) fn open(context: &StageContext, source: &Source) -> Result<Self, StageError> {
        Ok(Self {
            bucket: context.stores.bucket(&source.bucket)?,
            path: store::path(&source.key)?,
            source: source.clone(),
            next_offset: 0,
            fetching: VecDeque::new(),
        })
    }

    /// The next chunk, or nothing at the object's end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, StageError> {
        while self.fetching.len() < CHUNKS_AHEAD && self.next_offset < self.source.size {
            let end = (self.next_offset + CHUNK_BYTES).min(self.source.size);
            let range = self.next_offset..end;
            self.next_offset = end;
            let (bucket, path, source) = (self.bucket.clone(), self.path.clone(), self.source.clone());
            self.fetching.push_back(tokio::spawn(async move { fetch(&*bucket, &path, &source, range).await }));
        }
        let Some(fetch) = self.fetching.pop_front() else { return Ok(None) };
        let chunk = fetch
            .await
            .map_err(|error| StageError::with_source(ErrorKind::Internal, "a read was cancelled", error))??;
        Ok(Some(chunk))
    }
}

impl Drop for SourceReader {
    fn drop(&mut self) {
        self.fetching.iter().for_each(JoinHandle::abort);
    }
}

pub(crate) async fn fetch(
    bucket: &dyn ObjectStore,
    path: &Path,
    source: &Source,
    range: Range<u64>,
) -> Result<Bytes, StageError> {
    let object = format!("s3://{}/{}", source.bucket, source.key);
    let failed = |error| match error {
        object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. } => StageError::with_source(
            ErrorKind::SourceChanged,
            format!("{object} was replaced or removed while it was being read"),
            error,
        ),
        error => store::classify(error, &format!("cannot read {object}")),
    };
    let options = GetOptions {
        range: Some(GetRange::Bounded(range.clone())),
        if_match: Some(source.etag.clone()),
        version: source.version.clone(),
        ..GetOptions::default()
    };
    let bytes = bucket.get_opts(path, options).await.map_err(failed)?.bytes().await.map_err(failed)?;
    if bytes.len() as u64 != range.end - range.start {
        return Err(StageError::new(
            ErrorKind::StoreUnavailable,
            format!("{object}: {} bytes came for the range {}..{}", bytes.len(), range.start, range.end),
        ));
    }
    Ok(bytes)
}
