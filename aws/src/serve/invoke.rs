use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lambda_runtime::LambdaEvent;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stepwell_pipeline::{
    ErrorKind, StageError,
    metrics::{Metrics, Unmeasured},
    request::RunRequest,
    stage::Stage,
    usage::Meter,
};
use tokio::task::{JoinError, JoinSet};
use tracing::{Instrument, Span, error, field, info_span, warn};

use super::{CallIds, FunctionPorts, Raised, TraceHeader, log};
use crate::emf::EmfMetrics;

/// How long before its deadline a function gives up, so that it still can say so.
const SLACK: Duration = Duration::from_secs(3);

/// The time for one call; `None` where the deadline (milliseconds since 1970) says nothing, being past already.
pub(super) fn budget(deadline_ms: u64, now: Duration) -> Option<Duration> {
    let left = Duration::from_millis(deadline_ms).checked_sub(now).filter(|left| !left.is_zero())?;
    // A short timeout has no three seconds to spare.
    Some(left - SLACK.min(left / 10))
}

/// When a stage should begin to bring its round to an end: what it still does then, a part or a group of parts, takes
/// seconds, or a minute in a small function.
fn checkpoint_after(budget: Duration) -> Duration {
    budget * 4 / 5
}

/// Handles one event. `start` is what the process took to start, where this is its first call.
pub(super) async fn invoke<P, H, F, T, E>(
    function: &'static str,
    event: LambdaEvent<Value>,
    (budget, start): (Option<Duration>, Duration),
    (ports, stack): (P, Option<Arc<str>>),
    handler: Arc<H>,
) -> Result<Value, Raised>
where
    P: FunctionPorts,
    H: Fn(P, Value) -> F + Send + Sync + 'static,
    F: Future<Output = Result<T, E>> + Send,
    T: Send + Serialize + 'static,
    E: Into<Raised> + Send,
{
    let trace = event.context.xray_trace_id.as_deref().and_then(TraceHeader::parse);
    let span = info_span!(
        "call",
        function,
        request_id = event.context.request_id,
        trace_id = trace.as_ref().map(TraceHeader::root),
        execution_id = field::Empty,
        run_id = field::Empty
    );
    log::begin_call(&span);
    let handled = match P::open(event.payload) {
        Ok(mut call) => {
            let memory_mib = u64::try_from(event.context.env_config.memory).unwrap_or_default();
            let meter =
                Stage::of_function(function).map(|stage| Meter::begin(stage, memory_mib, start, &mut call.input));
            let run_id = run_id(&call.input);
            span.record("execution_id", call.execution_id.as_deref());
            span.record("run_id", run_id.as_deref());
            let ids = CallIds {
                function: function.to_owned(),
                request_id: event.context.request_id,
                trace,
                execution_id: call.execution_id,
                run_id,
            };
            let metrics: Arc<dyn Metrics> = match &stack {
                Some(stack) => Arc::new(EmfMetrics::new(&**stack, ids.clone())),
                None => Arc::new(Unmeasured),
            };
            let ports = ports.of_call(&ids, metrics);
            let ports = match budget {
                Some(budget) => ports.until(Instant::now() + checkpoint_after(budget)),
                None => ports,
            };
            let ports = match &meter {
                Some(meter) => ports.metered(meter.clone()),
                None => ports,
            };
            let work = async move { handler(ports, call.input).await.map_err(Into::into) };
            within(budget, work.instrument(span.clone())).await.map(|output| {
                let mut output = json!(output);
                if let Some(meter) = &meter {
                    meter.end(&mut output);
                }
                output
            })
        }
        Err(error) => Err(error.into()),
    };
    handled.inspect_err(|raised| log_failure(&span, raised))
}

