//! The domain of Stepwell: what a pipeline, a run, a record, a reject and an error are, and the ports through
//! which stages reach the outside. It names no cloud, no SQL engine and no stage.

pub mod batch;
pub mod current;
pub mod dead_letter;
pub mod error;
pub mod execution;
pub mod failure;
pub mod figures;
pub mod handoff;
pub mod lineage;
pub mod link;
pub mod manifest;
pub mod metrics;
pub mod notice;
pub mod order;
pub mod price;
pub mod progress;
pub mod queue;
pub mod reject;
pub mod request;
pub mod run;
pub mod spec;
pub mod stage;
pub mod staging;
pub mod store;
pub mod usage;

pub use error::{ErrorKind, StageError};
