//! Time as the interpreter sees it: the system's, or one that tests move by hand.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::TaskError;

/// A task under way.
pub type TaskFuture<'a> = Pin<Box<dyn Future<Output = Result<Value, TaskError>> + Send + 'a>>;

/// The time that waits and timeouts are measured on.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The moment.
    fn now(&self) -> DateTime<Utc>;

    /// Returns when the time has passed.
    async fn sleep(&self, time: Duration);

    /// What the task ends in, or `None` where it took longer than the limit; it is then given up.
    async fn timeout(&self, limit: Duration, task: TaskFuture<'_>) -> Option<Result<Value, TaskError>>;
}

/// The time of the system. Needs a tokio runtime with time enabled.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn timeout(&self, limit: Duration, task: TaskFuture<'_>) -> Option<Result<Value, TaskError>> {
        tokio::time::timeout(limit, task).await.ok()
    }
}

/// A time that stands still until it is moved: a sleep moves it at once, a task moves it through [`advance`].
///
/// A task that has moved it beyond the limit counts as timed out, and the time is then that of the timeout.
///
/// [`advance`]: VirtualClock::advance
#[derive(Debug)]
pub struct VirtualClock {
    // Microseconds since the Unix epoch.
    now: AtomicI64,
}

impl VirtualClock {
    /// A clock that stands at the moment given, to the microsecond.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self { now: AtomicI64::new(now.timestamp_micros()) }
    }

    /// Moves the time on.
    pub fn advance(&self, time: Duration) {
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        self.now.fetch_add(micros, Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.now.load(Ordering::SeqCst)).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    async fn sleep(&self, time: Duration) {
        self.advance(time);
    }

    async fn timeout(&self, limit: Duration, task: TaskFuture<'_>) -> Option<Result<Value, TaskError>> {
        let started = self.now();
        let ended = task.await;
        let limit = chrono::Duration::from_std(limit).unwrap_or(chrono::Duration::MAX);
        if self.now() - started <= limit {
            return Some(ended);
        }
        self.now.store((started + limit).timestamp_micros(), Ordering::SeqCst);
        None
    }
}
