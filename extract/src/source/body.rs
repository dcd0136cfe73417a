use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures::{StreamExt, stream::BoxStream};
use stepwell_pipeline::{ErrorKind, StageError};
use tokio::{runtime::Handle, sync::mpsc};
use tracing::Span;

use super::{
    compression::{Claim, Compression, Input, Meter, decompress},
    ranges::{Object, Ranges},
};

/// The decompressed chunks that wait for the decoder.
const CHUNKS_AHEAD: usize = 4;

/// The compressed bytes of a file, in order: some that were read already, then ranges.
pub(crate) struct Packed {
    pub(crate) front: Option<Bytes>,
    pub(crate) ranges: Ranges,
}

impl Packed {
    async fn next(&mut self) -> Result<Option<Bytes>, StageError> {
        match self.front.take() {
            Some(front) => Ok(Some(front)),
            None => self.ranges.next().await,
        }
    }
}

/// The decompressed bytes of a file, in order.
pub(crate) struct Body {
    /// Read before its time.
    front: Option<Bytes>,
    stream: Stream,
    meter: Arc<Meter>,
}

enum Stream {
    /// A whole object as it is.
    Plain { object: Object, packed: Box<Packed> },
    /// What a thread of its own decompresses, until this is dropped. The end is told, so that a thread that broke off
    /// is not taken for one.
    Decompressed(mpsc::Receiver<Result<Option<Bytes>, StageError>>),
    /// Decompressed to its end.
    Ended,
}

impl Body {
    /// An uncompressed object.
    pub(crate) fn plain(object: &Object, packed: Packed, meter: Arc<Meter>) -> Self {
        Self { front: None, stream: Stream::Plain { object: object.clone(), packed: Box::new(packed) }, meter }
    }

    /// A compressed file; `name` is what messages call it.
    pub(crate) fn decompressed(
        compression: Compression,
        claim: Option<Claim>,
        mut packed: Packed,
        meter: Arc<Meter>,
        name: String,
    ) -> Self {
        let (chunks, receiver) = mpsc::channel(CHUNKS_AHEAD);
        let (handle, counted, span) = (Handle::current(), meter.clone(), Span::current());
        tokio::task::spawn_blocking(move || {
            let _entered = span.entered();
            let wanted = chunks.clone();
            let next = || {
                handle.block_on(async {
                    tokio::select! {
                        chunk = packed.next() => chunk,
                        // Nobody will see this: whoever would have is gone.
                        () = wanted.closed() => Err(StageError::new(ErrorKind::Internal, "nobody reads on")),
                    }
                })
            };
            let input = Input::new(next, counted, name);
            let sent = decompress(compression, claim, input, |chunk| chunks.blocking_send(Ok(Some(chunk))).is_ok());
            // Nobody to tell where nobody reads on.
            drop(chunks.blocking_send(sent.map(|()| None)));
        });
        Self { front: None, stream: Stream::Decompressed(receiver), meter }
    }

    /// Its chunks, in order.
    pub(crate) fn into_stream(self) -> BoxStream<'static, Result<Bytes, StageError>> {
        futures::stream::try_unfold(self, |mut body| async move { Ok(body.next().await?.map(|chunk| (chunk, body))) })
            .boxed()
    }

    /// The next bytes, or nothing at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, StageError> {
        #[cfg(fuzzing)]
        return self.next_piece().await;
        #[cfg(not(fuzzing))]
        self.next_chunk().await
    }

    #[cfg(fuzzing)]
    async fn next_piece(&mut self) -> Result<Option<Bytes>, StageError> {
        let Some(chunk) = self.next_chunk().await? else { return Ok(None) };
        let (piece, rest) = crate::fuzzing::split(chunk);
        self.front = rest;
        Ok(Some(piece))
    }

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StageError> {
        if let Some(front) = self.front.take() {
            return Ok(Some(front));
        }
        match &mut self.stream {
            Stream::Ended => Ok(None),
            Stream::Decompressed(chunks) => match chunks.recv().await {
                Some(Ok(Some(chunk))) => Ok(Some(chunk)),
                Some(Ok(None)) => {
                    self.stream = Stream::Ended;
                    Ok(None)
                }
                Some(Err(error)) => Err(error),
                None => Err(StageError::new(ErrorKind::Internal, "decompressing broke off")),
            },
            Stream::Plain { packed, .. } => {
                let chunk = packed.next().await?;
                self.meter.add_read(chunk.as_ref().map_or(0, Bytes::len));
                Ok(chunk)
            }
        }
    }

    /// The first bytes of what [`Body::next`] will give: `bytes` or more, unless the file ends before.
    pub(crate) async fn peek(&mut self, bytes: usize) -> Result<Bytes, StageError> {
        let mut front = self.front.take().unwrap_or_default();
        while front.len() < bytes {
            let Some(chunk) = self.next_chunk().await? else { break };
            front = if front.is_empty() { chunk } else { [front, chunk].concat().into() };
        }
        self.front = (!front.is_empty()).then(|| front.clone());
        Ok(front)
    }

    /// Goes `bytes` on from the file's start, which nothing but [`Body::peek`] may have read.
    pub(crate) async fn skip(&mut self, mut bytes: u64) -> Result<(), StageError> {
        if let Stream::Plain { object, packed } = &mut self.stream
            && bytes > self.front.as_ref().map_or(0, Bytes::len) as u64
        {
            let start = bytes.min(object.size());
            **packed = Packed { front: None, ranges: Ranges::new(object, start..object.size()) };
            self.front = None;
            self.meter.set_read(start);
            return Ok(());
        }
        while bytes > 0 {
            let Some(mut chunk) = self.next_chunk().await? else { break };
            let skipped = usize::try_from(bytes).map_or(chunk.len(), |bytes| bytes.min(chunk.len()));
            bytes -= skipped as u64;
            chunk.advance(skipped);
            self.front = (!chunk.is_empty()).then_some(chunk);
        }
        Ok(())
    }
}
