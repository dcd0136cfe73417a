//! Lineage: which data came from which, told to others as OpenLineage events, and the port that carries them.
//!
//! An execution is a run in the sense of OpenLineage, and a pipeline its job. Events are told best effort: no run
//! fails for them, and none waits for them longer than [`SENDING_TIME`].

mod columns;
mod dataset;
mod event;
mod facet;
mod quality;
mod run_id;
mod sink;
mod subject;

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
pub use columns::{ColumnLineage, ColumnSource, Effect, TableColumn, Transformation};
pub use event::{EventType, RunEvent};
pub use run_id::run_uuid;
pub use sink::{MemoryLineage, StoredLineage};
pub use subject::{Problem, Subject};
use tracing::{info, warn};

use crate::StageError;

/// The longest that an event may take on its way, repetitions included.
pub const SENDING_TIME: Duration = Duration::from_secs(10);

/// The pauses before repetitions, where those may help.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(600)];

/// The namespace of jobs where nothing says another.
pub const DEFAULT_NAMESPACE: &str = "stepwell";

/// Carries lineage events to where they are kept or looked at.
#[async_trait]
pub trait LineageSink: Debug + Send + Sync {
    /// Carries one event. It may come several times; consumers know it by the run's id and the event's type.
    ///
    /// # Errors
    /// `TargetUnavailable`, `StoreUnavailable` or `Throttled` where a repetition may succeed, else a permanent kind.
    async fn emit(&self, event: &RunEvent) -> Result<(), StageError>;
}

/// Where a deployment tells its lineage, and under which name.
#[derive(Clone, Debug)]
pub struct Lineage {
    sink: Arc<dyn LineageSink>,
    namespace: Arc<str>,
}

impl Lineage {
    /// Lineage told to a sink, of jobs in a namespace.
    pub fn new(sink: Arc<dyn LineageSink>, namespace: &str) -> Self {
        Self { sink, namespace: namespace.into() }
    }

    /// The namespace of the jobs.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Sends an event. Where that cannot be done the log says so; nothing else comes of it.
    pub async fn send(&self, event: &RunEvent) {
        let (kind, run) = (event.event_type, event.run_id());
        match tokio::time::timeout(SENDING_TIME, self.emit(event)).await {
            Ok(Ok(())) => info!(?kind, run, "lineage event sent"),
            Ok(Err(error)) => warn!(?kind, run, error = error.report(), "lineage event not sent"),
            Err(_) => warn!(?kind, run, "lineage event not sent: no answer within {} s", SENDING_TIME.as_secs()),
        }
    }

    /// Sends an event while the caller goes on with its work.
    pub fn begin(&self, event: RunEvent) -> Sending {
        let lineage = self.clone();
        Sending(Some(tokio::spawn(async move { lineage.send(&event).await })))
    }

    async fn emit(&self, event: &RunEvent) -> Result<(), StageError> {
        for pause in PAUSES {
            match self.sink.emit(event).await {
                Err(error) if error.kind().is_transient() => tokio::time::sleep(pause).await,
                ended => return ended,
            }
        }
        self.sink.emit(event).await
    }
}

/// An event on its way.
#[derive(Debug, Default)]
pub struct Sending(Option<tokio::task::JoinHandle<()>>);

impl Sending {
    /// Waits until the event is sent or given up. A function must: what it left behind stands still once it has answered.
    pub async fn finish(&mut self) {
        if let Some(task) = self.0.take()
            && let Err(error) = task.await
        {
            warn!(%error, "lineage event not sent");
        }
    }
}
