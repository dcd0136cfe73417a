//! Any event to named executions. The shape of an event chooses its pathway; every pathway ends in executions of the one
//! state machine, named after what they do, so that whatever comes twice starts nothing twice.
#![cfg_attr(test, allow(clippy::expect_used, reason = "tests fail by panicking"))]

mod backfill;
mod delivery;
mod gather;
mod job;
mod pathway;
mod route;
mod schedule;
mod slots;
mod stream;
mod upload;

use std::sync::Arc;

pub use job::openapi;
use serde_json::{Value, json};
use stepwell_pipeline::{
    StageError,
    execution::Executions,
    link::Links,
    queue::{DeathCause, Queue},
    stage::StageContext,
};
use tracing::{error, warn};

use crate::{
    delivery::{Delivery, Message},
    pathway::Pathway,
    route::Router,
};

/// Everything outside `trigger` that it uses.
#[derive(Clone, Debug)]
pub struct Ports {
    /// The stores.
    pub context: StageContext,
    /// The state machine.
    pub executions: Arc<dyn Executions>,
    /// The events queue and the dead letters.
    pub queue: Arc<dyn Queue>,
    /// Links to objects.
    pub links: Arc<dyn Links>,
    /// The name of the events queue: messages of other queues are data.
    pub events_queue: String,
    /// How many executions that `trigger` started may run at the same time, where that is limited.
    pub running_max: Option<usize>,
}

/// Handles what Lambda is sent: an event, or a batch of messages or records.
///
/// For messages and records gives `{"batchItemFailures": […]}` with those that are to come again, so that none returns
/// for its neighbours' sake (Lambda Developer Guide, "Implementing partial batch responses"); a message that can never
/// be handled goes to the dead-letter queue with the reason. For requests over HTTP gives the response. Else gives what
/// was done, such as `{"executions": […]}` with the names.
///
/// # Errors
/// For events that come by themselves: `InvalidInput` for an event of another shape, `NoPipeline` for an object that
/// fits no pipeline, and what the stores and the executions say. All of an event's objects and pipelines are tried
/// before the first error is given; a repetition of the event starts no execution twice.
pub async fn handler(ports: &Ports, event: Value) -> Result<Value, StageError> {
    match Delivery::of(event, &ports.events_queue)? {
        Delivery::Direct(event) => {
            let mut router = Router::new(ports);
            handle(ports, &mut router, &event).await
        }
        Delivery::Http(request) => job::respond(ports, request).await,
        Delivery::Events(messages) => Ok(failures(events(ports, messages).await)),
        Delivery::Data(messages) => Ok(failures(stream::keep_messages(ports, messages).await)),
        Delivery::Stream(records) => Ok(failures(stream::keep_records(ports, records).await)),
    }
}

/// Handles one event by its pathway.
async fn handle(ports: &Ports, router: &mut Router<'_>, event: &Value) -> Result<Value, StageError> {
    match Pathway::of(event)? {
        Pathway::Uploads(uploads) => Ok(json!({ "executions": router.start_all(uploads).await? })),
        Pathway::Tick(moment) => {
            // Each has its own work; none waits for another's trouble.
            let outcomes = [
                schedule::tick(ports, router, moment).await,
                gather::tick(ports, router, moment).await,
                slots::tick(ports).await,
                job::tick(ports, moment).await,
            ];
            outcomes.into_iter().collect::<Result<(), _>>()?;
            Ok(json!({ "tick": moment.to_rfc3339() }))
        }
        Pathway::Ended(execution) => {
            let outcomes = [slots::ended(ports, &execution).await, job::ended(ports, &execution).await];
            outcomes.into_iter().collect::<Result<(), _>>()?;
            Ok(json!({ "ended": execution }))
        }
        Pathway::Backfill(request) => backfill::advance(ports, router, &request).await,
        Pathway::Job(id) => {
            job::look_again(ports, &id).await?;
            Ok(json!({ "job": id }))
        }
        Pathway::Nothing => Ok(json!({ "executions": [] })),
    }
}

/// Handles messages of the events queue. Gives the ids of those that are to come again.
async fn events(ports: &Ports, messages: Vec<Message>) -> Vec<String> {
    let mut router = Router::new(ports);
    let mut again = Vec::new();
    for message in messages {
        let handled = match serde_json::from_str(&message.body) {
            Ok(event) => handle(ports, &mut router, &event).await.map(|_| ()),
            Err(error) => Err(delivery::no_json(error)),
        };
        let Err(error) = handled else { continue };
        let (name, report) = (error.kind().name(), error.report());
        if error.kind().is_transient() {
            warn!(message_id = message.id, error_name = name, error = report, "message goes back to the queue");
            again.push(message.id);
            continue;
        }
        error!(message_id = message.id, error_name = name, error = report, "message cannot be handled");
        let cause = DeathCause { error: name.to_owned(), message: report, pipeline: None };
        if let Err(error) = ports.queue.bury(&message.body, &cause).await {
            warn!(message_id = message.id, error = error.report(), "cannot send to the dead-letter queue");
            again.push(message.id);
        }
    }
    again
}

fn failures(again: Vec<String>) -> Value {
    let failures: Vec<_> = again.into_iter().map(|id| json!({ "itemIdentifier": id })).collect();
    json!({ "batchItemFailures": failures })
}
