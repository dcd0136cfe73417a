//! Writes the final Parquet files, by partition and of a target size, in bounded memory.

mod encode;
mod encoding;
mod file;
mod flat;
mod pages;
mod partition;
mod sample;
mod schema;
mod shelf;
mod upload;
mod writer;

pub(crate) use partition::HIVE_NULL;
pub(crate) use writer::{FileWriter, Layout};

use parquet::errors::ParquetError;
use stepwell_pipeline::{ErrorKind, StageError};

fn encoding_failed(error: ParquetError) -> StageError {
    StageError::with_source(ErrorKind::TransformFailed, "cannot write Parquet", error)
}
