//! Many small files, gathered into batches.

use chrono::{DateTime, Utc};
use stepwell_pipeline::StageError;

use crate::{Ports, route::Router};

/// Cuts the batches that have waited long enough.
pub(crate) async fn tick(_ports: &Ports, _router: &mut Router<'_>, _now: DateTime<Utc>) -> Result<(), StageError> {
    Ok(())
}
