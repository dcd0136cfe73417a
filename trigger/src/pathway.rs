use chrono::{DateTime, Utc};
use serde_json::Value;
use stepwell_pipeline::{ErrorKind, StageError, handoff, request::RunRequest};

use crate::{backfill::BackfillRequest, schedule::OccurrenceRequest, slots::Waiting, upload};

/// What an event asks for, told from its shape.
pub(crate) enum Pathway {
    /// Objects were created.
    Uploads(Vec<Result<RunRequest, StageError>>),
    /// Time has passed: `{"tick": "2026-01-01T00:00:00Z"}`, which EventBridge Scheduler sends every minute.
    Tick(DateTime<Utc>),
    /// The execution of that name ended, or was redriven: a status change as EventBridge tells it.
    Ended(String),
    /// An execution that waited for its slot could not be started and is to be tried again: `{"start": {…}}`, which is
    /// what the dead letters hold then.
    Start(Waiting),
    /// Objects that are there already are to be loaded: `{"backfill": {…}}`.
    Backfill(BackfillRequest),
    /// A scheduled batch is to be loaded now: `{"schedule": {…}}`.
    Occurrence(OccurrenceRequest),
    /// The job of that id is to be looked at: `{"job": "…"}`, as the dead letter of a stuck job has it.
    Job(String),
    /// Nothing that starts anything.
    Nothing,
}

impl Pathway {
    pub(crate) fn of(event: &Value) -> Result<Self, StageError> {
        if let Some(moment) = event.get("tick") {
            let moment = DateTime::parse_from_rfc3339(moment.as_str().unwrap_or_default()).map_err(|error| {
                let message = "`tick` is no moment such as 2026-01-01T00:00:00Z";
                StageError::with_source(ErrorKind::InvalidInput, message, error)
            })?;
            return Ok(Self::Tick(moment.to_utc()));
        }
        if let Some(request) = event.get("backfill") {
            return Ok(Self::Backfill(handoff::parse(request)?));
        }
        if let Some(waiting) = event.get("start") {
            return Ok(Self::Start(handoff::parse(waiting)?));
        }
        if let Some(request) = event.get("schedule") {
            return Ok(Self::Occurrence(handoff::parse(request)?));
        }
        if let Some(id) = event.get("job").and_then(Value::as_str) {
            return Ok(Self::Job(id.to_owned()));
        }
        if event.get("detail-type").and_then(Value::as_str) == Some("Step Functions Execution Status Change") {
            let status = event.pointer("/detail/status").and_then(Value::as_str);
            let name = event.pointer("/detail/name").and_then(Value::as_str);
            return Ok(match (status, name) {
                (Some(status), Some(name)) if status != "RUNNING" => Self::Ended(name.to_owned()),
                _ => Self::Nothing,
            });
        }
        upload::uploads(event).map(Self::Uploads).ok_or_else(unknown_shape)
    }
}

/// The error of an event that is none of those known.
pub(crate) fn unknown_shape() -> StageError {
    StageError::new(
        ErrorKind::InvalidInput,
        "the event is neither an S3 notification (`Records`) nor an S3 event of EventBridge (`detail`), either of them by \
         itself, from SNS or SQS, nor a `tick`, a `backfill`, a Kinesis batch or a request over HTTP",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_execution_has_ended_when_it_no_longer_runs() {
        for (status, ended) in [
            ("RUNNING", None),
            ("SUCCEEDED", Some("sales-1")),
            ("FAILED", Some("sales-1")),
            ("TIMED_OUT", Some("sales-1")),
            ("ABORTED", Some("sales-1")),
            ("PENDING_REDRIVE", Some("sales-1")),
        ] {
            let event = json!({
                "detail-type": "Step Functions Execution Status Change",
                "detail": { "status": status, "name": "sales-1" },
            });
            let told = match Pathway::of(&event).expect("a known shape") {
                Pathway::Ended(name) => Some(name),
                Pathway::Nothing => None,
                _ => panic!("{status} is something else"),
            };
            assert_eq!(told.as_deref(), ended, "{status}");
        }
    }
}
