//! The port to a dead-letter queue as people look at it: what is in it is shown, sent again, or stays.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;

use crate::StageError;

/// A message of a dead-letter queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message's id, which it keeps for as long as it is in the queue.
    pub id: String,
    /// Its body.
    pub body: String,
    /// The attributes that whoever sent it gave it.
    pub attributes: BTreeMap<String, String>,
    /// When it was sent, in milliseconds since 1970; for one that SQS moved here, to its first queue.
    pub sent_ms: u64,
    /// How often it was received, its first queue included.
    pub receives: u32,
    /// The ARN of the queue that SQS moved it from, where SQS did.
    pub source_queue_arn: Option<String>,
}

/// A message that nobody else sees for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The message.
    pub letter: DeadLetter,
    /// What to delete or to release it with.
    pub receipt: String,
}

/// A dead-letter queue.
#[async_trait]
pub trait DeadLetters: Debug + Send + Sync {
    /// Takes up to ten messages, which nobody else sees for so many seconds; none where none can be seen.
    ///
    /// # Errors
    /// `Throttled` or `TargetUnavailable` where a repetition may succeed, else a permanent kind.
    async fn receive(&self, invisible_seconds: u32) -> Result<Vec<Received>, StageError>;

    /// Lets messages be seen again at once. A message that is gone, or is seen already, is no error.
    ///
    /// # Errors
    /// As [`DeadLetters::receive`].
    async fn release(&self, receipts: &[String]) -> Result<(), StageError>;

    /// Removes a message.
    ///
    /// # Errors
    /// As [`DeadLetters::receive`].
    async fn delete(&self, receipt: &str) -> Result<(), StageError>;

    /// About how many messages there are, those that cannot be seen at present included.
    ///
    /// # Errors
    /// As [`DeadLetters::receive`].
    async fn count(&self) -> Result<u64, StageError>;
}

/// A dead-letter queue in memory, whose messages stay hidden until they are released; for tests.
#[derive(Debug, Default)]
pub struct MemoryDeadLetters {
    /// Each with whether it is hidden.
    letters: Mutex<Vec<(DeadLetter, bool)>>,
}

impl MemoryDeadLetters {
    /// Puts a message into the queue.
    pub fn put(&self, letter: DeadLetter) {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).push((letter, false));
    }

    /// The messages that can be seen.
    pub fn visible(&self) -> Vec<DeadLetter> {
        let letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        letters.iter().filter(|(_, hidden)| !hidden).map(|(letter, _)| letter.clone()).collect()
    }

    /// Lets all messages be seen, as when the time of every one that was received is over.
    pub fn show_all(&self) {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        letters.iter_mut().for_each(|(_, hidden)| *hidden = false);
    }
}

#[async_trait]
impl DeadLetters for MemoryDeadLetters {
    async fn receive(&self, _: u32) -> Result<Vec<Received>, StageError> {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = letters.iter_mut().filter(|(_, hidden)| !hidden).take(10);
        Ok(seen
            .map(|(letter, hidden)| {
                *hidden = true;
                Received { letter: letter.clone(), receipt: letter.id.clone() }
            })
            .collect())
    }

    async fn release(&self, receipts: &[String]) -> Result<(), StageError> {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        for (letter, hidden) in letters.iter_mut() {
            *hidden &= !receipts.contains(&letter.id);
        }
        Ok(())
    }

    async fn delete(&self, receipt: &str) -> Result<(), StageError> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).retain(|(letter, _)| letter.id != receipt);
        Ok(())
    }

    async fn count(&self) -> Result<u64, StageError> {
        Ok(self.letters.lock().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }
}
