//! Ports whose calls are counted, and go wrong where the test says.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use stepwell_pipeline::{
    StageError,
    execution::{Described, Executions, MemoryExecutions, Started},
    link::{Links, MemoryLinks},
    queue::{DeathCause, MemoryQueue, Queue},
    request::RunRequest,
    store::ObjectRef,
};

use crate::disturbance::{Line, target_fails};

#[derive(Debug)]
pub(crate) struct DisturbedExecutions(pub(crate) Arc<MemoryExecutions>, pub(crate) Arc<Line>);

#[async_trait]
impl Executions for DisturbedExecutions {
    async fn start(&self, name: &str, request: &RunRequest) -> Result<Started, StageError> {
        if let Some(known) = self.0.started().get(name) {
            assert_eq!(known, request, "one name for two executions");
        }
        self.1.call(target_fails, self.0.start(name, request)).await
    }

    async fn describe(&self, name: &str) -> Result<Option<Described>, StageError> {
        self.1.call(target_fails, self.0.describe(name)).await
    }
}

#[derive(Debug)]
pub(crate) struct DisturbedQueue(pub(crate) Arc<MemoryQueue>, pub(crate) Arc<Line>);

#[async_trait]
impl Queue for DisturbedQueue {
    async fn send(&self, body: &str, delay_seconds: u16) -> Result<(), StageError> {
        self.1.call(target_fails, self.0.send(body, delay_seconds)).await
    }

    async fn bury(&self, body: &str, cause: &DeathCause) -> Result<(), StageError> {
        self.1.call(target_fails, self.0.bury(body, cause)).await
    }
}

#[derive(Debug)]
pub(crate) struct DisturbedLinks(pub(crate) Arc<Line>);

#[async_trait]
impl Links for DisturbedLinks {
    async fn download(&self, object: &ObjectRef, valid: Duration) -> Result<String, StageError> {
        self.0.call(target_fails, MemoryLinks.download(object, valid)).await
    }

    async fn upload(&self, object: &ObjectRef, valid: Duration) -> Result<String, StageError> {
        self.0.call(target_fails, MemoryLinks.upload(object, valid)).await
    }
}
