//! The Lambda function `trigger`.

use std::process::ExitCode;

use stepwell_aws::{TriggerPorts, serve};
use stepwell_trigger::handler;

fn main() -> ExitCode {
    serve(
        "trigger",
        |ports: TriggerPorts, event| async move { handler(&ports.context, &*ports.executions, event).await },
    )
}
