//! Records that come one by one, kept as objects in the landing bucket.

use serde::Deserialize;

use crate::{Ports, delivery::Message};

/// One record of a Kinesis stream, as Lambda delivers it (Lambda Developer Guide, "Using Lambda with Kinesis").
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Record {}

/// Keeps records of a stream. Gives the sequence numbers of those that are to come again.
pub(crate) async fn keep_records(_ports: &Ports, _records: Vec<Record>) -> Vec<String> {
    Vec::new()
}

/// Keeps messages that are data. Gives the ids of those that are to come again.
pub(crate) async fn keep_messages(_ports: &Ports, messages: Vec<Message>) -> Vec<String> {
    messages.into_iter().map(|message| message.id).collect()
}
