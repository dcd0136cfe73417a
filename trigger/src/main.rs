//! The Lambda function `trigger`.

use std::process::ExitCode;

use stepwell_aws::{TriggerPorts, serve};
use stepwell_trigger::{Ports, handler};

fn main() -> ExitCode {
    serve("trigger", |ports: TriggerPorts, event| async move {
        let TriggerPorts { context, executions, queue, links, events_queue, receives_max, running_max } = ports;
        handler(&Ports { context, executions, queue, links, events_queue, receives_max, running_max }, event).await
    })
}
