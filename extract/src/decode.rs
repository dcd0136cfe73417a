//! From an object's bytes to the records of blocks, one module per family of formats.

// The stage's loop over blocks takes them up.
#![allow(dead_code, reason = "the stage does not read these formats yet")]

pub(crate) mod avro;
pub(crate) mod parquet;
pub(crate) mod typed;
