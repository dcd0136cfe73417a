use futures::{FutureExt, StreamExt, future::BoxFuture};
use object_store::ObjectMeta;
use serde::Serialize;
use stepwell_pipeline::{StageError, store};

use super::{
    checkpoint::{Backfill, Counts},
    object::{Fate, Objects},
    pace::{Clock, Pace},
    request::{BackfillRequest, invalid},
    round::Watch,
};
use crate::{Ports, route::Router};

/// How many keys a survey names.
pub const FIRST_KEYS: usize = 10;

/// The objects that are listed between two looks at the progress.
const BATCH_OBJECTS: usize = 1_000;
const CONCURRENCY: usize = 16;

/// What a backfill would do.
#[derive(Clone, Debug, Serialize)]
pub struct Survey {
    /// The backfill, as far as it is now and with the counts that it would end with; `started` are those that would be.
    pub backfill: Backfill,
    /// The position at which it would go on, where it has begun.
    pub after: Option<String>,
    /// What became of the objects so far, where it has begun.
    pub counts_so_far: Counts,
    /// The first keys that it would start executions for.
    pub first_keys: Vec<String>,
}

/// Tells what a backfill would do, and changes nothing.
///
/// # Errors
/// As [`super::run`].
pub async fn survey(
    ports: &Ports,
    clock: &dyn Clock,
    watch: &dyn Watch,
    request: &BackfillRequest,
) -> Result<Survey, StageError> {
    let wanted = request.checked()?;
    let id = wanted.as_ref().map(|wanted| &wanted.id).or(request.id.as_ref()).cloned().unwrap_or_default();
    let document = Backfill::document(&ports.context.buckets.work, &id);
    let begun: Option<Backfill> = store::get_json(&*ports.context.stores, &document).await?;
    let mut state = begun.or(wanted).ok_or_else(|| invalid(format!("there is no backfill {id}")))?;
    let spec = super::spec(&mut Router::new(ports), &state).await?;
    let objects = Objects::new(ports, &spec, &state)?;
    let (after, counts_so_far) = (state.after.clone(), state.counts);
    let mut first_keys = Vec::new();
    if state.done {
        return Ok(Survey { backfill: state, after, counts_so_far, first_keys });
    }
    let pace = Pace::new(clock, &*ports.context.budget, state.rate);
    let mut listing = objects.after(after.as_deref()).await?;
    loop {
        let batch = listing.take(&objects, BATCH_OBJECTS).await?;
        let mut fates =
            futures::stream::iter(batch.clone()).map(|meta| fate(&objects, &pace, meta)).buffered(CONCURRENCY);
        let mut keys = batch.iter().map(|meta| meta.location.to_string());
        while let Some(fate) = fates.next().await {
            let (fate, key) = (fate?, keys.next().unwrap_or_default());
            state.counts.add(fate);
            if fate == Fate::Started && first_keys.len() < FIRST_KEYS {
                first_keys.push(key.clone());
            }
            state.after = Some(key);
            watch.advanced(&state, 0.0);
        }
        if batch.len() < BATCH_OBJECTS {
            return Ok(Survey { backfill: state, after, counts_so_far, first_keys });
        }
    }
}

fn fate<'s>(objects: &'s Objects<'_>, pace: &'s Pace<'_>, meta: ObjectMeta) -> BoxFuture<'s, Result<Fate, StageError>> {
    async move {
        if let Some(fate) = objects.passed_over(&meta) {
            return Ok(fate);
        }
        let settled = pace.patiently(|| objects.settled(&meta).boxed()).await?;
        Ok(settled.flatten().unwrap_or(Fate::Started))
    }
    .boxed()
}
