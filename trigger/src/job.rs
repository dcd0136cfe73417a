//! Jobs over HTTP.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use stepwell_pipeline::StageError;

use crate::Ports;

/// A request as API Gateway sends it (API Gateway Developer Guide, "Create AWS Lambda proxy integrations for HTTP APIs",
/// payload format version 2.0).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct HttpRequest {}

/// Answers a request.
pub(crate) async fn respond(_ports: &Ports, _request: HttpRequest) -> Result<Value, StageError> {
    Ok(json!({ "statusCode": 404 }))
}

/// Ends the jobs that are stuck.
pub(crate) async fn tick(_ports: &Ports, _now: DateTime<Utc>) -> Result<(), StageError> {
    Ok(())
}
