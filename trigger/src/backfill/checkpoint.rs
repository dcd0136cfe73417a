use std::hash::{BuildHasher, Hasher, RandomState};

use chrono::{DateTime, SecondsFormat, Utc};
use futures::FutureExt;
use serde::{Deserialize, Serialize};
use stepwell_pipeline::{
    ErrorKind, StageError,
    store::{self, ObjectRef},
};

use super::{
    pace::{Clock, Pace},
    request::{BackfillRequest, invalid},
};
use crate::Ports;

/// Where backfills are in the work bucket.
pub const BACKFILLS_PREFIX: &str = "backfills/";

/// How often a worker tries to take a backfill that others are taking at the same time.
const TAKES_MAX: usize = 16;

/// A backfill and how far it is: the document `backfills/<id>.json` of the work bucket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Backfill {
    /// What it is called.
    pub id: String,
    /// The bucket.
    pub bucket: String,
    /// What the keys begin with.
    pub prefix: String,
    /// The pipeline.
    pub pipeline: String,
    /// Only objects last modified at this moment or later, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only objects last modified before this moment, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Whether objects are loaded again whose present version was committed under another spec.
    #[serde(default)]
    pub again: bool,
    /// The most executions started per second.
    pub rate: f64,
    /// The last key that is dealt with; all before it are, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// What became of the objects up to there.
    pub counts: Counts,
    /// Whether every object is dealt with.
    pub done: bool,
    /// How many rounds came before the present one.
    pub round: u64,
    /// Which worker wrote this.
    pub worker: String,
    /// When this was written, in RFC 3339.
    pub saved_at: String,
}

/// What became of the objects that were listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All of them.
    pub listed: u64,
    /// Those whose keys do not fit the pipeline's `match`.
    pub unfit: u64,
    /// Empty ones, folder markers among them.
    pub empty: u64,
    /// Those modified before `from`, or at `to` or later.
    pub outside: u64,
    /// Those whose present version is committed.
    pub committed: u64,
    /// Those for which an execution was started, or was already.
    pub started: u64,
}

impl Counts {
    /// The objects that were passed over, whatever the reason.
    pub fn skipped(&self) -> u64 {
        self.unfit + self.empty + self.outside + self.committed
    }
}

impl Backfill {
    /// The place of the document of a backfill.
    pub fn document(work_bucket: &str, id: &str) -> ObjectRef {
        ObjectRef::new(work_bucket, format!("{BACKFILLS_PREFIX}{id}.json"))
    }

    fn is_of(&self, other: &Self) -> bool {
        (&self.bucket, &self.prefix, &self.pipeline) == (&other.bucket, &other.prefix, &other.pipeline)
            && (&self.from, &self.to, self.again) == (&other.from, &other.to, other.again)
    }
}

/// A backfill as one worker holds it. The worker that took it last holds it; an earlier one notices at its next save.
pub(super) struct Checkpoint<'a> {
    ports: &'a Ports,
    pub(super) state: Backfill,
    /// The entity tag of what this worker wrote last; nothing for a worker that looked only.
    etag: Option<String>,
}

impl<'a> Checkpoint<'a> {
    /// Takes a backfill, or begins it; gives nothing for one that was never begun and is named only. One that is done, or
    /// further than the request's round, is looked at only.
    pub(super) async fn take(
        ports: &'a Ports,
        clock: &dyn Clock,
        request: &BackfillRequest,
        wanted: Option<Backfill>,
    ) -> Result<Option<Self>, StageError> {
        let id = wanted.as_ref().map(|wanted| &wanted.id).or(request.id.as_ref());
        let Some(id) = id else { return Ok(None) };
        let document = Backfill::document(&ports.context.buckets.work, id);
        let worker = format!("{:016x}", RandomState::new().build_hasher().finish());
        let pace = Pace::new(clock, &*ports.context.budget, 1.0);
        for _ in 0..TAKES_MAX {
            let found = pace.patiently(|| read(ports, &document).boxed()).await?.ok_or_else(out_of_time)?;
            let (mut state, etag) = match (found, &wanted) {
                (Some((found, etag)), wanted) => {
                    if let Some(wanted) = wanted
                        && !found.is_of(wanted)
                    {
                        let message = format!("the backfill {id} is another, see {document}; choose another id");
                        return Err(invalid(message));
                    }
                    if found.done || request.round.is_some_and(|round| round < found.round) {
                        return Ok(Some(Self { ports, state: found, etag: None }));
                    }
                    (Backfill { rate: request.rate.unwrap_or(found.rate), ..found }, etag)
                }
                (None, Some(wanted)) => (wanted.clone(), None),
                (None, None) => return Ok(None),
            };
            state.round = state.round.max(request.round.unwrap_or_default());
            state.worker.clone_from(&worker);
            let mut checkpoint = Self { ports, state, etag };
            if checkpoint.save(&pace).await? {
                return Ok(Some(checkpoint));
            }
        }
        Err(StageError::new(ErrorKind::Throttled, format!("too many workers are taking the backfill {id}")))
    }

    /// Whether the worker took the backfill, and did not only look at it.
    pub(super) fn is_held(&self) -> bool {
        self.etag.is_some()
    }

    /// Writes how far the backfill is, unless another worker took it. Gives whether it did.
    pub(super) async fn save(&mut self, pace: &Pace<'_>) -> Result<bool, StageError> {
        let context = &self.ports.context;
        let document = Backfill::document(&context.buckets.work, &self.state.id);
        let now: DateTime<Utc> = (context.now)().into();
        self.state.saved_at = now.to_rfc3339_opts(SecondsFormat::Millis, true);
        let (bytes, seen) = (store::json_bytes(&self.state)?, &self.etag);
        let saved = pace
            .patiently(|| {
                let (document, bytes, seen) = (document.clone(), bytes.clone(), seen.clone());
                async move {
                    store::put_if(&*context.stores, &document, bytes.clone(), seen).await?;
                    // Whether it wrote or not: after a reply that was lost, the condition fails by its own doing.
                    let found = store::get(&*context.stores, &document).await?;
                    Ok(found.filter(|(found, _)| *found == bytes).and_then(|(_, meta)| meta.e_tag))
                }
                .boxed()
            })
            .await?;
        self.etag = saved.ok_or_else(out_of_time)?;
        Ok(self.etag.is_some())
    }
}

async fn read(ports: &Ports, document: &ObjectRef) -> Result<Option<(Backfill, Option<String>)>, StageError> {
    let Some((bytes, meta)) = store::get(&*ports.context.stores, document).await? else { return Ok(None) };
    let state = serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("{document} is no backfill; remove it, or choose another id");
        StageError::with_source(ErrorKind::InvalidInput, message, error)
    })?;
    Ok(Some((state, meta.e_tag)))
}

pub(super) fn out_of_time() -> StageError {
    StageError::new(ErrorKind::OutOfTime, "the time ran out while the backfill's document could not be reached")
}

#[cfg(test)]
mod tests;
