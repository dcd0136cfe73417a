//! The command line: a whole run on this machine, through the same state machine and stages as on AWS.

pub mod allocator;
pub mod command;
pub mod directory;
pub mod executor;
mod landing;
mod lineage;
mod progress;
mod records;
mod serve;
mod summary;
mod up;
