//! How many executions run at the same time.

use stepwell_pipeline::{StageError, execution::Started, request::RunRequest};
use tracing::info;

use crate::Ports;

/// Starts an execution as soon as fewer than the most allowed run: now, or when another ends.
pub(crate) async fn start(ports: &Ports, name: &str, request: &RunRequest) -> Result<(), StageError> {
    let started = ports.executions.start(name, request).await?;
    info!(
        execution = name,
        pipeline = request.pipeline,
        bucket = request.bucket,
        key = request.key,
        already_done = started == Started::AlreadyDone,
        "execution started"
    );
    Ok(())
}

/// An execution ended: starts one that waits.
pub(crate) async fn ended(_ports: &Ports, _execution: &str) -> Result<(), StageError> {
    Ok(())
}

/// Looks whether executions ended without anybody saying so.
pub(crate) async fn tick(_ports: &Ports) -> Result<(), StageError> {
    Ok(())
}
