//! Executions and notices over HTTP.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

mod http;
mod service;

use http::{Answer, Server};
use serde_json::json;
use service::{config, form_fields};
use stepwell_aws::{SfnExecutions, SnsNotifier, SqsDeadLetters, serve::TraceHeader};
use stepwell_pipeline::{
    ErrorKind,
    dead_letter::DeadLetters,
    execution::{Executions, Started},
    notice::{Notice, Notifier, Outcome},
    request::RunRequest,
};

fn request() -> RunRequest {
    RunRequest { bucket: "landing".into(), key: "in/a b+ü.csv".into(), ..RunRequest::default() }
}

async fn executions(server: &Server) -> SfnExecutions {
    SfnExecutions::new(aws_sdk_sfn::Client::new(&config(server).await), "arn:machine")
}

fn sfn_error(status: u16, name: &str) -> Answer {
    Answer::new(status, json!({"__type": name, "message": "why"}).to_string())
        .with("content-type", "application/x-amz-json-1.0")
}

#[tokio::test]
async fn an_execution_is_started_by_name_with_the_request_as_input() {
    let server = Server::start(|_| Some(Answer::new(200, r#"{"executionArn": "arn:execution", "startDate": 1.0}"#)));
    let started = executions(&server).await.start("name-1", &request()).await.expect("started");
    assert_eq!(started, Started::Running);
    let seen = &server.requests()[0];
    assert_eq!(seen.header("x-amz-target"), Some("AWSStepFunctions.StartExecution"));
    let body: serde_json::Value = serde_json::from_slice(&seen.body).expect("JSON");
    assert_eq!((&body["name"], &body["stateMachineArn"]), (&json!("name-1"), &json!("arn:machine")));
    let input: serde_json::Value = serde_json::from_str(body["input"].as_str().expect("text")).expect("JSON");
    assert_eq!(input, json!({"bucket": "landing", "key": "in/a b+ü.csv"}));
}

#[tokio::test]
async fn an_execution_goes_on_with_the_trace_of_its_request_or_of_the_call() {
    const CALL: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    const UPLOAD: &str = "Root=1-67891233-abcdef012345678912345678;Sampled=1";
    for (call, upload, expected) in [
        (None, None, json!(null)),
        (Some(CALL), None, json!(CALL)),
        (Some(CALL), Some(UPLOAD), json!(UPLOAD)),
        (Some(CALL), Some("no trace at all"), json!(CALL)),
        (None, Some(UPLOAD), json!(UPLOAD)),
    ] {
        let server =
            Server::start(|_| Some(Answer::new(200, r#"{"executionArn": "arn:execution", "startDate": 1.0}"#)));
        let executions = executions(&server).await.traced(call.and_then(TraceHeader::parse));
        let request = RunRequest { trace_header: upload.map(str::to_owned), ..request() };
        executions.start("name-1", &request).await.expect("started");
        let body: serde_json::Value = serde_json::from_slice(&server.requests()[0].body).expect("JSON");
        assert_eq!(body["traceHeader"], expected);
        // The input stays what it is, or a repetition under another trace would be another execution.
        assert_eq!(body["input"], json!({"bucket": "landing", "key": "in/a b+ü.csv"}).to_string());
    }
}

#[tokio::test]
async fn an_execution_is_known_by_its_arn() {
    let server = Server::start(|_| None);
    let client = aws_sdk_sfn::Client::new(&config(&server).await);
    let executions = SfnExecutions::new(client, "arn:aws:states:eu-west-1:123456789012:stateMachine:etl");
    assert_eq!(executions.id("name-1"), "arn:aws:states:eu-west-1:123456789012:execution:etl:name-1");
}

#[tokio::test]
async fn an_execution_that_was_there_is_done_already() {
    let server = Server::start(|_| Some(sfn_error(400, "ExecutionAlreadyExists")));
    let started = executions(&server).await.start("name-1", &request()).await.expect("known");
    assert_eq!(started, Started::AlreadyDone);
}

#[tokio::test]
async fn refusals_to_start_have_their_kind() {
    for (status, name, kind) in [
        (400, "ThrottlingException", ErrorKind::Throttled),
        (400, "ExecutionLimitExceeded", ErrorKind::Throttled),
        (500, "InternalServerException", ErrorKind::TargetUnavailable),
        (400, "AccessDeniedException", ErrorKind::AccessDenied),
        (400, "StateMachineDoesNotExist", ErrorKind::Internal),
        (400, "InvalidArn", ErrorKind::Internal),
    ] {
        let server = Server::start(move |_| Some(sfn_error(status, name)));
        let error = executions(&server).await.start("name-1", &request()).await.expect_err("refused");
        assert_eq!(error.kind(), kind, "{name}");
        assert!(error.report().contains(name), "{}", error.report());
    }
}

fn notice(pipeline: Option<&str>) -> Notice {
    Notice {
        outcome: Outcome::Failed,
        pipeline: pipeline.map(Into::into),
        subject: "flights failed: ü\n.csv".into(),
        text: "What to do: nothing & more".into(),
        detail: json!({}),
    }
}

#[tokio::test]
async fn a_notice_is_published_with_subject_text_and_attributes() {
    let server = Server::start(|_| {
        let body = "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult>\
                    <MessageId>1</MessageId></PublishResult></PublishResponse>";
        Some(Answer::new(200, body).with("content-type", "text/xml"))
    });
    let notifier = SnsNotifier::new(aws_sdk_sns::Client::new(&config(&server).await), "arn:topic");
    notifier.publish(&notice(Some("flights"))).await.expect("published");
    notifier.publish(&notice(None)).await.expect("published");
    let requests = server.requests();
    let fields = form_fields(&requests[0].text());
    for (name, value) in [
        ("Action", "Publish"),
        ("TopicArn", "arn:topic"),
        ("Subject", "flights failed: ? .csv"),
        ("Message", "What to do: nothing & more"),
    ] {
        assert_eq!(fields.get(name).map(String::as_str), Some(value), "{name}");
    }
    for (name, value) in [("outcome", "failed"), ("pipeline", "flights")] {
        let entry = (1..=2).map(|entry| format!("MessageAttributes.entry.{entry}"));
        let mut entries = entry.filter(|entry| fields.get(&format!("{entry}.Name")).is_some_and(|found| found == name));
        let entry = entries.next().expect("an attribute");
        assert_eq!(fields[&format!("{entry}.Value.StringValue")], value);
        assert_eq!(fields[&format!("{entry}.Value.DataType")], "String");
    }
    assert!(!requests[1].text().contains("entry.2"), "an unknown pipeline has no attribute");
}

#[tokio::test]
async fn refusals_to_publish_have_their_kind() {
    for (status, code, kind) in [
        (429, "Throttled", ErrorKind::Throttled),
        (500, "InternalError", ErrorKind::TargetUnavailable),
        (403, "AuthorizationError", ErrorKind::AccessDenied),
        (404, "NotFound", ErrorKind::Internal),
    ] {
        let server = Server::start(move |_| {
            let body = format!(
                "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type>\
                 <Code>{code}</Code><Message>why</Message></Error><RequestId>1</RequestId></ErrorResponse>"
            );
            Some(Answer::new(status, body).with("content-type", "text/xml"))
        });
        let notifier = SnsNotifier::new(aws_sdk_sns::Client::new(&config(&server).await), "arn:topic");
        let error = notifier.publish(&notice(None)).await.expect_err("refused");
        assert_eq!(error.kind(), kind, "{code}");
        assert!(error.report().starts_with("cannot publish to arn:topic"), "{}", error.report());
    }
}

#[tokio::test]
async fn a_service_that_does_not_answer_may_come_back() {
    let server = Server::start(|_| None);
    let error = executions(&server).await.start("name-1", &request()).await.expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::TargetUnavailable);
    assert!(error.report().len() > "cannot start execution name-1 of arn:machine: the service gave no answer".len());
}

fn sqs_answer(body: &serde_json::Value) -> Option<Answer> {
    Some(Answer::new(200, body.to_string()).with("content-type", "application/x-amz-json-1.0"))
}

#[tokio::test]
async fn dead_letters_come_with_all_that_is_known_of_them() {
    let server = Server::start(|_| {
        sqs_answer(&json!({"Messages": [{
            "MessageId": "id-1",
            "ReceiptHandle": "receipt-1",
            "Body": "{}",
            "Attributes": {
                "SentTimestamp": "1700000000123",
                "ApproximateReceiveCount": "6",
                "DeadLetterQueueSourceArn": "arn:aws:sqs:us-east-2:123456789012:events",
            },
            "MessageAttributes": {"error": {"DataType": "String", "StringValue": "NoPipeline"}},
        }]}))
    });
    let queue = SqsDeadLetters::new(
        aws_sdk_sqs::Client::new(&config(&server).await),
        format!("http://{}/dead", server.address),
    );
    let received = queue.receive(300).await.expect("received");
    let letter = &received[0].letter;
    assert_eq!((received.len(), received[0].receipt.as_str(), letter.id.as_str()), (1, "receipt-1", "id-1"));
    assert_eq!((letter.sent_ms, letter.receives), (1_700_000_000_123, 6));
    assert_eq!(letter.attributes["error"], "NoPipeline");
    assert_eq!(letter.source_queue_arn.as_deref(), Some("arn:aws:sqs:us-east-2:123456789012:events"));
    let body: serde_json::Value = serde_json::from_slice(&server.requests()[0].body).expect("JSON");
    assert_eq!((&body["MaxNumberOfMessages"], &body["VisibilityTimeout"]), (&json!(10), &json!(300)));
    assert_eq!(
        (&body["MessageAttributeNames"], &body["MessageSystemAttributeNames"]),
        (&json!(["All"]), &json!(["All"]))
    );
}

#[tokio::test]
async fn dead_letters_are_released_by_tens() {
    let server = Server::start(|_| sqs_answer(&json!({"Successful": [], "Failed": []})));
    let queue = SqsDeadLetters::new(
        aws_sdk_sqs::Client::new(&config(&server).await),
        format!("http://{}/dead", server.address),
    );
    let receipts: Vec<String> = (0..23).map(|number| format!("receipt-{number}")).collect();
    queue.release(&receipts).await.expect("released");
    let mut released = Vec::new();
    for request in server.requests() {
        assert_eq!(request.header("x-amz-target"), Some("AmazonSQS.ChangeMessageVisibilityBatch"));
        let body: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
        let entries = body["Entries"].as_array().expect("entries");
        assert!(entries.len() <= 10 && entries.iter().all(|entry| entry["VisibilityTimeout"] == 0));
        released.extend(entries.iter().map(|entry| entry["ReceiptHandle"].as_str().expect("text").to_owned()));
    }
    assert_eq!(released, receipts);
}

#[tokio::test]
async fn refusals_of_the_dead_letter_queue_have_their_kind() {
    for (status, name, kind) in [
        (400, "com.amazonaws.sqs#RequestThrottled", ErrorKind::Throttled),
        (500, "com.amazonaws.sqs#InternalFailure", ErrorKind::TargetUnavailable),
        (403, "com.amazonaws.sqs#AccessDenied", ErrorKind::AccessDenied),
    ] {
        let server = Server::start(move |_| Some(sfn_error(status, name)));
        let client = aws_sdk_sqs::Client::new(&config(&server).await);
        let queue = SqsDeadLetters::new(client, format!("http://{}/dead", server.address));
        for error in [
            queue.receive(1).await.expect_err("refused"),
            queue.release(&["receipt".into()]).await.expect_err("refused"),
            queue.delete("receipt").await.expect_err("refused"),
            queue.count().await.expect_err("refused"),
        ] {
            assert_eq!(error.kind(), kind, "{name}: {}", error.report());
        }
    }
}
