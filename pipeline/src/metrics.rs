//! What a deployment measures of its own work, and the port that takes it.
//!
//! What is emitted is a sum or a distribution over finished work: a stage emits when it has just finished something, and
//! never when it finds that an earlier call did. So nothing is counted twice; what a process measured is lost where it
//! dies between the end of its work and the emission.

use std::{
    fmt::Debug,
    sync::{Mutex, PoisonError},
};

use crate::{run::Run, stage::Stage};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Records in the source.
    RecordsRead,
    /// Records that do not fit the schema.
    RecordsRejected,
    /// Records that a commit made current.
    RecordsLoaded,
    /// Bytes of the source.
    BytesRead,
    /// Bytes of the files that a commit made current.
    BytesLoaded,
    /// From the stage's first call to its end, retries and rounds included.
    StageSeconds,
    /// Rejected records of all that were read, from 0 to 1.
    RejectRatio,
    /// From the upload of an object to its commit.
    LagSeconds,
    /// Executions that succeeded.
    RunsSucceeded,
    /// Executions that ended in any other way.
    RunsFailed,
    /// Attempts to publish a notice that failed.
    NoticesFailed,
    /// What a run cost, estimated, in US dollars.
    CostUsd,
    /// Pipelines that expect data and had none for too long.
    PipelinesOverdue,
}

/// What a metric is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// Anything else: a ratio, dollars.
    None,
}

impl Metric {
    /// All metrics.
    pub const ALL: [Self; 13] = [
        Self::RecordsRead,
        Self::RecordsRejected,
        Self::RecordsLoaded,
        Self::BytesRead,
        Self::BytesLoaded,
        Self::StageSeconds,
        Self::RejectRatio,
        Self::LagSeconds,
        Self::RunsSucceeded,
        Self::RunsFailed,
        Self::NoticesFailed,
        Self::CostUsd,
        Self::PipelinesOverdue,
    ];

    /// The metric's name, as dashboards and alarms have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RecordsRead => "RecordsRead",
            Self::RecordsRejected => "RecordsRejected",
            Self::RecordsLoaded => "RecordsLoaded",
            Self::BytesRead => "BytesRead",
            Self::BytesLoaded => "BytesLoaded",
            Self::StageSeconds => "StageSeconds",
            Self::RejectRatio => "RejectRatio",
            Self::LagSeconds => "LagSeconds",
            Self::RunsSucceeded => "RunsSucceeded",
            Self::RunsFailed => "RunsFailed",
            Self::NoticesFailed => "NoticesFailed",
            Self::CostUsd => "CostUsd",
            Self::PipelinesOverdue => "PipelinesOverdue",
        }
    }

    /// The metric's unit.
    pub fn unit(self) -> Unit {
        match self {
            Self::BytesRead | Self::BytesLoaded => Unit::Bytes,
            Self::StageSeconds | Self::LagSeconds => Unit::Seconds,
            Self::RejectRatio | Self::CostUsd => Unit::None,
            _ => Unit::Count,
        }
    }
}

/// What values are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The deployment as a whole.
    Deployment,
    /// One pipeline, and nothing that adds up over all of them.
    Pipeline(String),
    /// A run: its values count for the pipeline, where that is known, and for the deployment.
    Run {
        /// The pipeline.
        pipeline: Option<String>,
        /// The run's id, where there is one.
        run_id: Option<String>,
    },
    /// One stage of a run: its values count for the stage of the pipeline.
    Stage {
        /// The pipeline.
        pipeline: String,
        /// The run's id.
        run_id: String,
        /// The stage.
        stage: Stage,
    },
}

impl Subject {
    /// A run.
    pub fn run(run: &Run) -> Self {
        Self::Run { pipeline: Some(run.pipeline.clone()), run_id: Some(run.id.clone()) }
    }

    /// A stage of a run.
    pub fn stage(run: &Run, stage: Stage) -> Self {
        Self::Stage { pipeline: run.pipeline.clone(), run_id: run.id.clone(), stage }
    }
}

/// What was measured of one subject at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// What it is about.
    pub subject: Subject,
    /// The values, each metric once.
    pub values: Vec<(Metric, f64)>,
}

/// Takes what was measured. Nothing depends on it: an implementation neither fails nor waits.
pub trait Metrics: Debug + Send + Sync {
    /// Takes it.
    fn emit(&self, measured: Measured);
}

/// Metrics that nobody collects.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unmeasured;

impl Metrics for Unmeasured {
    fn emit(&self, _: Measured) {}
}

/// Metrics in memory, for tests.
#[derive(Debug, Default)]
pub struct MemoryMetrics(Mutex<Vec<Measured>>);

impl MemoryMetrics {
    /// What was emitted so far.
    pub fn emitted(&self) -> Vec<Measured> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The values of a metric in the order in which they were emitted.
    pub fn values(&self, metric: Metric) -> Vec<f64> {
        let values = self.emitted().into_iter().flat_map(|measured| measured.values);
        values.filter(|(measured, _)| *measured == metric).map(|(_, value)| value).collect()
    }
}

impl Metrics for MemoryMetrics {
    fn emit(&self, measured: Measured) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(measured);
    }
}

/// The part that was rejected of the records read; 0 where there were none.
pub fn reject_ratio(rejected: u64, read: u64) -> f64 {
    if read == 0 { 0.0 } else { rejected as f64 / read as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_units_are_those_that_alarms_and_dashboards_have() {
        let told = Metric::ALL.map(|metric| (metric.name(), metric.unit()));
        assert_eq!(
            told,
            [
                ("RecordsRead", Unit::Count),
                ("RecordsRejected", Unit::Count),
                ("RecordsLoaded", Unit::Count),
                ("BytesRead", Unit::Bytes),
                ("BytesLoaded", Unit::Bytes),
                ("StageSeconds", Unit::Seconds),
                ("RejectRatio", Unit::None),
                ("LagSeconds", Unit::Seconds),
                ("RunsSucceeded", Unit::Count),
                ("RunsFailed", Unit::Count),
                ("NoticesFailed", Unit::Count),
                ("CostUsd", Unit::None),
                ("PipelinesOverdue", Unit::Count),
            ]
        );
        let page = include_str!("../../docs/observability.md");
        for (name, _) in told {
            assert!(page.contains(&format!("`{name}`")), "the page lacks {name}");
        }
    }
}
