//! The stages of a run and what each is given to work with.

use std::{fmt, sync::Arc, time::SystemTime};

use serde::{Deserialize, Serialize};

use crate::{
    lineage::Lineage,
    metrics::{Measured, Metric, Metrics, Subject, Unmeasured},
    progress::Progress,
    store::Stores,
    usage::Meter,
};

/// A stage of a run, named as its state in the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// Object to accepted parts and rejects.
    Extract,
    /// Parts to final files.
    Transform,
    /// Final files to the table, committed.
    Load,
}

impl Stage {
    /// The stages in the order in which they run.
    pub const ALL: [Stage; 3] = [Stage::Extract, Stage::Transform, Stage::Load];

    /// The name of the stage's state.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Extract => "Extract",
            Stage::Transform => "Transform",
            Stage::Load => "Load",
        }
    }

    /// The stage that a function serves, which is called as the stage is, in small letters; none for `trigger` and
    /// `notify`.
    pub fn of_function(function: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name().eq_ignore_ascii_case(function))
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The names of the three buckets that a deployment has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// Where objects arrive; the only bucket that starts runs.
    pub landing: String,
    /// Where specs, staged data, manifests, rejects and reports live.
    pub work: String,
    /// Where the tables are.
    pub lake: String,
}

/// Everything outside a stage that it may use, and how much of it.
#[derive(Clone, Debug)]
pub struct StageContext {
    /// The object stores.
    pub stores: Arc<dyn Stores>,
    /// Which bucket plays which part.
    pub buckets: Buckets,
    /// Where the stage tells how far it is.
    pub progress: Arc<dyn Progress>,
    /// Where the stage tells what it measured.
    pub metrics: Arc<dyn Metrics>,
    /// When the stage should save what it has and come back for the rest.
    pub budget: Arc<dyn Budget>,
    /// How much it takes at a time.
    pub limits: Limits,
    /// The key of `pii: hash`, where the deployment has one.
    pub hash_key: Option<HashKey>,
    /// Where lineage is told, if it is.
    pub lineage: Option<Lineage>,
    /// The ARN of the execution that the work belongs to, where it belongs to one.
    pub execution_id: Option<String>,
    /// What the run used so far, where it is measured.
    pub meter: Option<Meter>,
    /// The time of day. What a stage writes hangs on it in nothing but timings.
    pub now: fn() -> SystemTime,
}

impl StageContext {
    /// A context with all the time it needs, the default limits, no hash key and nobody who collects metrics.
    pub fn new(stores: Arc<dyn Stores>, buckets: Buckets, progress: Arc<dyn Progress>) -> Self {
        Self {
            stores,
            buckets,
            progress,
            metrics: Arc::new(Unmeasured),
            budget: Arc::new(Unhurried),
            limits: Limits::default(),
            hash_key: None,
            lineage: None,
            execution_id: None,
            meter: None,
            now: SystemTime::now,
        }
    }

    /// The context of work that should come to an end, or to a checkpoint, by a moment.
    #[must_use]
    pub fn until(self, moment: std::time::Instant) -> Self {
        Self { budget: Arc::new(Until(moment)), ..self }
    }

    /// Tells what was measured.
    pub fn measure(&self, subject: Subject, values: Vec<(Metric, f64)>) {
        self.metrics.emit(Measured { subject, values });
    }

    /// The context of work for an execution.
    #[must_use]
    pub fn of_execution(self, execution_id: &str) -> Self {
        Self { execution_id: Some(execution_id.to_owned()), ..self }
    }

    /// The context of a call that is measured.
    #[must_use]
    pub fn metered(self, meter: Meter) -> Self {
        Self { stores: meter.stores(self.stores), meter: Some(meter), ..self }
    }
}

/// How much a stage takes at a time. Where parts and files are cut depends on these and on the data, never on when a
/// stage was interrupted, so that a run of many rounds gives the bytes of a run of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of a staged part, about.
    pub part_bytes: u64,
    /// The records of a batch.
    pub batch_records: usize,
    /// The members of a batch after which a staged part ends, however small it is: a place for a checkpoint.
    pub part_members: u32,
    /// The staged parts that row-wise SQL takes between two checkpoints.
    pub group_parts: usize,
    /// The most bytes of a source that one request asks for.
    pub range_bytes: u64,
    /// The most bytes that one request brings to the store, about. S3 takes no parts under 5 MiB.
    pub upload_bytes: usize,
    /// The memory that SQL over the whole object may use before it spills, in bytes.
    pub sql_memory_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            part_bytes: 64 * 1024 * 1024,
            batch_records: 8192,
            part_members: 4096,
            group_parts: 16,
            range_bytes: 4 * 1024 * 1024,
            upload_bytes: 6 * 1024 * 1024,
            sql_memory_bytes: 96 * 1024 * 1024,
        }
    }
}

/// The key of `pii: hash`.
#[derive(Clone)]
pub struct HashKey(Arc<[u8]>);

impl HashKey {
    /// A key of those bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The key's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(…)")
    }
}

/// The time that a stage has.
pub trait Budget: fmt::Debug + Send + Sync {
    /// Whether the stage should stop at the next place where it can. Asked only once something is done in the round,
    /// so that every round gets further.
    fn is_spent(&self) -> bool;
}

/// All the time in the world.
#[derive(Debug)]
pub struct Unhurried;

impl Budget for Unhurried {
    fn is_spent(&self) -> bool {
        false
    }
}

/// Time up to a moment.
#[derive(Debug)]
pub struct Until(pub std::time::Instant);

impl Budget for Until {
    fn is_spent(&self) -> bool {
        std::time::Instant::now() >= self.0
    }
}

/// The version of the code, as it is written into manifests and reports.
pub const CODE_VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{progress::Unwatched, store::MemoryStores};

    #[test]
    fn a_function_serves_the_stage_that_is_called_as_it_is() {
        for (function, stage) in [
            ("extract", Some(Stage::Extract)),
            ("transform", Some(Stage::Transform)),
            ("load", Some(Stage::Load)),
            ("trigger", None),
            ("notify", None),
        ] {
            assert_eq!(Stage::of_function(function), stage, "{function}");
        }
    }

    #[test]
    fn work_should_end_by_its_moment_and_not_before() {
        let buckets = Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() };
        let context = StageContext::new(Arc::new(MemoryStores::default()), buckets, Arc::new(Unwatched));
        let now = Instant::now();
        assert!(!context.budget.is_spent());
        assert!(!context.clone().until(now + Duration::from_hours(1)).budget.is_spent());
        assert!(context.until(now).budget.is_spent());
    }

    #[test]
    fn the_hash_key_is_never_printed() {
        assert_eq!(format!("{:?}", HashKey::new(b"secret")), "HashKey(…)");
    }
}
