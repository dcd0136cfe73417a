use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use serde::Serialize;
use stepwell_pipeline::{
    StageError,
    dead_letter::{DeadLetter, DeadLetters},
    queue::Queue,
};

use super::{Filter, Letters, Redrive, understand};
use crate::backfill::Clock;

/// What a redrive has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Redriven {
    /// Messages that were sent to the events queue and are no dead letters any more.
    pub sent: u64,
    /// Messages that are meant and cannot be sent, or were just sent and are back: they stay.
    pub left: u64,
    /// Messages that are not meant: they stay.
    pub others: u64,
}

/// Sends the messages that are meant to the events queue, each before it is removed from the dead letters, no faster than
/// `rate` per second. `advanced` is told how far it is.
///
/// Should it be interrupted between the two, a message is there twice; what it asks for is started once, since executions
/// are named after it. A message whose body was sent already stays: it came back, unmended.
///
/// # Errors
/// What the queues say. What was not sent stays a dead letter.
pub async fn redrive(
    dead: &dyn DeadLetters,
    events: &dyn Queue,
    events_queue: &str,
    filter: &Filter,
    rate: f64,
    clock: &dyn Clock,
    advanced: &dyn Fn(&Redriven),
) -> Result<Redriven, StageError> {
    let mut letters = Letters::new(dead);
    let mut redriven = Redriven::default();
    let mut sender =
        Sender { dead, events, clock, rate, next: clock.now(), hasher: RandomState::new(), sent: HashSet::new() };
    let result = async {
        loop {
            let batch = letters.next().await?;
            if batch.is_empty() {
                return Ok(());
            }
            let mut failure = None;
            for (letter, receipt) in batch {
                let understood = understand(&letter, Some(events_queue));
                let outcome = match &understood.redrive {
                    _ if failure.is_some() => Ok(None),
                    _ if !filter.takes(&letter, &understood) => Ok(Some(&mut redriven.others)),
                    Redrive::Send(body) => match sender.send(&letter, body, &receipt).await {
                        Ok(true) => {
                            redriven.sent += 1;
                            continue;
                        }
                        Ok(false) => Ok(Some(&mut redriven.left)),
                        Err(error) => Err(error),
                    },
                    Redrive::Refuse(_) => Ok(Some(&mut redriven.left)),
                };
                match outcome {
                    Ok(Some(count)) => *count += 1,
                    Ok(None) => {}
                    Err(error) => failure = Some(error),
                }
                letters.hold(receipt);
            }
            advanced(&redriven);
            failure.map_or(Ok(()), Err)?;
        }
    }
    .await;
    let released = letters.release().await;
    result.and(released)?;
    Ok(redriven)
}

struct Sender<'a> {
    dead: &'a dyn DeadLetters,
    events: &'a dyn Queue,
    clock: &'a dyn Clock,
    rate: f64,
    next: Duration,
    hasher: RandomState,
    sent: HashSet<u64>,
}

impl Sender<'_> {
    /// Gives whether the message was sent; one whose body was, was not.
    async fn send(&mut self, letter: &DeadLetter, body: &str, receipt: &str) -> Result<bool, StageError> {
        if !self.sent.insert(self.hasher.hash_one(&letter.body)) {
            return Ok(false);
        }
        let now = self.clock.now();
        self.clock.sleep(self.next.saturating_sub(now)).await;
        self.next = self.next.max(now) + Duration::from_secs_f64(1.0 / self.rate);
        self.events.send(body, 0).await?;
        self.dead.delete(receipt).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
