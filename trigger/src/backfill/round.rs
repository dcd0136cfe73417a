use std::time::Duration;

use futures::{FutureExt, StreamExt, future::BoxFuture};
use object_store::ObjectMeta;
use stepwell_pipeline::{ErrorKind, StageError, spec::CheckedSpec};

use super::{
    checkpoint::{Backfill, Checkpoint, out_of_time},
    object::{Fate, Listing, Objects},
    pace::{Clock, Pace},
};
use crate::Ports;

/// How many objects are looked at or started at the same time.
const CONCURRENCY: usize = 16;
/// How long a batch, the objects between two checkpoints, should take.
const BATCH_TIME: Duration = Duration::from_secs(5);
/// The objects of the first batch.
const BATCH_FIRST: usize = 100;
/// The most objects of a batch; they are in memory.
const BATCH_MAX: usize = 5_000;

/// How a worker's part of a backfill ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every object is dealt with.
    Done,
    /// The budget is spent; another round goes on at the position.
    OutOfTime,
    /// The message was of a round that is over.
    Stale,
}

/// Is told how far a backfill is.
pub trait Watch: Send + Sync {
    /// The backfill is so far now, and starts so many executions per second at most. Called often.
    fn advanced(&self, state: &Backfill, rate: f64);
}

/// What a look at an object tells: see [`Round::looked_at`].
type Looked = Result<Option<Option<Fate>>, StageError>;

/// One worker's part of a backfill.
pub(super) struct Round<'a> {
    ports: &'a Ports,
    spec: &'a CheckedSpec,
    clock: &'a dyn Clock,
    watch: &'a dyn Watch,
    pace: Pace<'a>,
}

impl<'a> Round<'a> {
    pub(super) fn new(
        ports: &'a Ports,
        spec: &'a CheckedSpec,
        clock: &'a dyn Clock,
        watch: &'a dyn Watch,
        state: &Backfill,
    ) -> Self {
        let pace = Pace::new(clock, &*ports.context.budget, state.rate);
        Self { ports, spec, clock, watch, pace }
    }

    pub(super) async fn run(&self, checkpoint: &mut Checkpoint<'_>) -> Result<Ended, StageError> {
        let objects = Objects::new(self.ports, self.spec, &checkpoint.state)?;
        let mut listing = None;
        let mut batch_objects = BATCH_FIRST;
        let begun_after = checkpoint.state.after.clone();
        loop {
            let begun = self.clock.now();
            let Some(batch) = self.next_batch(&objects, &mut listing, checkpoint, batch_objects).await? else {
                return ended_early(checkpoint, begun_after.as_deref());
            };
            let result = self.deal_with(&objects, &batch, &mut checkpoint.state).await;
            let is_complete = matches!(result, Ok(true));
            checkpoint.state.done = is_complete && batch.len() < batch_objects;
            if !checkpoint.save(&self.pace).await? {
                let message = format!("another worker took over the backfill {}", checkpoint.state.id);
                return Err(StageError::new(ErrorKind::OutOfTime, message));
            }
            self.watch.advanced(&checkpoint.state, self.pace.rate());
            result?;
            if checkpoint.state.done {
                return Ok(Ended::Done);
            }
            if !is_complete || self.ports.context.budget.is_spent() {
                return ended_early(checkpoint, begun_after.as_deref());
            }
            batch_objects = next_batch_objects(batch_objects, self.clock.now().saturating_sub(begun));
        }
    }

    /// The objects after the position. Gives nothing where the time ran out.
    async fn next_batch(
        &self,
        objects: &Objects<'_>,
        listing: &mut Option<Listing>,
        checkpoint: &Checkpoint<'_>,
        count: usize,
    ) -> Result<Option<Vec<ObjectMeta>>, StageError> {
        let after = checkpoint.state.after.as_deref();
        if let Some(listing) = listing
            && let Ok(batch) = listing.take(objects, count).await
        {
            return Ok(Some(batch));
        }
        // A listing that broke off is begun anew at the position.
        let listed = self
            .pace
            .patiently(|| {
                async move {
                    let mut listing = objects.after(after).await?;
                    let batch = listing.take(objects, count).await?;
                    Ok((listing, batch))
                }
                .boxed()
            })
            .await?;
        Ok(listed.map(|(fresh, batch)| {
            *listing = Some(fresh);
            batch
        }))
    }

