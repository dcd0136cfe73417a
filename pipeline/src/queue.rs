//! The port to the two queues of a deployment: the events that wait for `trigger`, and the dead letters.

use std::{
    fmt::Debug,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;

use crate::StageError;

/// Why a message could not be handled; it becomes the dead letter's attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeathCause {
    /// The error kind's name: the attribute `error`.
    pub error: String,
    /// What the error said: the attribute `message`.
    pub message: String,
    /// The pipeline that it concerns, where one is known; with commas between several, which no name has: the attribute
    /// `pipeline`.
    pub pipeline: Option<String>,
}

/// Sends messages.
#[async_trait]
pub trait Queue: Debug + Send + Sync {
    /// Sends a message to the events queue, to be handled after some seconds: 900 at most (SQS API Reference,
    /// `SendMessage`).
    ///
    /// # Errors
    /// `Throttled` or `TargetUnavailable` where a repetition may succeed, else a permanent kind.
    async fn send(&self, body: &str, delay_seconds: u16) -> Result<(), StageError>;

    /// Sends a message that cannot be handled to the dead-letter queue.
    ///
    /// # Errors
    /// As [`Queue::send`].
    async fn bury(&self, body: &str, cause: &DeathCause) -> Result<(), StageError>;
}

/// Queues in memory; for tests.
#[derive(Debug, Default)]
pub struct MemoryQueue {
    sent: Mutex<Vec<(String, u16)>>,
    buried: Mutex<Vec<(String, DeathCause)>>,
}

impl MemoryQueue {
    /// Takes what was sent to the events queue, with the delays in seconds.
    pub fn take_sent(&self) -> Vec<(String, u16)> {
        std::mem::take(&mut self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the dead letters.
    pub fn take_buried(&self) -> Vec<(String, DeathCause)> {
        std::mem::take(&mut self.buried.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn send(&self, body: &str, delay_seconds: u16) -> Result<(), StageError> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push((body.to_owned(), delay_seconds));
        Ok(())
    }

    async fn bury(&self, body: &str, cause: &DeathCause) -> Result<(), StageError> {
        self.buried.lock().unwrap_or_else(PoisonError::into_inner).push((body.to_owned(), cause.clone()));
        Ok(())
    }
}
