//! Batches by schedule.
//!
//! An occurrence is a local time at which the schedule's clock strikes. It stands for the prefix that it renders, and the
//! batch is that prefix's: what is listed there when it is complete. Two occurrences of one prefix are one batch, so no
//! object is in two.

mod diary;
mod members;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use stepwell_pipeline::{
    ErrorKind, StageError,
    queue::DeathCause,
    run::Source,
    spec::{CheckedSpec, Schedule},
};
use tracing::{error, info, warn};

use self::{
    diary::{Diary, Open, local_time},
    members::Members,
};
use crate::{
    Ports,
    batches::{Batch, is_same, place},
    route::Router,
};

/// An occurrence that is to be loaded, whatever the tick made of it: `{"pipeline": "orders", "occurrence":
/// "2026-11-21T06:00"}`, a time on the clock of the schedule's zone.
#[derive(Debug, Deserialize)]
pub(crate) struct OccurrenceRequest {
    pub(crate) pipeline: String,
    #[serde(with = "local_time")]
    pub(crate) occurrence: NaiveDateTime,
}

/// Starts the batches that are due.
pub(crate) async fn tick(ports: &Ports, router: &mut Router<'_>, now: DateTime<Utc>) -> Result<(), StageError> {
    let mut first_error = None;
    for spec in router.catalog().await?.specs() {
        let Some(schedule) = &spec.schedule else { continue };
        if let Err(error) = (Scheduled { ports, spec, schedule }).tick(now).await {
            warn!(pipeline = spec.name(), error = error.report(), "scheduled batches cannot be loaded");
            first_error = first_error.or(Some(error));
        }
    }
    first_error.map_or(Ok(()), Err)
}

/// Loads one occurrence, as a dead letter asks for that is sent again, or a person; gives the names of the executions.
///
/// # Errors
/// `SourceMissing` where it is still incomplete; `InvalidInput` and `NoPipeline` where there is no such occurrence.
pub(crate) async fn load(
    ports: &Ports,
    router: &mut Router<'_>,
    request: &OccurrenceRequest,
) -> Result<Vec<String>, StageError> {
    let spec = router.catalog().await?.pick("", Some(&request.pipeline))?;
    let occurrence = local_time::text(request.occurrence);
    let Some(schedule) = spec.schedule.as_ref().filter(|schedule| schedule.occurrences.occurs(request.occurrence))
    else {
        let message = format!("the pipeline `{}` has no schedule that occurs at {occurrence}", spec.name());
        return Err(StageError::new(ErrorKind::InvalidInput, message));
    };
    match (Scheduled { ports, spec, schedule }).load(request.occurrence).await? {
        Standing::Loaded(execution) => Ok(vec![execution]),
        Standing::Empty => Ok(Vec::new()),
        Standing::Incomplete(reason) => Err(incomplete(spec, &occurrence, &reason)),
    }
}

/// A pipeline with a schedule.
struct Scheduled<'a> {
    ports: &'a Ports,
    spec: &'a CheckedSpec,
    schedule: &'a Schedule,
}

/// How an occurrence stands.
enum Standing {
    /// The execution of that name was started, now or before.
    Loaded(String),
    /// There is nothing to load.
    Empty,
    /// Something is missing.
    Incomplete(String),
}

