//! What the integration tests stand on: Step Functions engines of other origin, a Lambda host, a fault-injecting
//! proxy, and the deployment of the real binaries to them.
//!
//! Everything listens on 127.0.0.1 alone and ends with the test process, even if that is killed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test whose surroundings cannot be set up fails, and the message says why"
)]

pub mod api;
pub mod cases;
pub mod deploy;
pub mod deployment;
pub mod director;
pub mod documents;
pub mod environment;
pub mod fault_proxy;
pub mod flights;
pub mod history;
pub mod http;
pub mod interpreter;
pub mod kills;
pub mod lambda_host;
pub mod least_privilege;
pub mod log;
pub mod ministack;
pub mod moto;
pub mod notices;
mod process;
pub mod python;
pub mod suite;
pub mod ways;
pub mod workspace;

use std::{
    future::Future,
    sync::LazyLock,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;

// One runtime for all tests of a process: servers and pooled connections outlive the test that opened them.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime starts"));

/// Runs a test's future on the runtime that all tests of the process share.
pub fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}

pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    RUNTIME.spawn(future);
}

/// Asks again and again until there is an answer, and panics with what was awaited when the time is up.
pub async fn until<T>(what: &str, limit: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
