//! The line that all calls go through.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use futures::FutureExt;
use object_store::{ObjectStore, PutOptions, PutPayload, path::Path};
use rand::{Rng, rngs::SmallRng};
use stepwell_pipeline::request::RunRequest;

use super::{
    faults::{Faults, Way},
    turns::{Turns, wait},
};

/// Counts the calls, lets them go wrong, and lets others go on meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Line(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    faults: Faults,
    turns: Turns,
    /// How many calls waited for their turn.
    begun: usize,
    /// What was called, and of what.
    calls: Vec<(&'static str, String)>,
    /// Whether the process dies that is polled.
    is_dying: bool,
    late: Vec<LateWrite>,
    /// Objects that nobody may look at.
    denied: BTreeSet<String>,
    /// What was asked of each execution.
    requests: BTreeMap<String, RunRequest>,
}

/// A write whose process died while it was on its way.
#[derive(Debug)]
pub(super) struct LateWrite {
    pub(super) bucket: Arc<dyn ObjectStore>,
    pub(super) location: Path,
    pub(super) payload: PutPayload,
    pub(super) options: PutOptions,
}

impl Line {
    pub(crate) fn new(faults: impl Into<Faults>, turns: Turns) -> Self {
        Self(Mutex::new(State { faults: faults.into(), turns, ..State::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calls that were made.
    pub(crate) fn calls(&self) -> usize {
        self.state().calls.len()
    }

    /// What was called, in order.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.state().calls.iter().map(|(name, _)| *name).collect()
    }

    /// How often each was called from a call on, but for objects below a prefix.
    pub(crate) fn counts(&self, from: usize, but: Option<&str>) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for (name, key) in self.state().calls[from..].iter() {
            if !but.is_some_and(|prefix| key.starts_with(prefix)) {
                *counts.entry(*name).or_default() += 1;
            }
        }
        counts
    }

    /// Nothing goes wrong any more.
    pub(crate) fn mend(&self) {
        self.state().faults = Faults::default();
    }

    /// Nobody may look at an object of that key any more.
    pub(crate) fn deny(&self, key: &str) {
        self.state().denied.insert(key.to_owned());
    }

    pub(super) fn is_denied(&self, key: &str) -> bool {
        self.state().denied.contains(key)
    }

    /// Whoever asks for an execution by its name asks for the same.
    pub(super) fn assert_one_request(&self, name: &str, request: &RunRequest) {
        let known = self.state().requests.entry(name.to_owned()).or_insert_with(|| request.clone()).clone();
        assert_eq!(known, *request, "one name for two executions");
    }

    /// Does a call as well as its fault allows.
    pub(super) async fn call<T, E: From<Way>>(
        &self,
        (name, key): (&'static str, &str),
        done: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.call_or_leave((name, key), done, None).await
    }

    /// The same for a write, which may come to pass later.
    pub(super) async fn call_or_leave<T, E: From<Way>>(
        &self,
        (name, key): (&'static str, &str),
        done: impl Future<Output = Result<T, E>>,
        late: Option<LateWrite>,
    ) -> Result<T, E> {
        let around = {
            let state = &mut *self.state();
            state.begun += 1;
            state.turns.around(state.begun)
        };
        wait(around.before).await;
        let way = {
            let state = &mut *self.state();
            state.calls.push((name, key.to_owned()));
            state.faults.of(state.calls.len() - 1)
        };
        let outcome = match way {
            None => done.await,
            Some(way @ (Way::FailsBefore | Way::Throttled)) => Err(way.into()),
            Some(way @ Way::ReplyLost) => {
                let _ = done.await;
                Err(way.into())
            }
            Some(Way::KilledBefore) => self.die().await,
            Some(Way::KilledAfter) => {
                let _ = done.await;
                self.die().await
            }
            Some(Way::KilledAndLate) => {
                self.state().late.extend(late);
                self.die().await
            }
        };
        wait(around.after).await;
        outcome
    }

    async fn die<T>(&self) -> T {
        self.state().is_dying = true;
        std::future::pending().await
    }

    /// Lets a process do its work. Nothing is given by one that a call kills.
    pub(crate) async fn process<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            let polled = work.as_mut().poll(context);
            // Only the process that is polled makes calls.
            if std::mem::take(&mut self.state().is_dying) { Poll::Ready(None) } else { polled.map(Some) }
        })
        .await
    }

    /// Lets a write come to pass whose process died long ago.
    pub(crate) fn land_one(&self, random: &mut SmallRng) {
        let late = &mut self.state().late;
        if !late.is_empty() {
            let write = late.swap_remove(random.random_range(0..late.len()));
            let _ = write.bucket.put_opts(&write.location, write.payload, write.options).now_or_never();
        }
    }

    pub(crate) fn has_late(&self) -> bool {
        !self.state().late.is_empty()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let state = self.state();
            eprintln!("{} calls, of which went wrong: {:?}", state.calls.len(), state.faults);
        }
    }
}
