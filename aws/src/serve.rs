//! The shell in which a function's handler runs as a Lambda function.
//!
//! It reads the settings, makes the ports, takes the input out of what the state machine sends, and gives every
//! error its name: `errorType` of a function's error is the name that the state machine's `ErrorEquals` matches.

mod ids;
mod init;
mod invoke;
mod log;
mod ports;
mod raised;

use std::{
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

pub use ids::{CallIds, TraceHeader};
use lambda_runtime::{LambdaEvent, Runtime, service_fn};
pub use ports::{Call, FunctionPorts, NotifyPorts, TriggerPorts, TriggerSettings};
pub use raised::Raised;
use serde::Serialize;
use serde_json::Value;
use tracing::error;

/// Serves a function until Lambda stops the process; the body of each function's `main`.
///
/// The ports are made once. Each event is unwrapped and given to the handler, which runs in a task of its own: a
/// panic in it ends as `Internal`, and one that does not end in time as `OutOfTime` before Lambda kills the process,
/// which would be an error without a name. A function that cannot start says why as Lambda's initialisation error.
pub fn serve<P, H, F, T, E>(function: &'static str, handler: H) -> ExitCode
where
    P: FunctionPorts,
    H: Fn(P, Value) -> F + Send + Sync + 'static,
    F: Future<Output = Result<T, E>> + Send,
    T: Serialize + Send + 'static,
    E: Into<Raised> + Send,
{
    let began = Instant::now();
    log::begin();
    // The timer belongs to whichever worker is idle: with a single one, a handler that computes would stop it.
    let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(function, Arc::new(handler), began)),
        Err(error) => {
            error!(function, %error, "function cannot start its threads");
            ExitCode::FAILURE
        }
    }
}

async fn run<P, H, F, T, E>(function: &'static str, handler: Arc<H>, began: Instant) -> ExitCode
where
    P: FunctionPorts,
    H: Fn(P, Value) -> F + Send + Sync + 'static,
    F: Future<Output = Result<T, E>> + Send,
    T: Serialize + Send + 'static,
    E: Into<Raised> + Send,
{
    let (ports, stack) = match init::ports::<P>().await {
        Ok(made) => made,
        Err(missing) => {
            error!(function, error = %missing, "function cannot start");
            init::report(&missing).await;
            return ExitCode::FAILURE;
        }
    };
    // Lambda bills it with the first call, and only what passes until the runtime asks for it.
    let start = Mutex::new(Some(began.elapsed()));
    let served = Runtime::new(service_fn(|event: LambdaEvent<Value>| {
        let (ports, handler, stack) = (ports.clone(), handler.clone(), stack.clone());
        let start = start.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        async move {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let budget = invoke::budget(event.context.deadline, now);
            invoke::invoke(function, event, (budget, start), (ports, stack), handler).await
        }
    }))
    .run()
    .await;
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(function, error, "function cannot go on");
            ExitCode::FAILURE
        }
    }
}
