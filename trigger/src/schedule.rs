//! Batches by schedule.

use chrono::{DateTime, Utc};
use stepwell_pipeline::StageError;

use crate::{Ports, route::Router};

/// Starts the batches that are due.
pub(crate) async fn tick(_ports: &Ports, _router: &mut Router<'_>, _now: DateTime<Utc>) -> Result<(), StageError> {
    Ok(())
}
