//! Executions and notices over HTTP.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

mod http;
mod service;

use http::{Answer, Server};
use serde_json::json;
use service::{config, form_fields};
use stepwell_aws::{SfnExecutions, SnsNotifier};
use stepwell_pipeline::{
    ErrorKind,
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
