//! Batches: several objects that one run reads as one source.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod ahead;
mod members;
mod refused;
mod rounds;
mod support;
#[path = "../zip/mod.rs"]
mod zip;
