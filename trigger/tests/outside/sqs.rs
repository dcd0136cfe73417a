//! The events queue, as the template has it.

use std::{collections::BTreeSet, fmt::Display};

use serde_json::{Value, json};

pub(super) const EVENTS_QUEUE: &str = "events";
/// So often the queue delivers a message before it goes to the dead letters.
pub(crate) const RECEIVES_MAX: u32 = 5;

/// Messages, with their ids, as the function is given them when they were received so often.
pub(crate) fn delivery<'a>(messages: impl IntoIterator<Item = (impl Display, &'a str)>, receives: usize) -> Value {
    let record = |(id, body): (_, &str)| {
        json!({
            "messageId": format!("{id}"),
            "body": body,
            "attributes": { "ApproximateReceiveCount": receives.to_string() },
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:us-east-2:123456789012:{EVENTS_QUEUE}"),
        })
    };
    json!({ "Records": messages.into_iter().map(record).collect::<Vec<_>>() })
}

/// The ids of the messages that are to come again.
pub(crate) fn failed(answer: &Value) -> BTreeSet<String> {
    let failures = answer["batchItemFailures"].as_array().into_iter().flatten();
    failures.map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
}
