use serde::Deserialize;
use serde_json::Value;
use stepwell_pipeline::{StageError, handoff};

use crate::{job::HttpRequest, stream::Record};

/// How an event came.
pub(crate) enum Delivery {
    /// As the function's own event.
    Direct(Value),
    /// In the bodies of messages of the events queue.
    Events(Vec<Message>),
    /// Messages of another queue: they are data.
    Data(Vec<Message>),
    /// Records of a Kinesis stream: they are data.
    Stream(Vec<Record>),
    /// A request over HTTP.
    Http(HttpRequest),
}

/// One SQS message.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    #[serde(rename = "messageId")]
    pub(crate) id: String,
    pub(crate) body: String,
    /// The queue's ARN.
    #[serde(rename = "eventSourceARN", default)]
    pub(crate) queue_arn: String,
    /// What SQS tells of it, such as `ApproximateReceiveCount`.
    #[serde(default)]
    pub(crate) attributes: serde_json::Map<String, Value>,
}

impl Message {
    /// The header of the trace that its sender belongs to (SQS Developer Guide, "Amazon SQS message metadata").
    pub(crate) fn trace_header(&self) -> Option<&str> {
        self.attributes.get("AWSTraceHeader").and_then(Value::as_str)
    }
}

impl Delivery {
    /// Tells batches, whose records say their `eventSource`, and requests over HTTP from everything else.
    pub(crate) fn of(event: Value, events_queue: &str) -> Result<Self, StageError> {
        if event.pointer("/requestContext/http").is_some() {
            return Ok(Self::Http(handoff::parse(&event)?));
        }
        let records = event.get("Records").and_then(Value::as_array);
        let source = records.and_then(|records| records.first()?.get("eventSource")?.as_str());
        match (records, source) {
            (Some(records), Some("aws:sqs")) => {
                let messages: Vec<Message> = records.iter().map(handoff::parse).collect::<Result<_, _>>()?;
                // One batch is of one queue.
                let is_data =
                    messages.first().is_some_and(|message| message.queue_arn.rsplit(':').next() != Some(events_queue));
                Ok(if is_data { Self::Data(messages) } else { Self::Events(messages) })
            }
            (Some(records), Some("aws:kinesis")) => {
                Ok(Self::Stream(records.iter().map(handoff::parse).collect::<Result<_, _>>()?))
            }
            _ => Ok(Self::Direct(event)),
        }
    }
}
