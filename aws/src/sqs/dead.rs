use async_trait::async_trait;
use aws_sdk_sqs::{
    Client,
    types::{ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName},
};
use stepwell_pipeline::{
    ErrorKind, StageError,
    dead_letter::{DeadLetter, DeadLetters, Received},
};

use crate::fault::stage_error;

/// The most messages of one call (SQS API Reference, `ReceiveMessage`, `ChangeMessageVisibilityBatch`).
const CALL_MESSAGES_MAX: usize = 10;
/// How long a call waits for messages, in seconds. A call that waits asks all servers of a queue, so that "none" means
/// none (SQS Developer Guide, "Amazon SQS short and long polling").
const WAIT_SECONDS: i32 = 2;

/// A dead-letter queue over SQS.
#[derive(Clone, Debug)]
pub struct SqsDeadLetters {
    client: Client,
    url: String,
}

impl SqsDeadLetters {
    /// The queue of that URL.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }
}

#[async_trait]
impl DeadLetters for SqsDeadLetters {
    async fn receive(&self, invisible_seconds: u32) -> Result<Vec<Received>, StageError> {
        let request = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(CALL_MESSAGES_MAX as i32)
            .visibility_timeout(i32::try_from(invisible_seconds).unwrap_or(i32::MAX))
            .wait_time_seconds(WAIT_SECONDS)
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::All);
        let received = request.send().await.map_err(|error| {
            stage_error(error, ErrorKind::TargetUnavailable, format!("cannot receive from {}", self.url))
        })?;
        Ok(received.messages.unwrap_or_default().into_iter().map(received_of).collect())
    }

    async fn release(&self, receipts: &[String]) -> Result<(), StageError> {
        for receipts in receipts.chunks(CALL_MESSAGES_MAX) {
            let mut request = self.client.change_message_visibility_batch().queue_url(&self.url);
            for (number, receipt) in receipts.iter().enumerate() {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(number.to_string())
                    .receipt_handle(receipt)
                    .visibility_timeout(0)
                    .build();
                request = request.entries(entry.map_err(|error| {
                    StageError::with_source(ErrorKind::Internal, "cannot build the request to SQS", error)
                })?);
            }
            // Entries that fail are of messages that are gone, or are seen already.
            request.send().await.map_err(|error| {
                let message = format!("cannot make messages of {} visible again; they will be by themselves", self.url);
                stage_error(error, ErrorKind::TargetUnavailable, message)
            })?;
        }
        Ok(())
    }

    async fn delete(&self, receipt: &str) -> Result<(), StageError> {
        let request = self.client.delete_message().queue_url(&self.url).receipt_handle(receipt);
        request.send().await.map(|_| ()).map_err(|error| {
            stage_error(error, ErrorKind::TargetUnavailable, format!("cannot delete a message of {}", self.url))
        })
    }

    async fn count(&self) -> Result<u64, StageError> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let request = self.client.get_queue_attributes().queue_url(&self.url).set_attribute_names(Some(names.to_vec()));
        let attributes = request.send().await.map_err(|error| {
            stage_error(error, ErrorKind::TargetUnavailable, format!("cannot look at the queue {}", self.url))
        })?;
        let attributes = attributes.attributes.unwrap_or_default();
        let count =
            |name| attributes.get(name).and_then(|count: &String| count.parse::<u64>().ok()).unwrap_or_default();
        Ok(names.iter().map(count).sum())
    }
}

fn received_of(message: Message) -> Received {
    use MessageSystemAttributeName::{ApproximateReceiveCount, DeadLetterQueueSourceArn, SentTimestamp};

    let system = message.attributes.unwrap_or_default();
    let number = |name| system.get(name).and_then(|value: &String| value.parse::<u64>().ok()).unwrap_or_default();
    let attributes = message.message_attributes.unwrap_or_default().into_iter();
    Received {
        letter: DeadLetter {
            id: message.message_id.unwrap_or_default(),
            body: message.body.unwrap_or_default(),
            attributes: attributes.filter_map(|(name, value)| Some((name, value.string_value?))).collect(),
            sent_ms: number(&SentTimestamp),
            receives: u32::try_from(number(&ApproximateReceiveCount)).unwrap_or(u32::MAX),
            source_queue_arn: system.get(&DeadLetterQueueSourceArn).cloned(),
        },
        receipt: message.receipt_handle.unwrap_or_default(),
    }
}
