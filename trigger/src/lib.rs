//! Any event to named executions. The shape of an event chooses its pathway; every pathway ends in executions of the one
//! state machine, named after what they do, so that whatever comes twice starts nothing twice.
#![cfg_attr(test, allow(clippy::expect_used, reason = "tests fail by panicking"))]

mod arrivals;
pub mod backfill;
mod batches;
pub mod dead_letter;
mod delivery;
mod envelope;
mod events;
mod failure;
mod first_record;
mod gather;
mod job;
mod look;
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
    StageError, execution::Executions, link::Links, queue::Queue, request::RunRequest, stage::StageContext,
};

use crate::{delivery::Delivery, failure::Failures, pathway::Pathway, route::Router};

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
    /// How often the events queue delivers a message: its `maxReceiveCount`. What still fails then goes to the dead
    /// letters from here, with the reason, before the queue moves it there without one.
    pub receives_max: u32,
    /// How many executions that `trigger` started may run at the same time, where that is limited.
    pub running_max: Option<usize>,
}

/// Handles what Lambda is sent: an event, or a batch of messages or records.
///
/// For messages and records gives `{"batchItemFailures": […]}` with those that are to come again, so that none returns
/// for its neighbours' sake (Lambda Developer Guide, "Implementing partial batch responses"); a message that can never
/// be handled, or that failed as often as the queue delivers it, goes to the dead-letter queue with the reason. For
/// requests over HTTP gives the response. Else gives what was done, such as `{"executions": […]}` with the names, and a
/// list of that where the event held several.
///
/// # Errors
/// For events that come by themselves: `InvalidInput` for an event of another shape, `NoPipeline` for an object that
/// no pipeline wants, `InvalidSpec` for one that a wrong spec might want, and what the stores and the executions say.
/// All of an event's objects and pipelines are tried before the first error is given; a repetition of the event starts
/// no execution twice.
pub async fn handler(ports: &Ports, event: Value) -> Result<Value, StageError> {
    match Delivery::of(event, &ports.events_queue)? {
        Delivery::Direct(event) => {
            let mut router = Router::new(ports);
            handle(ports, &mut router, event, None).await.map_err(Failures::into_first)
        }
        Delivery::Http(request) => job::respond(ports, request).await,
        Delivery::Events(messages) => Ok(failures(events::handle_all(ports, messages).await)),
        Delivery::Data(messages) => Ok(failures(stream::keep_messages(ports, messages).await)),
        Delivery::Stream(records) => Ok(failures(stream::keep_records(ports, records).await)),
    }
}

/// Handles all events that an event holds, whatever becomes of the others. What they start goes on with the trace.
async fn handle(
    ports: &Ports,
    router: &mut Router<'_>,
    event: Value,
    trace_header: Option<&str>,
) -> Result<Value, Failures> {
    let mut done = Vec::new();
    let mut failures = Failures::default();
    for event in envelope::opened(event) {
        let handled = match event {
            Ok(event) => handle_one(ports, router, &event, trace_header).await,
            Err(error) => Err(error.into()),
        };
        match handled {
            Ok(output) => done.push(output),
            Err(others) => failures.append(others),
        }
    }
    failures.or_done(match done.len() {
        1 => done.remove(0),
        _ => Value::Array(done),
    })
}

/// Handles one event by its pathway.
async fn handle_one(
    ports: &Ports,
    router: &mut Router<'_>,
    event: &Value,
    trace_header: Option<&str>,
) -> Result<Value, Failures> {
    match Pathway::of(event)? {
        Pathway::Uploads(uploads) => {
            let traced = |request| RunRequest { trace_header: trace_header.map(str::to_owned), ..request };
            let uploads = uploads.into_iter().map(|upload| upload.map(traced)).collect();
            Ok(json!({ "executions": router.start_all(uploads).await? }))
        }
        Pathway::Tick(moment) => {
            // Each has its own work; none waits for another's trouble.
            let outcomes = [
                schedule::tick(ports, router, moment).await,
                gather::tick(ports, router, moment).await,
                slots::tick(ports).await,
                job::tick(ports, moment).await,
                arrivals::tick(ports, router, moment).await,
            ];
            let mut failures = Failures::default();
            outcomes.into_iter().filter_map(Result::err).for_each(|error| failures.push(None, error));
            failures.or_done(json!({ "tick": moment.to_rfc3339() }))
        }
        Pathway::Ended(execution) => {
            ended(ports, std::slice::from_ref(&execution)).await?;
            Ok(json!({ "ended": execution }))
        }
        Pathway::Start(waiting) => {
            slots::start(ports, &waiting.name, &waiting.request).await?;
            Ok(json!({ "executions": [waiting.name] }))
        }
        Pathway::Backfill(request) => Ok(backfill::advance(ports, router, &request).await?),
        Pathway::Occurrence(request) => Ok(json!({ "executions": schedule::load(ports, router, &request).await? })),
        Pathway::Job(id) => {
            job::look_again(ports, &id).await?;
            Ok(json!({ "job": id }))
        }
        Pathway::Nothing => Ok(json!({ "executions": [] })),
    }
}

/// Tells whoever waits for it that executions ended.
async fn ended(ports: &Ports, executions: &[String]) -> Result<(), StageError> {
    let mut outcome = slots::ended(ports, executions).await;
    for execution in executions {
        outcome = outcome.and(job::ended(ports, execution).await);
    }
    outcome
}

fn failures(again: Vec<String>) -> Value {
    let failures: Vec<_> = again.into_iter().map(|id| json!({ "itemIdentifier": id })).collect();
    json!({ "batchItemFailures": failures })
}
