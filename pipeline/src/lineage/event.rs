use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use super::facet::{DatasetFacets, InputFacets, JobFacets, OutputFacets, RunFacets};

/// The schema of events (OpenLineage specification, version 2-0-2).
const SCHEMA_URL: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";

/// Who tells: this code, as a URI.
pub(super) const PRODUCER: &str = concat!("urn:stepwell:", env!("CARGO_PKG_VERSION"));

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EventType {
    /// It has begun.
    Start,
    /// It has succeeded.
    Complete,
    /// It has failed.
    Fail,
    /// Somebody stopped it.
    Abort,
    /// More is known of it.
    Other,
}

impl EventType {
    /// The type's name in OpenLineage.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "START",
            Self::Complete => "COMPLETE",
            Self::Fail => "FAIL",
            Self::Abort => "ABORT",
            Self::Other => "OTHER",
        }
    }
}

/// An OpenLineage event of a run (OpenLineage specification, `RunEvent`).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunEvent {
    /// What became of the run.
    pub event_type: EventType,
    #[serde(serialize_with = "timestamp")]
    pub(super) event_time: SystemTime,
    pub(super) producer: &'static str,
    #[serde(rename = "schemaURL")]
    pub(super) schema_url: &'static str,
    pub(super) run: OpenLineageRun,
    pub(super) job: Job,
    pub(super) inputs: Vec<InputDataset>,
    pub(super) outputs: Vec<OutputDataset>,
    /// How often the execution had been redriven.
    #[serde(skip)]
    pub(super) redrive_count: u64,
}

impl RunEvent {
    pub(super) fn new(event_type: EventType, event_time: SystemTime, run: OpenLineageRun, job: Job) -> Self {
        Self {
            event_type,
            event_time,
            producer: PRODUCER,
            schema_url: SCHEMA_URL,
            run,
            job,
            inputs: Vec::new(),
            outputs: Vec::new(),
            redrive_count: 0,
        }
    }

    /// The id of the run.
    pub fn run_id(&self) -> &str {
        &self.run.run_id
    }

    /// The name of a file for the event, the same for its repetitions: `<job>/<run>/<type>.json`. An execution that is
    /// redriven may fail anew, and so has several failures.
    pub fn file_name(&self) -> String {
        let kind = self.event_type.name();
        let suffix = match (self.event_type, self.redrive_count) {
            (EventType::Fail | EventType::Abort, count @ 1..) => format!("-{count}"),
            _ => String::new(),
        };
        format!("{}/{}/{kind}{suffix}.json", self.job.name, self.run.run_id)
    }
}

/// A run of a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OpenLineageRun {
    pub(super) run_id: String,
    pub(super) facets: RunFacets,
}

/// What runs again and again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Job {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) facets: JobFacets,
}

/// What a run reads.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InputDataset {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) facets: DatasetFacets,
    pub(super) input_facets: InputFacets,
}

/// What a run writes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OutputDataset {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) facets: DatasetFacets,
    pub(super) output_facets: OutputFacets,
}

fn timestamp<S: Serializer>(moment: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let moment: DateTime<Utc> = (*moment).into();
    serializer.serialize_str(&moment.to_rfc3339_opts(SecondsFormat::Millis, true))
}
