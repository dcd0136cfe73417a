use std::{
    env, panic,
    sync::{Mutex, PoisonError},
};

use tracing::{Span, error};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// Begins to write events to standard output, one JSON object a line, as CloudWatch Logs queries them best.
///
/// `RUST_LOG` says what is written, else the log level that Lambda is configured with (`AWS_LAMBDA_LOG_LEVEL`,
/// Lambda Developer Guide, "Configuring advanced logging controls"), else `info`.
pub(super) fn begin() {
    let wanted = ["RUST_LOG", "AWS_LAMBDA_LOG_LEVEL"]
        .into_iter()
        .filter_map(|name| env::var(name).ok())
        .find(|value| !value.is_empty())
        .unwrap_or_else(|| "info".to_owned());
    // The runtime would log each error of a handler once more, without its fields.
    let filter = format!("{wanted},lambda_runtime::layers::panic=off");
    // The ids of the call, which are its span's, stand beside the event's own fields, so that one name finds them wherever
    // they come from.
    let lines = json_subscriber::layer()
        .flatten_event(true)
        .flatten_current_span_on_top_level(true)
        .with_current_span(false)
        .with_span_list(false);
    let begun = tracing_subscriber::registry().with(EnvFilter::new(filter)).with(lines).try_init();
    if let Err(error) = begun {
        error!(%error, "another subscriber has the events");
    }
    panic::set_hook(Box::new(|panic| {
        let _entered = Span::current().is_none().then(|| call().entered());
        let location = panic.location().map(ToString::to_string);
        error!(location, message_of_panic = panic.payload_as_str(), "panicked");
    }));
}

/// The call that the process is at, of which Lambda gives it one at a time.
static CALL: Mutex<Span> = Mutex::new(Span::none());

/// Begins a call: a panic in a thread that it starts is a line of that call too.
pub(super) fn begin_call(span: &Span) {
    *CALL.lock().unwrap_or_else(PoisonError::into_inner) = span.clone();
}

fn call() -> Span {
    CALL.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
