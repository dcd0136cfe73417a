//! The Lambda function `trigger`.

use std::{process::ExitCode, sync::Arc};

use stepwell_aws::{TriggerPorts, serve};
use stepwell_trigger::{Ports, handler};

fn main() -> ExitCode {
    serve("trigger", |ports: TriggerPorts, event| async move {
        let TriggerPorts { context, executions, queue, links, events_queue, receives_max, running_max } = ports;
        let executions = Arc::new(executions);
        handler(&Ports { context, executions, queue, links, events_queue, receives_max, running_max }, event).await
    })
}
