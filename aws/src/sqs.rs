//! The queues of a deployment over SQS.

mod dead;

use async_trait::async_trait;
use aws_sdk_sqs::{Client, types::MessageAttributeValue};
pub use dead::SqsDeadLetters;
use stepwell_pipeline::{
    ErrorKind, StageError,
    queue::{DeathCause, Queue},
};

use crate::fault::stage_error;

/// The most characters of an attribute's value that are sent: with the body they share the message's 1 MiB (SQS
/// Developer Guide, "Amazon SQS message quotas").
const ATTRIBUTE_CHARACTERS_MAX: usize = 2_000;

/// Sends to the events queue and to the dead-letter queue.
#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: Client,
    events_url: String,
    dead_events_url: String,
}

impl SqsQueue {
    /// The queues of those URLs.
    pub fn new(client: Client, events_url: impl Into<String>, dead_events_url: impl Into<String>) -> Self {
        Self { client, events_url: events_url.into(), dead_events_url: dead_events_url.into() }
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, body: &str, delay_seconds: u16) -> Result<(), StageError> {
        let message = self.client.send_message().queue_url(&self.events_url).message_body(body);
        message.delay_seconds(delay_seconds.min(900).into()).send().await.map(|_| ()).map_err(|error| {
            stage_error(error, ErrorKind::TargetUnavailable, format!("cannot send to {}", self.events_url))
        })
    }

    async fn bury(&self, body: &str, cause: &DeathCause) -> Result<(), StageError> {
        let mut message = self
            .client
            .send_message()
            .queue_url(&self.dead_events_url)
            .message_body(body)
            .message_attributes("error", attribute(&cause.error)?)
            .message_attributes("message", attribute(&cause.message)?);
        if let Some(pipeline) = &cause.pipeline {
            message = message.message_attributes("pipeline", attribute(pipeline)?);
        }
        message.send().await.map(|_| ()).map_err(|error| {
            stage_error(error, ErrorKind::TargetUnavailable, format!("cannot send to {}", self.dead_events_url))
        })
    }
}

/// An attribute's value: not empty, and without characters that SQS refuses (SQS API Reference, `SendMessage`).
fn attribute(value: &str) -> Result<MessageAttributeValue, StageError> {
    let is_taken = |letter: &char| matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    let value: String = value.chars().filter(is_taken).take(ATTRIBUTE_CHARACTERS_MAX).collect();
    let value = if value.is_empty() { "-".to_owned() } else { value };
    MessageAttributeValue::builder()
        .data_type("String")
        .string_value(value)
        .build()
        .map_err(|error| StageError::with_source(ErrorKind::Internal, "cannot build the message's attributes", error))
}
