use std::sync::Mutex;

use stepwell_pipeline::{
    ErrorKind,
    queue::{DeathCause, MemoryQueue},
};

use super::*;
use crate::{backfill::tests::Virtual, dead_letter::tests::queue_of};

/// The events queue: when it was sent to, how long that takes, and which call it refuses.
#[derive(Debug, Default)]
struct Events {
    clock: Virtual,
    times_ms: Mutex<Vec<u128>>,
    first_takes: Duration,
    refused: Option<usize>,
    queue: MemoryQueue,
}

#[async_trait::async_trait]
impl Queue for Events {
    async fn send(&self, body: &str, delay_seconds: u16) -> Result<(), StageError> {
        let call = {
            let mut times = self.times_ms.lock().expect("unpoisoned");
            times.push(self.clock.now().as_millis());
            times.len()
        };
        if call == 1 {
            self.clock.pass(self.first_takes);
        }
        if self.refused == Some(call) {
            return Err(StageError::new(ErrorKind::TargetUnavailable, "no answer"));
        }
        self.queue.send(body, delay_seconds).await
    }

    async fn bury(&self, body: &str, cause: &DeathCause) -> Result<(), StageError> {
        self.queue.bury(body, cause).await
    }
}

#[tokio::test]
async fn messages_are_sent_no_faster_than_the_rate_and_none_is_made_up_for() {
    for (first_takes_ms, times_ms) in [(0, [0, 250, 500, 750]), (1_000, [0, 1_000, 1_250, 1_500])] {
        let dead = queue_of(4);
        let events = Events { first_takes: Duration::from_millis(first_takes_ms), ..Events::default() };
        let redriven = redrive(&dead, &events, "events", &Filter::default(), 4.0, &events.clock, &|_| {}).await;
        assert_eq!(redriven.expect("sent").sent, 4);
        assert_eq!(*events.times_ms.lock().expect("unpoisoned"), times_ms);
    }
}

#[tokio::test]
async fn after_a_failure_nothing_more_is_sent_and_the_rest_stays() {
    let dead = queue_of(12);
    let events = Events { refused: Some(3), ..Events::default() };
    let redriven = redrive(&dead, &events, "events", &Filter::default(), 1e6, &events.clock, &|_| {}).await;
    assert_eq!(redriven.expect_err("refused").kind(), ErrorKind::TargetUnavailable);
    assert_eq!(events.times_ms.lock().expect("unpoisoned").len(), 3);
    let kept: Vec<String> = dead.visible().into_iter().map(|letter| letter.id).collect();
    assert_eq!(kept, (2..12).map(|number| format!("id-{number}")).collect::<Vec<_>>());
}