/// The outcome of some work, in a task of its own so that neither a panic nor an endless computation takes the
/// runtime along.
async fn within<T: Send + 'static>(
    budget: Option<Duration>,
    work: impl Future<Output = Result<T, Raised>> + Send + 'static,
) -> Result<T, Raised> {
    // A set aborts its tasks when it is dropped.
    let mut tasks = JoinSet::new();
    tasks.spawn(work);
    let ended = match budget {
        Some(budget) => match tokio::time::timeout(budget, tasks.join_next()).await {
            Ok(ended) => ended,
            Err(_) => {
                let message = format!("the work was not done within {:.1} s", budget.as_secs_f64());
                return Err(StageError::new(ErrorKind::OutOfTime, message).into());
            }
        },
        None => tasks.join_next().await,
    };
    match ended {
        Some(Ok(result)) => result,
        Some(Err(error)) => Err(StageError::new(ErrorKind::Internal, panic_message(error)).into()),
        None => Err(StageError::new(ErrorKind::Internal, "the work never began").into()),
    }
}

fn panic_message(error: JoinError) -> String {
    let Ok(payload) = error.try_into_panic() else { return "the work was cancelled".to_owned() };
    let message = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", message.unwrap_or("without a message"))
}

/// The run that an input is about: that of a handoff, or of the handoff inside what `notify` is given; or that which a run
/// request leads to, as `extract` is given it, and `notify` too where `extract` failed or nobody could tell.
fn run_id(input: &Value) -> Option<String> {
    let handoff = ["/run/id", "/loaded/run/id", "/failure/input/run/id"];
    if let Some(id) = handoff.iter().find_map(|path| input.pointer(path)?.as_str()) {
        return Some(id.to_owned());
    }
    let request = |request: &Value| RunRequest::deserialize(request).ok()?.run_id();
    let ended = input.pointer("/ended/input").and_then(|text| serde_json::from_str::<Value>(text.as_str()?).ok());
    request(input).or_else(|| request(input.pointer("/failure/input")?)).or_else(|| request(&ended?))
}

fn log_failure(span: &Span, raised: &Raised) {
    let _entered = span.enter();
    if raised.is_transient() {
        warn!(error_name = raised.name, error = raised.message, "call failed, and may be repeated");
    } else {
        error!(error_name = raised.name, error = raised.message, "call failed");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_slack_is_three_seconds_or_a_tenth() {
        let now = Duration::from_secs(1_000_000);
        assert_eq!(budget(1_000_900_000, now), Some(Duration::from_secs(897)));
        assert_eq!(budget(1_000_010_000, now), Some(Duration::from_secs(9)));
        assert_eq!(budget(1_000_000_000, now), None);
        assert_eq!(budget(0, now), None);
    }

    #[test]
    fn the_run_is_found_in_every_shape() {
        for input in [
            json!({"run": {"id": "r"}}),
            json!({"action": "notify_success", "loaded": {"run": {"id": "r"}}}),
            json!({"action": "fail", "failure": {"input": {"run": {"id": "r"}}}}),
        ] {
            assert_eq!(run_id(&input).as_deref(), Some("r"), "{input}");
        }
    }

    #[test]
    fn a_request_with_a_version_tells_its_run() {
        let request = json!({"bucket": "b", "key": "k", "pipeline": "p", "version": "v"});
        let expected = RunRequest::deserialize(&request).ok().and_then(|request| request.run_id());
        assert!(expected.is_some());
        for input in [
            request.clone(),
            json!({"action": "notify_failure", "failure": {"stage": "Extract", "input": request}}),
            json!({"action": "execution_ended", "ended": {"input": request.to_string()}}),
        ] {
            assert_eq!(run_id(&input), expected, "{input}");
        }
        assert_eq!(run_id(&json!({"bucket": "b"})), None);
    }

    #[tokio::test]
    async fn a_panic_ends_as_internal_with_its_message() {
        let number = 7;
        let ended = within::<()>(None, async move { panic!("number {number}") }).await;
        assert_eq!(ended, Err(Raised::new("Internal", "panicked: number 7")));
    }

    #[tokio::test]
    async fn work_that_does_not_end_is_out_of_time() {
        let ended = within::<()>(Some(Duration::from_millis(1)), std::future::pending()).await;
        assert_eq!(ended.map_err(|raised| raised.name), Err("OutOfTime".into()));
    }

    #[tokio::test]
    async fn work_that_ends_gives_its_result() {
        assert_eq!(within(Some(Duration::from_secs(60)), async { Ok(1) }).await, Ok(1));
        assert_eq!(within(None, async { Ok(2) }).await, Ok(2));
    }
}
