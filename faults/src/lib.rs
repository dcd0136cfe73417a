//! Fault injection: the real stages under the shipped state machine, on a simulated outside whose every call may fail.
//!
//! A [`Case`] is a scenario and some faults; the [`Lab`] runs it and says what should not have been. Nothing is known
//! beforehand of the calls that stages make: a run without faults shows them.

pub mod call;
pub mod campaign;
mod case;
mod functions;
mod invariant;
mod oracle;
pub mod sabotage;
pub mod scenario;
pub mod state;
mod store;
mod world;

pub use case::{Case, Lab, LabMemory, Outcome, Weather};
pub use world::Moment;
