//! Messages of the events queue: each is handled, comes again, or goes to the dead letters.

use serde_json::Value;
use stepwell_pipeline::{ErrorKind, StageError};
use tracing::{error, warn};

use crate::{Ports, delivery::Message, ended, envelope, failure::Failures, handle, pathway::Pathway, route::Router};

/// Handles messages of the events queue. Gives the ids of those that are to come again.
pub(crate) async fn handle_all(ports: &Ports, messages: Vec<Message>) -> Vec<String> {
    let mut router = Router::new(ports);
    let (messages, mut again) = ended_at_once(ports, messages).await;
    for (number, message) in messages.into_iter().enumerate() {
        let handled = if number > 0 && ports.context.budget.is_spent() {
            // Killed in the middle, the function would bring back those too that are done.
            Err(StageError::new(ErrorKind::OutOfTime, "the function's time is up").into())
        } else {
            handle_one(ports, &mut router, &message).await
        };
        if let Err(failures) = handled
            && !is_settled(ports, &message, &failures).await
        {
            again.push(message.id);
        }
    }
    again
}

/// Handles all messages that tell of executions' ends at once, since each change of the slots takes one conditional
/// write. Gives the other messages, and the ids of those that are to come again.
async fn ended_at_once(ports: &Ports, messages: Vec<Message>) -> (Vec<Message>, Vec<String>) {
    let execution = |message: &Message| match Pathway::of(&envelope::parsed(&message.body).ok()?) {
        Ok(Pathway::Ended(execution)) => Some(execution),
        _ => None,
    };
    let executions: Vec<String> = messages.iter().filter_map(execution).collect();
    if executions.len() < 2 {
        return (messages, Vec::new());
    }
    match ended(ports, &executions).await {
        Err(error) if !error.kind().is_transient() => (messages, Vec::new()),
        outcome => {
            let (handled, others): (Vec<_>, Vec<_>) =
                messages.into_iter().partition(|message| execution(message).is_some());
            let again = outcome.is_err().then(|| handled.into_iter().map(|message| message.id));
            (others, again.into_iter().flatten().collect())
        }
    }
}

async fn handle_one(ports: &Ports, router: &mut Router<'_>, message: &Message) -> Result<(), Failures> {
    let event = envelope::parsed(&message.body)?;
    handle(ports, router, event, message.trace_header()).await.map(|_| ())
}

/// Whether the message that failed is done with, as a dead letter. It is not where a repetition may mend something and
/// there is one to come, and where the dead letters do not take it.
///
/// The letter is the message whole: sent again, it repeats what succeeded, which starts nothing twice.
async fn is_settled(ports: &Ports, message: &Message, failures: &Failures) -> bool {
    let cause = failures.cause();
    let (id, error_name, error) = (&message.id, &cause.error, &cause.message);
    let is_last = receives(message).is_some_and(|receives| receives >= ports.receives_max);
    if failures.is_any_transient() && !is_last {
        warn!(message_id = id, error_name, error, "message goes back to the queue");
        return false;
    }
    error!(message_id = id, error_name, error, pipeline = cause.pipeline, "message goes to the dead letters");
    match ports.queue.bury(&message.body, &cause).await {
        Ok(()) => true,
        Err(error) => {
            warn!(message_id = id, error = error.report(), "cannot send to the dead-letter queue");
            false
        }
    }
}

/// How often the queue delivered the message, this time included.
fn receives(message: &Message) -> Option<u32> {
    message.attributes.get("ApproximateReceiveCount").and_then(Value::as_str)?.parse().ok()
}
