use std::{
    collections::{BTreeMap, HashSet},
    hash::{BuildHasher, RandomState},
};

use serde::Serialize;
use stepwell_pipeline::{
    StageError,
    dead_letter::{DeadLetter, DeadLetters},
};

use super::{Redrive, Understood, understand};

/// How long a message that is looked at is hidden from others, should it not be released, in seconds.
const INVISIBLE_SECONDS: u32 = 300;
/// The most messages that are looked at. A queue has 120,000 in flight at most (SQS Developer Guide, "Amazon SQS
/// standard queue quotas").
pub const LETTERS_MAX: usize = 110_000;

/// Which messages are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those of this error.
    pub error: Option<String>,
    /// Only those that concern this pipeline, alone or among others.
    pub pipeline: Option<String>,
    /// Only the one of this id, or of an id that begins so.
    pub id: Option<String>,
}

impl Filter {
    /// Whether a message is meant.
    pub fn takes(&self, letter: &DeadLetter, understood: &Understood) -> bool {
        // With commas where it concerns several, as `survey` shows them.
        let concerned = understood.pipeline.as_deref().unwrap_or_default();
        let concerns = |wanted: &str| concerned == wanted || concerned.split(',').any(|pipeline| pipeline == wanted);
        self.error.as_ref().is_none_or(|error| *error == understood.error)
            && self.pipeline.as_ref().is_none_or(|pipeline| concerns(pipeline))
            && self.id.as_ref().is_none_or(|id| letter.id.starts_with(id))
    }
}

/// The messages of one error and pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The error's name.
    pub error: String,
    /// The pipeline, where one is known.
    pub pipeline: Option<String>,
    /// How many there are.
    pub count: u64,
    /// How many of them could be redriven.
    pub redrivable: u64,
    /// When the oldest was sent, in milliseconds since 1970.
    pub oldest_ms: u64,
    /// What the oldest says.
    pub message: String,
    /// What the oldest is about.
    pub example: String,
    /// The oldest's id.
    pub example_id: String,
}

/// Messages, taken in turn and each once.
///
/// A message that was received stays hidden until it is released, so that the next receipt gives others; one that shows
/// again, since its time was up, is told by its id.
#[derive(Debug)]
pub struct Letters<'a> {
    queue: &'a dyn DeadLetters,
    hasher: RandomState,
    /// Hashes of ids: a hundred thousand ids would be large, and an accident only leaves a message where it is.
    seen: HashSet<u64>,
    held: Vec<String>,
}

impl<'a> Letters<'a> {
    /// The messages of a queue.
    pub fn new(queue: &'a dyn DeadLetters) -> Self {
        Self { queue, hasher: RandomState::new(), seen: HashSet::new(), held: Vec::new() }
    }

    /// Some more messages, with their receipts; none when all were seen.
    ///
    /// # Errors
    /// What the queue says.
    pub async fn next(&mut self) -> Result<Vec<(DeadLetter, String)>, StageError> {
        if self.seen.len() >= LETTERS_MAX {
            return Ok(Vec::new());
        }
        let received = self.queue.receive(INVISIBLE_SECONDS).await?;
        let mut new = Vec::with_capacity(received.len());
        for received in received {
            if self.seen.insert(self.hasher.hash_one(&received.letter.id)) {
                new.push((received.letter, received.receipt));
            } else {
                self.held.push(received.receipt);
            }
        }
        // Where all are known, the hidden begin to show again, and there is nothing beyond.
        Ok(new)
    }

    /// Keeps a message hidden until [`Letters::release`], so that it does not come again.
    pub fn hold(&mut self, receipt: String) {
        self.held.push(receipt);
    }

    /// Lets all messages that are held be seen again. Those that it cannot be done for show by themselves, later.
    ///
    /// # Errors
    /// What the queue says.
    pub async fn release(&mut self) -> Result<(), StageError> {
        self.queue.release(&std::mem::take(&mut self.held)).await
    }
}

/// Looks at all messages that are meant, grouped by error and pipeline, the commonest first, and leaves them as they were.
/// `looked` is told how many were looked at.
///
/// # Errors
/// What the queue says; messages are visible again even then, or by themselves after five minutes.
pub async fn survey(
    queue: &dyn DeadLetters,
    events_queue: Option<&str>,
    filter: &Filter,
    looked: &dyn Fn(u64),
) -> Result<Vec<Group>, StageError> {
    let mut letters = Letters::new(queue);
    let groups = groups(&mut letters, events_queue, filter, looked).await;
    let released = letters.release().await;
    let mut groups: Vec<Group> = groups?.into_values().collect();
    released?;
    groups.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.error.cmp(&other.error)));
    Ok(groups)
}

async fn groups(
    letters: &mut Letters<'_>,
    events_queue: Option<&str>,
    filter: &Filter,
    looked: &dyn Fn(u64),
) -> Result<BTreeMap<(String, Option<String>), Group>, StageError> {
    let mut groups: BTreeMap<(String, Option<String>), Group> = BTreeMap::new();
    let mut count = 0;
    loop {
        let batch = letters.next().await?;
        if batch.is_empty() {
            return Ok(groups);
        }
        for (letter, receipt) in batch {
            letters.hold(receipt);
            count += 1;
            let understood = understand(&letter, events_queue);
            if filter.takes(&letter, &understood) {
                let key = (understood.error.clone(), understood.pipeline.clone());
                match groups.get_mut(&key) {
                    Some(group) => group.add(&letter, understood),
                    None => drop(groups.insert(key, Group::of(&letter, understood))),
                }
            }
        }
        looked(count);
    }
}

impl Group {
    fn of(letter: &DeadLetter, understood: Understood) -> Self {
        Self {
            count: 1,
            redrivable: u64::from(matches!(understood.redrive, Redrive::Send(_))),
            oldest_ms: letter.sent_ms,
            example: understood.about.into_iter().next().unwrap_or_default(),
            example_id: letter.id.clone(),
            error: understood.error,
            pipeline: understood.pipeline,
            message: understood.message,
        }
    }

    fn add(&mut self, letter: &DeadLetter, understood: Understood) {
        let one = Self::of(letter, understood);
        let (count, redrivable) = (self.count + 1, self.redrivable + one.redrivable);
        if one.oldest_ms < self.oldest_ms {
            *self = one;
        }
        (self.count, self.redrivable) = (count, redrivable);
    }
}

#[cfg(test)]
mod tests;
