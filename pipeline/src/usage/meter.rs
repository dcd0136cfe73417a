use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    Requests, StageUsage, Usage,
    stores::{Counts, MeteredStores},
};
use crate::{stage::Stage, store::Stores};

/// The field of a stage's input and output that carries the usage.
const FIELD: &str = "usage";

/// Measures one call of a stage.
///
/// Whoever calls the stage begins one with its input and ends it with its output; the stage itself sees only what was
/// used so far, in [`crate::stage::StageContext::meter`].
#[derive(Clone, Debug)]
pub struct Meter {
    stage: Stage,
    memory_mib: u64,
    /// What the calls before used.
    before: Arc<Usage>,
    began: Instant,
    /// Time that is part of the call, though it passed before it began.
    start: Duration,
    counts: Arc<Counts>,
}

impl Meter {
    /// Begins to measure a call. The usage so far is taken out of the input; one that is not as Stepwell writes it
    /// counts as none, since no run should fail for its accounts.
    ///
    /// `start` is what the process took to start, where this is its first call.
    pub fn begin(stage: Stage, memory_mib: u64, start: Duration, input: &mut Value) -> Self {
        let carried = input.as_object_mut().and_then(|fields| fields.remove(FIELD));
        let before = carried.and_then(|usage| serde_json::from_value(usage).ok()).unwrap_or_default();
        Self { stage, memory_mib, before: Arc::new(before), began: Instant::now(), start, counts: Arc::default() }
    }

    /// The same stores, whose requests are counted from now on.
    pub fn stores(&self, stores: Arc<dyn Stores>) -> Arc<dyn Stores> {
        Arc::new(MeteredStores::new(stores, self.counts.clone()))
    }

    /// What the run used so far, this call included.
    pub fn so_far(&self) -> Usage {
        self.so_far_and(Requests::default())
    }

    /// What the run used so far, and requests that are about to be made.
    pub fn so_far_and(&self, upcoming: Requests) -> Usage {
        let call = call(self.stage, self.memory_mib, self.start + self.began.elapsed());
        let requests = self.counts.requests().plus(upcoming);
        Usage::clone(&self.before).with_call(StageUsage { requests, ..call })
    }

    /// Ends the call: puts what the run used into its output.
    pub fn end(&self, output: &mut Value) {
        if let (Some(fields), Ok(usage)) = (output.as_object_mut(), serde_json::to_value(self.so_far())) {
            fields.insert(FIELD.to_owned(), usage);
        }
    }
}

/// A call that made no request.
pub(super) fn call(stage: Stage, memory_mib: u64, time: Duration) -> StageUsage {
    let billed_ms = u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    StageUsage {
        stage,
        calls: 1,
        billed_ms,
        memory_mib,
        gb_seconds: memory_mib as f64 / 1024.0 * billed_ms as f64 / 1000.0,
        requests: Requests::default(),
    }
}
