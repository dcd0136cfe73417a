//! Any event to named executions: each object that an event tells of starts one execution per pipeline whose
//! `match` fits its key.
#![cfg_attr(test, allow(clippy::expect_used, reason = "tests fail by panicking"))]

mod event;

use serde_json::{Value, json};
use stepwell_pipeline::{
    StageError,
    execution::{Executions, Started},
    request::RunRequest,
    run::execution_name,
    spec::Catalog,
    stage::StageContext,
};
use tracing::{error, info};

use crate::event::{Delivery, Message, objects};

/// Starts the executions that an event asks for: an S3 notification, an S3 event of EventBridge, or either in the
/// bodies of SQS messages.
///
/// For SQS messages gives `{"batchItemFailures": […]}` with those that could not be handled, so that none returns
/// for its neighbours' sake (Lambda Developer Guide, "Implementing partial batch responses"). Else gives
/// `{"executions": […]}` with the names.
///
/// # Errors
/// For events outside SQS: `InvalidInput` for an event of another shape, `NoPipeline` for an object that fits no
/// pipeline, and what the stores and the executions say. All of an event's objects and pipelines are tried before the
/// first error is given; a repetition of the event starts no execution twice.
pub async fn handler(context: &StageContext, executions: &dyn Executions, event: Value) -> Result<Value, StageError> {
    let mut starter = Starter { context, executions, catalog: None };
    match Delivery::of(event)? {
        Delivery::Direct(event) => Ok(json!({ "executions": starter.start_all(&event).await? })),
        Delivery::Queue(messages) => {
            let mut failures = Vec::new();
            for Message { id, body } in messages {
                let handled = match body {
                    Ok(event) => starter.start_all(&event).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = handled {
                    error!(
                        message_id = id,
                        error_name = error.kind().name(),
                        error = error.report(),
                        "message goes back to the queue"
                    );
                    failures.push(json!({ "itemIdentifier": id }));
                }
            }
            Ok(json!({ "batchItemFailures": failures }))
        }
    }
}

struct Starter<'a> {
    context: &'a StageContext,
    executions: &'a dyn Executions,
    /// Read when the first object needs it, for all messages of a batch.
    catalog: Option<Catalog>,
}

impl Starter<'_> {
    /// Starts what one event asks for; gives the names of the executions.
    async fn start_all(&mut self, event: &Value) -> Result<Vec<String>, StageError> {
        let requests = objects(event)?;
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let catalog = match self.catalog.take() {
            Some(catalog) => catalog,
            None => Catalog::read(self.context).await?,
        };
        let catalog = self.catalog.insert(catalog);
        let mut names = Vec::new();
        let mut first_error = None;
        for request in requests {
            match start(self.executions, catalog, &request).await {
                Ok(started) => names.extend(started),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.map_or(Ok(names), Err)
    }
}

/// Starts an execution for each pipeline that fits one object, whatever becomes of the others; gives their names.
async fn start(
    executions: &dyn Executions,
    catalog: &Catalog,
    request: &RunRequest,
) -> Result<Vec<String>, StageError> {
    let fitting = catalog.fitting(&request.key);
    if fitting.is_empty() {
        catalog.pick(&request.key, None)?;
    }
    let mut names = Vec::new();
    let mut first_error = None;
    for pipeline in fitting {
        let request = RunRequest { pipeline: Some(pipeline.name().to_owned()), ..request.clone() };
        let name = execution_name(pipeline.name(), &request);
        match executions.start(&name, &request).await {
            Ok(started) => {
                info!(
                    execution = name,
                    pipeline = pipeline.name(),
                    bucket = request.bucket,
                    key = request.key,
                    already_done = started == Started::AlreadyDone,
                    "execution started"
                );
                names.push(name);
            }
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    first_error.map_or(Ok(names), Err)
}
