//! What each step does where a store or the state machine refuses a call: what is tried again, what is left to the next
//! tick, what becomes a dead letter; and what it does with something that is not as it was.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod ends;
mod gather;
mod schedule;
mod slots;
mod streams;
mod warnings;
mod world;
