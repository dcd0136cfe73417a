//! The port through which a stage tells how far it is.

use std::fmt::Debug;

use crate::stage::Stage;

/// Receives the progress of a stage. Calls come often; an implementation returns at once.
pub trait Progress: Debug + Send + Sync {
    /// The stage has begun; `bytes` is the amount of work ahead where it is known.
    fn started(&self, stage: Stage, bytes: Option<u64>);
    /// So many more bytes and records are done.
    fn advanced(&self, stage: Stage, bytes: u64, records: u64);
    /// The stage is done; `resumed` says that an earlier execution had done it.
    fn finished(&self, stage: Stage, resumed: bool);
}

/// Progress that nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Progress for Unwatched {
    fn started(&self, _: Stage, _: Option<u64>) {}
    fn advanced(&self, _: Stage, _: u64, _: u64) {}
    fn finished(&self, _: Stage, _: bool) {}
}
