use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use stepwell_pipeline::{ErrorKind, StageError, run::Source, stage::StageContext};
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::{ranges::Object, sniff::SNIFF_BYTES};

/// Members on their way at the same time. With some 30 ms to the first byte these are about 1,000 small members a second,
/// more than are decoded in that time, and far from the 5,500 requests a second that a prefix takes (S3 User Guide,
/// "Best practices design patterns").
const AHEAD_MAX: usize = 32;
/// The bytes that they may have together, unless there is but one.
const AHEAD_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Members up to this size are fetched whole, of larger ones what tells the format.
const WHOLE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The members of a batch in their order, the first bytes of the next ones being fetched ahead.
pub(crate) struct Members {
    context: StageContext,
    sources: Arc<[Source]>,
    /// The first that is not being fetched.
    next: usize,
    fetching: VecDeque<Fetching>,
}

/// A member whose first bytes are at hand.
pub(crate) struct Member {
    /// Its place in the list, from 0.
    pub(crate) number: u32,
    /// It, with the bytes at hand.
    pub(crate) object: Object,
    pub(crate) start: Bytes,
}

struct Fetching {
    number: u32,
    object: Object,
    bytes: u64,
    fetch: JoinHandle<Result<Bytes, StageError>>,
}

impl Members {
    /// The members from a place in the list on.
    pub(crate) fn new(context: &StageContext, sources: Arc<[Source]>, first: u32) -> Self {
        Self { context: context.clone(), sources, next: first as usize, fetching: VecDeque::new() }
    }

    /// The next member that is not empty, or nothing after the last.
    ///
    /// # Errors
    /// `SourceMissing` for a member that is gone, `SourceChanged` for one that is not the listed version any more, and
    /// what the store says.
    pub(crate) async fn next(&mut self) -> Result<Option<Member>, StageError> {
        self.fetch_ahead()?;
        // It stays in the queue while it is awaited, so that a cancelled call loses nothing.
        let Some(Fetching { fetch, .. }) = self.fetching.front_mut() else { return Ok(None) };
        let fetched = fetch.await;
        let Some(Fetching { number, object, .. }) = self.fetching.pop_front() else { return Ok(None) };
        let cancelled = |error| StageError::with_source(ErrorKind::Internal, "a read was cancelled", error);
        let start = fetched.map_err(cancelled)??;
        self.fetch_ahead()?;
        Ok(Some(Member { number, object: object.with_front(start.clone()), start }))
    }

    fn fetch_ahead(&mut self) -> Result<(), StageError> {
        let mut bytes_ahead: u64 = self.fetching.iter().map(|fetching| fetching.bytes).sum();
        while let Some(source) = self.sources.get(self.next)
            && self.fetching.len() < AHEAD_MAX
        {
            let number = u32::try_from(self.next).unwrap_or(u32::MAX);
            if source.size == 0 {
                tracing::info!(member = source.key, "a member of the batch is empty and passed over");
                self.next += 1;
                continue;
            }
            let object = Object::new(&self.context, source)?;
            let wanted = if source.size <= WHOLE_BYTES_MAX { source.size } else { SNIFF_BYTES as u64 };
            let bytes = wanted.min(object.range_bytes());
            if !self.fetching.is_empty() && bytes_ahead + bytes > AHEAD_BYTES_MAX {
                break;
            }
            bytes_ahead += bytes;
            let member = object.clone();
            let fetch = tokio::spawn(async move { member.read_first(bytes).await }.in_current_span());
            self.fetching.push_back(Fetching { number, object, bytes, fetch });
            self.next += 1;
        }
        Ok(())
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        self.fetching.iter().for_each(|fetching| fetching.fetch.abort());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "tests fail by panicking")]

    use super::*;
    use crate::source::tests::landed;

    #[tokio::test]
    async fn what_is_ahead_is_bounded_in_number_and_in_bytes() {
        for (bytes, ahead) in [(10, AHEAD_MAX), (1 << 20, 8), (3 << 20, 2), (5 << 20, AHEAD_MAX)] {
            let (context, source) = landed("in/a.csv", vec![b'x'; bytes]).await;
            let mut members = Members::new(&context, vec![source; 100].into(), 60);
            for number in 60..100_u32 {
                let member = members.next().await.expect("reads").expect("is there");
                assert_eq!(member.number, number);
                assert_eq!(members.fetching.len(), ahead.min(99 - number as usize), "of {bytes} bytes at {number}");
            }
            assert!(members.next().await.expect("reads").is_none());
        }
    }

    #[tokio::test]
    async fn a_small_member_is_at_hand_whole() {
        let (context, source) = landed("in/a.csv", "0123456789").await;
        let mut members = Members::new(&context, vec![source].into(), 0);
        let member = members.next().await.expect("reads").expect("is there");
        let object = stepwell_pipeline::store::ObjectRef::new("landing", "in/a.csv");
        stepwell_pipeline::store::delete(&*context.stores, &object).await.expect("is removed");
        assert_eq!(member.object.read(2..6).await.expect("reads"), "2345");
    }
}
