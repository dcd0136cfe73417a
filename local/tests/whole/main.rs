//! Whole runs of the command on small files of every kind: what stands in the table afterwards, and what does not.
#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod conditions;
mod folder;
mod formats;
mod infer;
mod personal_data;
mod readme;
mod tables;
