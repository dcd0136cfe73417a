//! What a run uses of the services that its deployment pays for: measured where it happens, and carried from stage to
//! stage beside the handoff.

mod meter;
mod stores;

use serde::{Deserialize, Serialize, Serializer};

pub use self::meter::Meter;
use crate::{price, stage::Stage};

/// The transitions of one call of a stage: its Task, and the Choice that asks whether there is more.
const TRANSITIONS_OF_CALL: u64 = 2;

/// The transitions that follow a loaded run: `NotifySuccess`.
const TRANSITIONS_OF_NOTICE: u64 = 1;

/// What the calls of a run's stages have used so far.
///
/// It has what calls that succeeded used: the rounds of a stage add up, and an execution that finds a stage finished has
/// only what finding it took. A call that failed takes its figures along, so attempts before a retry are missing, and so
/// is what `trigger` and `notify` used.
///
/// In JSON it is `{"stages": […], "transitions": …, "cost_usd": …}`, a few hundred bytes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Usage {
    /// By stage, in the order in which they ran.
    #[serde(default)]
    pub stages: Vec<StageUsage>,
}

/// What the calls of one stage used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageUsage {
    /// The stage.
    pub stage: Stage,
    /// How often it was called.
    pub calls: u64,
    /// The milliseconds of its calls, each rounded up, as Lambda bills them (AWS Lambda Pricing, "Duration is
    /// calculated from the time your code begins executing until it returns or otherwise terminates, rounded up to the
    /// nearest 1 ms"), with the start of the process before the first.
    pub billed_ms: u64,
    /// The memory of its function in MiB, when it was called last.
    pub memory_mib: u64,
    /// Gigabytes of memory times seconds; a gigabyte is 1,024 MiB, as Lambda counts.
    pub gb_seconds: f64,
    /// Requests to object stores, and the bytes that they moved.
    #[serde(flatten)]
    pub requests: Requests,
}

/// Requests to object stores by price class (Amazon S3 Pricing, "Requests & data retrievals"), and the bytes that they
/// moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// GET and HEAD.
    pub requests_get: u64,
    /// PUT, COPY, POST and LIST: each part of an upload, its beginning and its end, and each page of a listing.
    pub requests_put: u64,
    /// DELETE and the giving up of uploads, which cost nothing; counted by object.
    pub requests_delete: u64,
    /// Bytes asked for.
    pub bytes_read: u64,
    /// Bytes sent. Copies within the store are none.
    pub bytes_written: u64,
}

impl Requests {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests_get: self.requests_get + other.requests_get,
            requests_put: self.requests_put + other.requests_put,
            requests_delete: self.requests_delete + other.requests_delete,
            bytes_read: self.bytes_read + other.bytes_read,
            bytes_written: self.bytes_written + other.bytes_written,
        }
    }
}

impl Usage {
    /// What the stages used, and one more call besides.
    #[must_use]
    pub fn with_call(mut self, call: StageUsage) -> Self {
        match self.stages.iter_mut().find(|earlier| earlier.stage == call.stage) {
            None => self.stages.push(call),
            Some(earlier) => {
                earlier.calls += call.calls;
                earlier.billed_ms += call.billed_ms;
                earlier.memory_mib = call.memory_mib;
                earlier.gb_seconds += call.gb_seconds;
                earlier.requests = earlier.requests.plus(call.requests);
            }
        }
        self
    }

    /// The calls of all stages.
    pub fn calls(&self) -> u64 {
        self.stages.iter().map(|stage| stage.calls).sum()
    }

    /// The requests of all stages.
    pub fn requests(&self) -> Requests {
        self.stages.iter().fold(Requests::default(), |sum, stage| sum.plus(stage.requests))
    }

    /// The transitions of the execution: those that the calls stand for, and, once `Load` was called, the one to the
    /// notice (AWS Step Functions Pricing: "a state transition each time a step of your workflow is executed").
    pub fn transitions(&self) -> u64 {
        let is_loaded = self.stages.iter().any(|stage| stage.stage == Stage::Load);
        self.calls() * TRANSITIONS_OF_CALL + if is_loaded { TRANSITIONS_OF_NOTICE } else { 0 }
    }

    /// What it costs in US dollars, by the list prices of [`price`].
    pub fn cost_usd(&self) -> f64 {
        price::Bill::of(self).usd
    }
}

impl Serialize for Usage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Carried<'a> {
            stages: &'a [StageUsage],
            transitions: u64,
            cost_usd: f64,
        }
        let carried = Carried { stages: &self.stages, transitions: self.transitions(), cost_usd: self.cost_usd() };
        carried.serialize(serializer)
    }
}

#[cfg(test)]
mod tests;
