use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use serde_json::{Value, json};
use stepwell_pipeline::{
    StageError,
    queue::{DeathCause, Queue},
    run::short_hash,
    stage::StageContext,
    store::{self, ObjectRef},
};

/// Where dead letters are in the work bucket.
const DEAD_LETTERS: &str = "dead-letters/";
/// After so long a message that failed is delivered again, times the number of its deliveries.
const AGAIN: Duration = Duration::from_secs(2);

/// A message that waits to be delivered.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) body: String,
    /// How often it was delivered, this time included.
    pub(super) receives: u32,
    due: Instant,
}

/// The events queue in memory; dead letters as documents in the work bucket.
///
/// What waits when the process ends is made again by the next: the landing folder is looked at anew, and `trigger` keeps
/// what else it must do in the work bucket.
#[derive(Debug)]
pub(super) struct LocalQueue {
    context: StageContext,
    waiting: Mutex<Vec<Waiting>>,
    /// How many dead letters there were.
    pub(super) buried: AtomicUsize,
}

impl LocalQueue {
    pub(super) fn new(context: StageContext) -> Self {
        Self { context, waiting: Mutex::default(), buried: AtomicUsize::default() }
    }

    pub(super) fn push(&self, body: String, delay: Duration) {
        self.put(Waiting { body, receives: 0, due: Instant::now() + delay });
    }

    pub(super) fn push_all(&self, events: Vec<Value>) {
        events.into_iter().for_each(|event| self.push(event.to_string(), Duration::ZERO));
    }

    /// Puts a message back that could not be handled.
    pub(super) fn push_again(&self, message: Waiting) {
        let due = Instant::now() + AGAIN * message.receives;
        self.put(Waiting { due, ..message });
    }

    fn put(&self, message: Waiting) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }

    /// Takes messages whose time has come, the first that came first.
    pub(super) fn take_due(&self, most: usize) -> Vec<Waiting> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let mut taken = Vec::new();
        let mut rest = Vec::with_capacity(waiting.len());
        for message in waiting.drain(..) {
            if taken.len() < most && message.due <= now {
                taken.push(Waiting { receives: message.receives + 1, ..message });
            } else {
                rest.push(message);
            }
        }
        *waiting = rest;
        taken
    }

    /// Whether a message is due before some time has passed.
    pub(super) fn is_due_within(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|message| message.due <= end)
    }
}

#[async_trait]
impl Queue for LocalQueue {
    async fn send(&self, body: &str, delay_seconds: u16) -> Result<(), StageError> {
        self.push(body.to_owned(), Duration::from_secs(delay_seconds.into()));
        Ok(())
    }

    async fn bury(&self, body: &str, cause: &DeathCause) -> Result<(), StageError> {
        self.buried.fetch_add(1, Ordering::Relaxed);
        eprintln!("dead letter: {}: {}", cause.error, cause.message);
        // The same trouble after a restart is the same letter.
        let key = format!("{DEAD_LETTERS}{}.json", short_hash(&[body, &cause.error]));
        let letter = json!({
            "body": body,
            "error": cause.error,
            "message": cause.message,
            "pipeline": cause.pipeline,
        });
        store::put_json(&*self.context.stores, &ObjectRef::new(&self.context.buckets.work, key), &letter).await
    }
}
