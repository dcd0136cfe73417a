//! The Lambda function `notify`.

use std::process::ExitCode;

use stepwell_aws::{NotifyPorts, Raised, serve};
use stepwell_notify::handler;

fn main() -> ExitCode {
    serve("notify", |ports: NotifyPorts, input| async move {
        let handled = handler(&ports.context, &*ports.notifier, input).await;
        handled.map_err(|error| Raised::new(error.name(), error.message()))
    })
}
