//! Notices over SNS.

use async_trait::async_trait;
use aws_sdk_sns::{Client, types::MessageAttributeValue};
use stepwell_pipeline::{
    ErrorKind, StageError,
    notice::{Notice, Notifier},
};

use crate::fault::stage_error;

/// Publishes notices to one topic. Subscribers can filter by the message attributes `outcome` and `pipeline`.
#[derive(Clone, Debug)]
pub struct SnsNotifier {
    client: Client,
    topic_arn: String,
}

impl SnsNotifier {
    /// A notifier for one topic.
    pub fn new(client: Client, topic_arn: impl Into<String>) -> Self {
        Self { client, topic_arn: topic_arn.into() }
    }
}

#[async_trait]
impl Notifier for SnsNotifier {
    async fn publish(&self, notice: &Notice) -> Result<(), StageError> {
        let mut request = self
            .client
            .publish()
            .topic_arn(&self.topic_arn)
            .subject(subject(&notice.subject))
            .message(&notice.text)
            .message_attributes("outcome", attribute(notice.outcome.word())?);
        if let Some(pipeline) = &notice.pipeline {
            request = request.message_attributes("pipeline", attribute(pipeline)?);
        }
        request.send().await.map(|_| ()).map_err(|error| {
            stage_error(error, ErrorKind::TargetUnavailable, format!("cannot publish to {}", self.topic_arn))
        })
    }
}

fn attribute(value: &str) -> Result<MessageAttributeValue, StageError> {
    MessageAttributeValue::builder()
        .data_type("String")
        .string_value(value)
        .build()
        .map_err(|error| StageError::with_source(ErrorKind::Internal, "cannot build the message's attributes", error))
}

/// A subject that SNS takes: ASCII without line breaks and control characters, fewer than 100 characters (SNS API
/// Reference, `Publish`; newer editions allow UTF-8, older endpoints do not).
fn subject(line: &str) -> String {
    let clean = |letter: char| match letter {
        letter if letter.is_control() => ' ',
        letter if letter.is_ascii() => letter,
        _ => '?',
    };
    line.chars().take(99).map(clean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_what_sns_takes() {
        assert_eq!(subject("flights failed: ü.csv\nline"), "flights failed: ?.csv line");
        assert_eq!(subject(&"a".repeat(200)).len(), 99);
    }
}