impl Scheduled<'_> {
    async fn tick(&self, now: DateTime<Utc>) -> Result<(), StageError> {
        let diary = Diary::new(self.ports, self.spec, self.schedule);
        let open = diary.take_up(now).await?;
        let mut closed = Vec::new();
        let mut first_error = None;
        for open in open {
            match self.look(&open, now).await {
                Ok(true) => closed.push(open),
                Ok(false) => {}
                Err(error) => first_error = first_error.or(Some(error)),
            }
            if self.ports.context.budget.is_spent() {
                break;
            }
        }
        diary.close(&closed).await?;
        first_error.map_or(Ok(()), Err)
    }

    /// Loads an open occurrence if it is complete. Gives whether it is to be looked at no more.
    async fn look(&self, open: &Open, now: DateTime<Utc>) -> Result<bool, StageError> {
        let (pipeline, occurrence) = (self.spec.name(), local_time::text(open.occurrence));
        let error = match self.load(open.occurrence).await {
            Ok(Standing::Loaded(_)) => return Ok(true),
            Ok(Standing::Empty) => {
                info!(pipeline, occurrence, "nothing to load");
                return Ok(true);
            }
            Ok(Standing::Incomplete(reason)) => {
                info!(pipeline, occurrence, reason, "batch is incomplete");
                // It was reported when its own time was up.
                if open.revisited {
                    return Ok(true);
                }
                incomplete(self.spec, &occurrence, &reason)
            }
            Err(error) if error.kind().is_transient() => return Err(error),
            Err(error) => error,
        };
        let waited = (now - self.schedule.occurrences.due(open.occurrence)).to_std().unwrap_or_default();
        if waited >= self.schedule.wait_max {
            self.bury(&occurrence, &error).await?;
            return Ok(true);
        }
        if error.kind() == ErrorKind::SourceMissing { Ok(false) } else { Err(error) }
    }

    /// Lists the batch of an occurrence, anew if there is something new, and starts its run.
    async fn load(&self, occurrence: NaiveDateTime) -> Result<Standing, StageError> {
        let prefix = self.schedule.prefix.render(occurrence);
        let batch = Batch::new(self.ports, self.spec.name(), prefix.trim_end_matches('/'));
        loop {
            // Before the objects, so that what is listed is never older than what another tick listed.
            let listed = batch.listed().await?;
            let members = match members::find(self.ports, self.spec, self.schedule, &prefix).await? {
                Members::All(members) => members,
                Members::Incomplete(reason) => return Ok(Standing::Incomplete(reason)),
            };
            let before = by_place(listed.as_ref().map_or(&[][..], |listed| &listed.list.members));
            let is_news = |member: &&Source| !before.get(&place(member)).is_some_and(|before| is_same(before, member));
            let news = members.iter().filter(is_news).count();
            if news == 0 {
                return Ok(match &listed {
                    // Whoever listed it may have died before its run was started.
                    Some(listed) => Standing::Loaded(batch.start(listed).await?),
                    None => Standing::Empty,
                });
            }
            let (pipeline, occurrence) = (self.spec.name(), local_time::text(occurrence));
            let after = by_place(&members);
            let gone = before.keys().filter(|place| !after.contains_key(*place)).count();
            if gone > 0 {
                warn!(
                    pipeline,
                    occurrence,
                    prefix,
                    files = gone,
                    "objects of the batch are gone, and are left out now"
                );
            }
            if batch.write(members, listed.as_ref()).await? {
                info!(pipeline, occurrence, prefix, files = news, "batch listed");
                return Ok(Standing::Loaded(batch.start_current().await?));
            }
        }
    }

    async fn bury(&self, occurrence: &str, error: &StageError) -> Result<(), StageError> {
        let (pipeline, name, report) = (self.spec.name(), error.kind().name(), error.report());
        error!(pipeline, occurrence, error_name = name, error = report, "occurrence was not loaded");
        let body = json!({ "schedule": { "pipeline": pipeline, "occurrence": occurrence } });
        let cause = DeathCause { error: name.to_owned(), message: report, pipeline: Some(pipeline.to_owned()) };
        self.ports.queue.bury(&body.to_string(), &cause).await
    }
}

fn by_place(members: &[Source]) -> BTreeMap<(&str, &str), &Source> {
    members.iter().map(|member| (place(member), member)).collect()
}

fn incomplete(spec: &CheckedSpec, occurrence: &str, reason: &str) -> StageError {
    let message = format!("the batch of `{}` at {occurrence} is incomplete: {reason}", spec.name());
    StageError::new(ErrorKind::SourceMissing, message)
}
