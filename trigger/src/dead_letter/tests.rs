//! Messages in the forms that AWS's pages show: EventBridge User Guide, "Using dead-letter queues to process undelivered
//! events"; EventBridge Scheduler User Guide, "Configuring a dead-letter queue"; Lambda Developer Guide, "Adding a
//! dead-letter queue", "Capturing records of Lambda asynchronous invocations" and "Retain discarded batch records for a
//! Kinesis Data Streams event source".

use serde_json::json;
use stepwell_pipeline::{
    dead_letter::{DeadLetters, MemoryDeadLetters},
    queue::MemoryQueue,
};

use super::*;
use crate::backfill::SystemClock;

const EVENT: &str = include_str!("../../tests/fixtures/eventbridge.json");
const QUEUE: Option<&str> = Some("events");

pub(super) fn letter(body: &str, attributes: &[(&str, &str)]) -> DeadLetter {
    DeadLetter {
        id: "059f36b4".into(),
        body: body.into(),
        attributes: attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..DeadLetter::default()
    }
}

fn refusal(understood: &Understood) -> &str {
    match &understood.redrive {
        Redrive::Refuse(why) => why,
        Redrive::Send(body) => body,
    }
}

#[test]
fn what_trigger_buried_says_why() {
    let attributes = [("error", "NoPipeline"), ("message", "no pipeline's `match` fits"), ("pipeline", "sales")];
    let understood = understand(&letter(EVENT, &attributes), QUEUE);
    assert_eq!((understood.origin, understood.error.as_str()), (Origin::Trigger, "NoPipeline"));
    assert_eq!(understood.message, "no pipeline's `match` fits");
    assert_eq!(understood.pipeline.as_deref(), Some("sales"));
    let event: Value = serde_json::from_str(EVENT).expect("JSON");
    let (bucket, key) = (&event["detail"]["bucket"]["name"], &event["detail"]["object"]["key"]);
    let url = format!("s3://{}/{}", bucket.as_str().expect("text"), key.as_str().expect("text"));
    assert_eq!(understood.about, [url]);
    assert!(understood.advice.contains("`match` fits"), "{}", understood.advice);
    assert_eq!(understood.redrive, Redrive::Send(EVENT.to_owned()));
}

#[test]
fn what_sqs_moved_is_known_by_the_queue_it_came_from() {
    let moved = |queue: &str| DeadLetter {
        receives: 6,
        source_queue_arn: Some(format!("arn:aws:sqs:us-east-2:123456789012:{queue}")),
        ..letter(EVENT, &[])
    };
    let understood = understand(&moved("events"), QUEUE);
    assert_eq!((understood.origin, understood.error.as_str()), (Origin::Sqs, RECEIVED_TOO_OFTEN));
    assert!(understood.message.starts_with("received 6 times"), "{}", understood.message);
    assert_eq!(understood.redrive, Redrive::Send(EVENT.to_owned()));
    let data = understand(&moved("data"), QUEUE);
    assert!(refusal(&data).contains("123456789012:data, which is not the events queue events"), "{data:?}");
    assert_eq!(understand(&moved("data"), None).redrive, Redrive::Send(EVENT.to_owned()), "the queue is not known");
}

#[test]
fn what_eventbridge_could_not_deliver_has_its_code() {
    let to = |target: &str| {
        let attributes = [
            ("RULE_ARN", "arn:aws:events:us-east-2:123456789012:rule/landed"),
            ("TARGET_ARN", target),
            ("ERROR_CODE", "NO_PERMISSIONS"),
            ("ERROR_MESSAGE", "the queue's policy refused"),
            ("RETRY_ATTEMPTS", "0"),
        ];
        understand(&letter(EVENT, &attributes), QUEUE)
    };
    let understood = to("arn:aws:sqs:us-east-2:123456789012:events");
    assert_eq!((understood.origin, understood.error.as_str()), (Origin::EventBridge, "NO_PERMISSIONS"));
    assert!(understood.advice.contains("policy"), "{}", understood.advice);
    assert_eq!(understood.redrive, Redrive::Send(EVENT.to_owned()));
    let function = to("arn:aws:lambda:us-east-2:123456789012:function:events");
    assert!(refusal(&function).contains("not the events queue"), "{function:?}");
}

