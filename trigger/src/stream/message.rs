//! Messages of a queue: each becomes an object of its own, since standard queues group anew whatever they deliver again.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stepwell_pipeline::{
    StageError,
    store::{self, ObjectRef},
};
use tracing::warn;

use super::{dead, dead::Dead, lines::lines, segment};
use crate::{Ports, delivery::Message};

/// Digits of the sequence numbers of FIFO queues: they have 128 bits (SQS Developer Guide, "FIFO queue key terms").
const SEQUENCE_DIGITS: usize = 39;

/// Where messages become objects in the landing bucket, and where the data of those go in the work bucket that cannot.
const PREFIX: &str = "queues";

/// What a message says of its place in a FIFO queue: its group and its sequence number. Standard queues may have groups
/// too, but no order.
fn place(message: &Message) -> Option<(&str, &str)> {
    let attribute = |name| message.attributes.get(name).and_then(Value::as_str);
    attribute("MessageGroupId").zip(attribute("SequenceNumber"))
}

/// The messages that must be kept one after the other: those of one group of a FIFO queue; any other message is alone.
pub(super) fn lanes(messages: Vec<Message>) -> Vec<Vec<Message>> {
    let mut lanes: BTreeMap<(bool, String), Vec<Message>> = BTreeMap::new();
    for message in messages {
        let lane = match place(&message) {
            Some((group, _)) => (true, group.to_owned()),
            None => (false, message.id.clone()),
        };
        lanes.entry(lane).or_default().push(message);
    }
    lanes.into_values().collect()
}

/// Keeps messages one after the other. Gives the ids of those that are to come again: the first that could not be kept
/// and all behind it.
pub(super) async fn keep(ports: &Ports, messages: Vec<Message>) -> Vec<String> {
    let mut messages = messages.into_iter();
    for message in messages.by_ref() {
        if let Err(error) = keep_one(ports, &message).await {
            warn!(message_id = message.id, error = error.report(), "message cannot be kept now");
            return std::iter::once(message).chain(messages).map(|message| message.id).collect();
        }
    }
    Vec::new()
}

async fn keep_one(ports: &Ports, message: &Message) -> Result<(), StageError> {
    let queue = message.queue_arn.rsplit(':').next().unwrap_or_default();
    let place = place(message);
    let name = match place {
        Some((group, sequence)) => format!("{}/{sequence:0>SEQUENCE_DIGITS$}", segment(group)),
        None => segment(&message.id),
    };
    match lines(message.body.as_bytes()) {
        Ok(lines) => {
            let key = format!("{PREFIX}/{}/{name}.ndjson", segment(queue));
            let object = ObjectRef::new(&ports.context.buckets.landing, key);
            // A message that comes again finds its object.
            store::put_if(&*ports.context.stores, &object, lines.into(), None).await.map(|_| ())
        }
        Err(reason) => {
            let mut origin = json!({ "queue": queue, "message_id": message.id });
            if let Some((group, sequence)) = place {
                origin["group"] = json!(group);
                origin["sequence_number"] = json!(sequence);
            }
            let key = format!("{PREFIX}/{}/dead/{name}", segment(queue));
            dead::bury(ports, Dead { origin, key, data: message.body.as_bytes(), reason }).await
        }
    }
}
