use serde_json::{Value, json};
use stepwell_pipeline::{ErrorKind, StageError};
use tracing::info;

/// The events that an event holds: itself, or what other services wrapped, however often.
///
/// - SNS calls a function with `Records[].Sns.Message` (Lambda Developer Guide, "Invoking Lambda functions with Amazon SNS
///   notifications");
/// - to a queue without raw message delivery it sends `{"Type": "Notification", "Message": …}` (SNS Developer Guide, "Fanout
///   Amazon SNS notifications to Amazon SQS queues");
/// - Lambda keeps an asynchronous event that failed as `requestPayload` of an invocation record (Lambda Developer Guide,
///   "Capturing records of Lambda asynchronous invocations"), as it comes out of the dead letters.
pub(crate) fn opened(event: Value) -> Vec<Result<Value, StageError>> {
    let mut events = Vec::new();
    open(event, &mut events);
    events
}

/// The event in a message's text.
pub(crate) fn parsed(text: &str) -> Result<Value, StageError> {
    serde_json::from_str(text)
        .map_err(|error| StageError::with_source(ErrorKind::InvalidInput, "the message is no JSON", error))
}

fn open(mut event: Value, events: &mut Vec<Result<Value, StageError>>) {
    if let Some(records) = event.get_mut("Records").and_then(Value::as_array_mut)
        && records.iter().any(|record| record.get("Sns").is_some())
    {
        for record in std::mem::take(records) {
            match record.get("Sns") {
                Some(notification) => open_message(notification, events),
                None => events.push(Ok(json!({ "Records": [record] }))),
            }
        }
        return;
    }
    if event.get("requestContext").is_some()
        && let Some(payload) = event.get_mut("requestPayload")
    {
        return open(payload.take(), events);
    }
    match event.get("Type").and_then(Value::as_str) {
        Some("Notification") => open_message(&event, events),
        Some("SubscriptionConfirmation") => {
            let topic = event.get("TopicArn").and_then(Value::as_str).unwrap_or_default();
            let message = format!("SNS asks to confirm a subscription to {topic}: visit the message's `SubscribeURL`");
            events.push(Err(StageError::new(ErrorKind::InvalidInput, message)));
        }
        Some("UnsubscribeConfirmation") => info!("message ignored, since it confirms the end of a subscription"),
        _ => events.push(Ok(event)),
    }
}

fn open_message(notification: &Value, events: &mut Vec<Result<Value, StageError>>) {
    let Some(message) = notification.get("Message").and_then(Value::as_str) else {
        return events.push(Err(StageError::new(ErrorKind::InvalidInput, "the SNS notification has no `Message`")));
    };
    match parsed(message) {
        Ok(event) => open(event, events),
        Err(error) => events.push(Err(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(event: Value) -> Vec<String> {
        let text =
            |opened: Result<Value, StageError>| opened.map_or_else(|error| error.report(), |event| event.to_string());
        opened(event).into_iter().map(text).collect()
    }

    #[test]
    fn every_wrapping_is_taken_off() {
        let inner = json!({"a": 1});
        let notification = json!({"Type": "Notification", "Message": inner.to_string()});
        let twice = json!({"Type": "Notification", "Message": notification.to_string()});
        let direct = json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": inner.to_string()}}]});
        let record =
            json!({"version": "1.0", "requestContext": {"condition": "RetriesExhausted"}, "requestPayload": direct});
        for event in [inner, notification, twice, direct, record] {
            assert_eq!(texts(event.clone()), [r#"{"a":1}"#], "{event}");
        }
    }

    #[test]
    fn no_record_keeps_another_from_being_seen() {
        let sns = |message: &str| json!({"EventSource": "aws:sns", "Sns": {"Message": message}});
        let event = json!({"Records": [sns("Hello world!"), sns("{}"), {"s3": 1}, {"Sns": {}}, sns("[]")]});
        let texts = texts(event);
        assert!(texts[0].starts_with("the message is no JSON: "), "{texts:?}");
        assert_eq!(texts[1..], ["{}", r#"{"Records":[{"s3":1}]}"#, "the SNS notification has no `Message`", "[]"]);
    }

    #[test]
    fn what_sns_says_of_subscriptions_is_no_event() {
        let confirmation =
            json!({"Type": "SubscriptionConfirmation", "TopicArn": "arn:t", "Message": "You have chosen"});
        assert!(texts(confirmation)[0].contains("visit the message's `SubscribeURL`"));
        assert!(texts(json!({"Type": "UnsubscribeConfirmation", "Message": "Bye"})).is_empty());
    }
}
