//! Backfills: every object that is wanted starts its execution once, whatever fails, dies, comes or goes meanwhile.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod crashes;
#[path = "../outside/mod.rs"]
mod outside;
mod rounds;
mod selection;
mod world;