    /// Deals with objects, several at a time, and moves the position over all up to the first that fails or finds no time.
    /// Gives whether there was time for all.
    async fn deal_with(
        &self,
        objects: &Objects<'_>,
        batch: &[ObjectMeta],
        state: &mut Backfill,
    ) -> Result<bool, StageError> {
        let mut is_first = true;
        let in_time = futures::stream::iter(batch.to_vec()).take_while(|_| {
            // The first is dealt with in any case, so that every round gets further.
            let has_time = is_first || !self.ports.context.budget.is_spent();
            is_first = false;
            std::future::ready(has_time)
        });
        // Turns are taken in the order of the keys: the position cannot move over one that waits while later ones start.
        let mut fates = in_time
            .map(|meta| self.looked_at(objects, meta))
            .buffered(CONCURRENCY)
            .map(|(meta, looked)| {
                let turn = matches!(looked, Ok(Some(None))).then(|| self.pace.turn());
                self.started(objects, meta, looked, turn)
            })
            .buffered(CONCURRENCY);
        let mut dealt_with = 0;
        while let Some((meta, fate)) = fates.next().await {
            let Some(fate) = fate? else { return Ok(false) };
            state.counts.add(fate);
            state.after = Some(meta.location.to_string());
            dealt_with += 1;
            self.watch.advanced(state, self.pace.rate());
        }
        Ok(dealt_with == batch.len())
    }

    /// Looks at an object: its fate, nothing for one that is to be started, or nothing at all where the time ran out.
    fn looked_at<'s>(&'s self, objects: &'s Objects<'_>, meta: ObjectMeta) -> BoxFuture<'s, (ObjectMeta, Looked)> {
        async move {
            if let Some(fate) = objects.passed_over(&meta) {
                return (meta, Ok(Some(Some(fate))));
            }
            let settled = self.pace.patiently(|| objects.settled(&meta).boxed()).await;
            (meta, settled)
        }
        .boxed()
    }

    /// Starts an object's execution when it is its turn, if it has one. Gives its fate, or nothing where the time ran out.
    fn started<'s>(
        &'s self,
        objects: &'s Objects<'_>,
        meta: ObjectMeta,
        looked: Looked,
        turn: Option<Duration>,
    ) -> BoxFuture<'s, (ObjectMeta, Result<Option<Fate>, StageError>)> {
        async move {
            let Some(turn) = turn else { return (meta, looked.map(Option::flatten)) };
            if !self.pace.wait_until(turn).await {
                return (meta, Ok(None));
            }
            let started = self.pace.patiently(|| objects.start(&meta).boxed()).await;
            (meta, started.map(|started| started.map(|()| Fate::Started)))
        }
        .boxed()
    }
}

/// The end of a round that is not the last. A round that got nowhere is no use repeating at once.
fn ended_early(checkpoint: &Checkpoint<'_>, begun_after: Option<&str>) -> Result<Ended, StageError> {
    if checkpoint.state.after.as_deref() == begun_after {
        return Err(out_of_time());
    }
    Ok(Ended::OutOfTime)
}

/// As many objects as the last batch's time promises for [`BATCH_TIME`]; at most twice as many as it had.
fn next_batch_objects(objects: usize, took: Duration) -> usize {
    let fitting = objects as f64 * BATCH_TIME.as_secs_f64() / took.as_secs_f64().max(0.001);
    (fitting as usize).clamp(1, (objects * 2).min(BATCH_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_follow_the_time_that_they_take() {
        assert_eq!(next_batch_objects(100, Duration::from_secs(5)), 100);
        assert_eq!(next_batch_objects(100, Duration::from_secs(50)), 10);
        assert_eq!(next_batch_objects(100, Duration::from_secs(4)), 125);
        assert_eq!(next_batch_objects(100, Duration::ZERO), 200);
        assert_eq!(next_batch_objects(4_000, Duration::ZERO), BATCH_MAX);
        assert_eq!(next_batch_objects(1, Duration::from_secs(60)), 1);
    }
}
