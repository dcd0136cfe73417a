//! Batches, gathered and by schedule: whatever is missed, comes again or fails, and whoever cuts at the same time, each
//! object is loaded once.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod deployment;
mod gather;
#[path = "../outside/mod.rs"]
mod outside;
mod schedule;