#[test]
fn a_tick_that_was_missed_is_not_made_up_for() {
    let attributes = [
        ("SCHEDULE_ARN", "arn:aws:scheduler:us-east-2:123456789012:schedule/default/tick"),
        ("TARGET_ARN", "arn:aws:sqs:us-east-2:123456789012:events"),
        ("ERROR_CODE", "AccessDeniedException"),
        ("ERROR_MESSAGE", "not authorized to perform: sqs:SendMessage"),
        ("EXHAUSTED_RETRY_CONDITION", "MaximumRetryAttempts"),
        ("IS_PAYLOAD_TRUNCATED", "false"),
    ];
    let understood = understand(&letter(r#"{"tick": "2026-01-01T00:00:00Z"}"#, &attributes), QUEUE);
    assert_eq!((understood.origin, understood.error.as_str()), (Origin::Scheduler, "AccessDeniedException"));
    assert_eq!(understood.about, ["the tick of 2026-01-01T00:00:00+00:00"]);
    assert!(refusal(&understood).contains("the next tick"), "{understood:?}");
    let mut cut = attributes;
    cut[5].1 = "true";
    let understood = understand(&letter("{\"backfill\": {\"buck", &cut), QUEUE);
    assert!(refusal(&understood).contains("only a part"), "{understood:?}");
}

#[test]
fn what_lambda_gave_up_on_carries_the_event() {
    let attributes = [
        ("RequestID", "e4b46cbf-b738-xmpl-8880-a18cdf61200e"),
        ("ErrorCode", "200"),
        ("ErrorMessage", "Process exited before completing request"),
    ];
    let understood = understand(&letter(EVENT, &attributes), QUEUE);
    assert_eq!((understood.origin, understood.error.as_str()), (Origin::Lambda, "FunctionError"));
    assert_eq!(understood.redrive, Redrive::Send(EVENT.to_owned()));

    let record = include_str!("../../tests/fixtures/dead-letter-destination.json");
    let understood = understand(&letter(record, &[]), QUEUE);
    assert_eq!((understood.origin, understood.error.as_str()), (Origin::Lambda, "FunctionError"));
    assert!(understood.message.ends_with("Process exited before completing request (RetriesExhausted)"));
    let Redrive::Send(body) = &understood.redrive else { unreachable!("{understood:?}") };
    let payload: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(payload["ORDER_IDS"][0], "9e07af03-ce31-4ff3-xmpl-36dce652cb4f", "the payload, not the record");

    let mut record: Value = serde_json::from_str(record).expect("JSON");
    let mut waited = record.clone();
    waited["requestContext"]["condition"] = json!("EventAgeExceeded");
    waited.as_object_mut().expect("an object").retain(|field, _| !field.starts_with("response"));
    let understood = understand(&letter(&waited.to_string(), &[]), QUEUE);
    assert_eq!(understood.error, "EventAgeExceeded", "the function was not called");

    record["responsePayload"] = json!({"errorType": "NoPipeline", "errorMessage": "none fits"});
    record["requestPayload"] = serde_json::from_str(EVENT).expect("JSON");
    let understood = understand(&letter(&record.to_string(), &[]), QUEUE);
    assert_eq!(understood.error, "NoPipeline");
    assert!(understood.about[0].starts_with("s3://"), "{understood:?}");
}

/// What was for `notify`, or for people, is no event: `trigger` could only bury it again.
#[test]
fn notices_are_shown_and_not_sent_to_trigger() {
    let ended = json!({
        "requestContext": {"condition": "RetriesExhausted"},
        "requestPayload": {"execution_id": "arn:1", "input": {"action": "execution_ended", "ended": {}}},
        "responseContext": {"functionError": "Unhandled"},
    });
    let understood = understand(&letter(&ended.to_string(), &[]), QUEUE);
    assert_eq!(understood.about, ["the end of the execution arn:1, which may not have been told"]);
    assert!(refusal(&understood).contains("for notify"), "{understood:?}");

    let undelivered = [("ErrorCode", "400"), ("ErrorMessage", "no such address")];
    let told = json!({"Type": "Notification", "Subject": "sales failed", "Message": "Run 1 failed."});
    let understood = understand(&letter(&told.to_string(), &undelivered), QUEUE);
    assert_eq!(
        (understood.error.as_str(), &understood.about[..]),
        ("Status400", &["the notice `sales failed`".to_owned()][..])
    );
    assert!(refusal(&understood).contains("for people"), "{understood:?}");

    // An event that a topic could not deliver is one all the same.
    let event = json!({"Type": "Notification", "Subject": "Amazon S3 Notification", "Message": EVENT});
    let understood = understand(&letter(&event.to_string(), &undelivered), QUEUE);
    assert!(understood.about[0].starts_with("s3://"), "{understood:?}");
    assert!(matches!(understood.redrive, Redrive::Send(_)), "{understood:?}");
}

#[test]
fn a_batch_of_a_stream_is_named_and_not_held() {
    let understood = understand(&letter(include_str!("../../tests/fixtures/dead-letter-kinesis.json"), &[]), QUEUE);
    assert_eq!((understood.origin, understood.error.as_str()), (Origin::Stream, "FunctionError"));
    assert!(
        understood.about[0].starts_with("500 records of shardId-000000000001 of arn:aws:kinesis"),
        "{understood:?}"
    );
    assert!(refusal(&understood).contains("does not hold them"), "{understood:?}");
    assert!(understood.advice.contains("AT_TIMESTAMP"), "{}", understood.advice);
}

#[test]
fn what_nobody_explains_is_shown_as_it_is() {
    let understood = understand(&letter("hello", &[]), QUEUE);
    assert_eq!((understood.origin, understood.error.as_str()), (Origin::Unknown, UNKNOWN));
    assert_eq!(understood.about, ["a message that is no JSON"]);
}

#[test]
fn an_event_says_what_it_is_about_and_may_name_a_pipeline() {
    let waiting = json!({"name": "sales-1", "request": {"bucket": "b", "key": "in/a.csv", "pipeline": "sales"}});
    for (event, about, pipeline) in [
        (
            json!({"backfill": {"bucket": "b", "prefix": "in/", "pipeline": "sales"}}),
            "a backfill of s3://b/in/",
            Some("sales"),
        ),
        (json!({"backfill": {"id": "sales-1", "round": 2}}), "the backfill sales-1", None),
        (
            json!({"schedule": {"pipeline": "sales", "occurrence": "2026-11-21T06:00"}}),
            "the batch of 2026-11-21 06:00:00 that `sales` is scheduled for",
            Some("sales"),
        ),
        (json!({"start": waiting}), "the start of the execution sales-1", Some("sales")),
        (json!({"job": "1"}), "the job 1", None),
        (json!({"hello": 1}), "an event of a shape that trigger does not know", None),
    ] {
        let understood = understand(&letter(&event.to_string(), &[]), QUEUE);
        assert_eq!((&understood.about[..], understood.pipeline.as_deref()), (&[about.to_owned()][..], pipeline));
    }
}

#[test]
fn a_person_reads_who_put_it_there() {
    for (origin, words) in [
        (Origin::Trigger, "trigger: "),
        (Origin::Sqs, "SQS: "),
        (Origin::EventBridge, "EventBridge: "),
        (Origin::Scheduler, "EventBridge Scheduler: "),
        (Origin::Lambda, "Lambda or SNS: "),
        (Origin::Stream, "Lambda: a batch of a stream "),
        (Origin::Unknown, "somebody who did not say why"),
    ] {
        assert!(origin.to_string().starts_with(words), "{origin}");
    }
}

pub(super) fn queue_of(count: usize) -> MemoryDeadLetters {
    let queue = MemoryDeadLetters::default();
    for number in 0..count {
        let error = ["NoPipeline", "InvalidInput", "NoPipeline"][number % 3];
        queue.put(DeadLetter {
            id: format!("id-{number}"),
            sent_ms: 1_000_000 - number as u64,
            ..letter(&format!("{{\"number\": {number}}}"), &[("error", error), ("message", "why")])
        });
    }
    queue
}

#[tokio::test]
async fn a_survey_groups_all_and_leaves_them_as_they_were() {
    let queue = queue_of(2_345);
    let groups = survey(&queue, QUEUE, &Filter::default(), &|_| {}).await.expect("looked at");
    let counts: Vec<_> =
        groups.iter().map(|group| (group.error.as_str(), group.count, group.example_id.as_str())).collect();
    // The later a message's number, the earlier it was sent.
    assert_eq!(counts, [("NoPipeline", 1_563, "id-2343"), ("InvalidInput", 782, "id-2344")]);
    assert_eq!(queue.visible().len(), 2_345, "all can be seen again");
    let filter = Filter { id: Some("id-77".into()), ..Filter::default() };
    let groups = survey(&queue, QUEUE, &filter, &|_| {}).await.expect("looked at");
    assert_eq!(groups.iter().map(|group| group.count).sum::<u64>(), 1 + 10);
}

#[tokio::test]
async fn a_redrive_sends_what_is_meant_and_keeps_the_rest() {
    let (queue, events) = (queue_of(30), MemoryQueue::default());
    let filter = Filter { error: Some("NoPipeline".into()), ..Filter::default() };
    let redriven = redrive(&queue, &events, "events", &filter, 1e6, &SystemClock::new(), &|_| {}).await.expect("sent");
    assert_eq!(redriven, Redriven { sent: 20, left: 0, others: 10 });
    assert_eq!(events.take_sent().len(), 20);
    let kept = queue.visible();
    assert!(kept.len() == 10 && kept.iter().all(|letter| letter.attributes["error"] == "InvalidInput"), "{kept:?}");
    assert_eq!(queue.count().await.expect("counted"), 10);
}

/// A dead letter that fails again at once must not go round for ever.
#[tokio::test]
async fn what_comes_back_unmended_stays() {
    #[derive(Debug)]
    struct Boomerang(MemoryDeadLetters, std::sync::atomic::AtomicUsize);

    #[async_trait::async_trait]
    impl stepwell_pipeline::queue::Queue for Boomerang {
        async fn send(&self, body: &str, _: u16) -> Result<(), stepwell_pipeline::StageError> {
            let number = self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            self.0.put(DeadLetter { id: format!("again-{number}"), ..letter(body, &[("error", "NoPipeline")]) });
            Ok(())
        }

        async fn bury(
            &self,
            _: &str,
            _: &stepwell_pipeline::queue::DeathCause,
        ) -> Result<(), stepwell_pipeline::StageError> {
            Ok(())
        }
    }

    let boomerang = Boomerang(queue_of(12), Default::default());
    let clock = SystemClock::new();
    let redriven =
        redrive(&boomerang.0, &boomerang, "events", &Filter::default(), 1e6, &clock, &|_| {}).await.expect("ended");
    assert_eq!(redriven, Redriven { sent: 12, left: 12, others: 0 });
    assert_eq!(boomerang.0.visible().len(), 12);
}

/// Killed, or refused, between sending and deleting: a message may be doubled, and none is lost.
#[tokio::test]
async fn no_message_is_lost_whatever_call_fails() {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use stepwell_pipeline::{
        ErrorKind, StageError,
        dead_letter::Received,
        queue::{DeathCause, Queue},
    };

    #[derive(Debug)]
    struct Failing {
        dead: MemoryDeadLetters,
        events: MemoryQueue,
        calls_left: AtomicUsize,
    }

    impl Failing {
        fn call(&self) -> Result<(), StageError> {
            if self.calls_left.fetch_sub(1, Ordering::SeqCst) == 1 {
                return Err(StageError::new(ErrorKind::TargetUnavailable, "no answer"));
            }
            Ok(())
        }
    }

    #[async_trait::async_trait]
    impl DeadLetters for Failing {
        async fn receive(&self, seconds: u32) -> Result<Vec<Received>, StageError> {
            self.call()?;
            self.dead.receive(seconds).await
        }
        async fn release(&self, receipts: &[String]) -> Result<(), StageError> {
            self.call()?;
            self.dead.release(receipts).await
        }
        async fn delete(&self, receipt: &str) -> Result<(), StageError> {
            self.call()?;
            self.dead.delete(receipt).await
        }
        async fn count(&self) -> Result<u64, StageError> {
            self.dead.count().await
        }
    }

    #[async_trait::async_trait]
    impl Queue for Failing {
        async fn send(&self, body: &str, delay_seconds: u16) -> Result<(), StageError> {
            self.call()?;
            self.events.send(body, delay_seconds).await
        }
        async fn bury(&self, body: &str, cause: &DeathCause) -> Result<(), StageError> {
            self.events.bury(body, cause).await
        }
    }

    let mut failures = 0;
    for failing in 1..60 {
        let queue =
            Failing { dead: queue_of(12), events: MemoryQueue::default(), calls_left: AtomicUsize::new(failing) };
        let clock = SystemClock::new();
        let result = redrive(&queue, &queue, "events", &Filter::default(), 1e6, &clock, &|_| {}).await;
        failures += usize::from(result.is_err());
        // Later, when what was hidden shows again.
        queue.dead.show_all();
        let events = queue.events.take_sent();
        let kept = queue.dead.visible();
        for number in 0..12 {
            let body = format!("{{\"number\": {number}}}");
            let copies = events.iter().filter(|(sent, _)| *sent == body).count()
                + kept.iter().filter(|letter| letter.body == body).count();
            assert!((1..=2).contains(&copies), "call {failing}, message {number}: {copies}");
        }
    }
    assert!(failures >= 26, "each call of a redrive of twelve messages fails once: {failures}");
}
