//! Backfills: objects that are there already are loaded, no faster than a rate, by a worker that may die at any moment.
//!
//! How far a backfill is stands in one document of the work bucket. Its position is a key, so that objects which come or
//! go meanwhile move nothing, and executions are named after the backfill and the object's version, so that what a worker
//! did after its last checkpoint is harmless when the next does it again.

mod checkpoint;
mod object;
mod pace;
mod request;
mod round;
mod survey;

use serde_json::{Value, json};
use stepwell_pipeline::{ErrorKind, StageError, spec::CheckedSpec};
use tracing::info;

pub use checkpoint::{BACKFILLS_PREFIX, Backfill, Counts};
pub use pace::{Clock, SystemClock};
pub use request::{BackfillRequest, moment};
pub use round::{Ended, Watch};
pub use survey::{FIRST_KEYS, Survey, survey};

use crate::{Ports, route::Router};
use checkpoint::Checkpoint;
use round::Round;

/// How long a worker waits before it goes on with its own message, in seconds.
const CONTINUE_DELAY_SECONDS: u16 = 1;

/// Starts executions for as long as there is time, then sends itself what is left.
pub(crate) async fn advance(
    ports: &Ports,
    router: &mut Router<'_>,
    request: &BackfillRequest,
) -> Result<Value, StageError> {
    let (state, ended) = work(ports, router, &SystemClock::new(), &Unwatched, request).await?;
    match ended {
        Ended::OutOfTime => {
            let next = json!({ "backfill": { "id": state.id, "round": state.round + 1 } });
            // Sent before this message is done with: should the worker die in between, both come, and one is stale.
            ports.queue.send(&next.to_string(), CONTINUE_DELAY_SECONDS).await?;
        }
        Ended::Done => info!(backfill = state.id, started = state.counts.started, "backfill done"),
        Ended::Stale => info!(backfill = state.id, round = request.round, "message ignored: the backfill is further"),
    }
    Ok(json!({ "backfill": state }))
}

/// Goes on with a backfill until it is done or the budget of the context is spent. Gives how far it is.
///
/// # Errors
/// `InvalidInput` for a request that contradicts itself or the backfill of its id, `NoPipeline` and `InvalidSpec` as the
/// catalog says, `OutOfTime` where another worker took the backfill over, and what the stores and the executions say
/// once repetitions are of no use.
pub async fn run(
    ports: &Ports,
    clock: &dyn Clock,
    watch: &dyn Watch,
    request: &BackfillRequest,
) -> Result<(Backfill, Ended), StageError> {
    work(ports, &mut Router::new(ports), clock, watch, request).await
}

async fn spec(router: &mut Router<'_>, state: &Backfill) -> Result<CheckedSpec, StageError> {
    // By name, so the key plays no part.
    let spec = router.catalog().await?.pick("", Some(&state.pipeline))?.clone();
    request::can_reach(&spec, state)?;
    Ok(spec)
}

async fn work(
    ports: &Ports,
    router: &mut Router<'_>,
    clock: &dyn Clock,
    watch: &dyn Watch,
    request: &BackfillRequest,
) -> Result<(Backfill, Ended), StageError> {
    let wanted = request.checked()?;
    if let Some(wanted) = &wanted {
        // Before the backfill comes into being, so that a wrong request leaves no trace.
        spec(router, wanted).await?;
    }
    let Some(mut checkpoint) = Checkpoint::take(ports, clock, request, wanted).await? else {
        let id = request.id.as_deref().unwrap_or_default();
        let message = format!("there is no backfill {id}; name bucket, prefix and pipeline to begin one");
        return Err(StageError::new(ErrorKind::InvalidInput, message));
    };
    if !checkpoint.is_held() {
        let ended = if checkpoint.state.done { Ended::Done } else { Ended::Stale };
        return Ok((checkpoint.state, ended));
    }
    let spec = spec(router, &checkpoint.state).await?;
    let ended = Round::new(ports, &spec, clock, watch, &checkpoint.state).run(&mut checkpoint).await?;
    Ok((checkpoint.state, ended))
}

/// Nobody watches.
struct Unwatched;

impl Watch for Unwatched {
    fn advanced(&self, _: &Backfill, _: f64) {}
}

#[cfg(test)]
pub(crate) mod tests;
