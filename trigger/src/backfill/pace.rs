use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures::future::BoxFuture;
use stepwell_pipeline::{ErrorKind, StageError, stage::Budget};

/// The longest that is slept without looking whether the time is up.
const NAP_MAX: Duration = Duration::from_secs(1);
/// Throttled, a pace does not fall below this share of the wanted rate.
const SLOWEST_SHARE: f64 = 1.0 / 64.0;
/// So many starts that went well bring a halved pace back to the wanted rate.
const RECOVERY_STARTS: f64 = 200.0;
/// How often a call is made whose failure may pass.
const ATTEMPTS_MAX: u32 = 8;
/// The waits between attempts double up to this.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Time that passes; in tests, time that only seems to.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time since some moment that stays the same.
    fn now(&self) -> Duration;

    /// Waits.
    async fn sleep(&self, time: Duration);
}

/// The time of this machine.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// A clock that begins now.
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// How fast executions are started: never faster than wanted, and slower for a while when the service asks for it.
pub(super) struct Pace<'a> {
    clock: &'a dyn Clock,
    budget: &'a dyn Budget,
    rate_max: f64,
    state: Mutex<PaceState>,
}

struct PaceState {
    rate: f64,
    next: Duration,
    halved_at: Option<Duration>,
}

impl<'a> Pace<'a> {
    pub(super) fn new(clock: &'a dyn Clock, budget: &'a dyn Budget, rate_max: f64) -> Self {
        let state = PaceState { rate: rate_max, next: clock.now(), halved_at: None };
        Self { clock, budget, rate_max, state: Mutex::new(state) }
    }

    /// Executions per second, at present.
    pub(super) fn rate(&self) -> f64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).rate
    }

    /// The next moment at which an execution may start. Who asks first has the earliest.
    pub(super) fn turn(&self) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = state.next.max(self.clock.now());
        state.next = turn + Duration::from_secs_f64(1.0 / state.rate);
        turn
    }

    /// Makes a call until it succeeds, fails for good or was made often enough. Gives nothing where the time ran out.
    pub(super) async fn patiently<'c, T>(
        &self,
        call: impl Fn() -> BoxFuture<'c, Result<T, StageError>> + Send,
    ) -> Result<Option<T>, StageError> {
        let mut wait = Duration::from_secs(1);
        let mut attempt = 1;
        loop {
            match call().await {
                Ok(value) => {
                    self.went_well();
                    return Ok(Some(value));
                }
                Err(error) if !error.kind().is_transient() || attempt == ATTEMPTS_MAX => return Err(error),
                Err(error) if error.kind() == ErrorKind::Throttled => self.throttled(),
                Err(_) => {}
            }
            if !self.wait_until(self.clock.now() + wait).await {
                return Ok(None);
            }
            wait = (wait * 2).min(BACKOFF_MAX);
            attempt += 1;
        }
    }

    /// Waits until a moment; gives whether there was time for that.
    pub(super) async fn wait_until(&self, moment: Duration) -> bool {
        loop {
            let left = moment.saturating_sub(self.clock.now());
            if left.is_zero() {
                return true;
            }
            if self.budget.is_spent() {
                return false;
            }
            self.clock.sleep(left.min(NAP_MAX)).await;
        }
    }

    fn throttled(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        // Calls that were under way together are refused together, which is one refusal.
        if state.halved_at.is_none_or(|at| now >= at + Duration::from_secs(1)) {
            state.rate = (state.rate / 2.0).max(self.rate_max * SLOWEST_SHARE);
            state.halved_at = Some(now);
        }
    }

    fn went_well(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.rate = (state.rate + self.rate_max / (2.0 * RECOVERY_STARTS)).min(self.rate_max);
    }
}

#[cfg(test)]
mod tests;
