//! Lineage events over HTTP.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

mod http;

use std::{sync::Arc, time::SystemTime};

use http::{Answer, Server};
use serde_json::{Value, json};
use stepwell_aws::{HttpLineage, LineageSettings};
use stepwell_pipeline::{
    ErrorKind,
    lineage::{LineageSink, RunEvent, Subject},
    stage::Buckets,
    store::{MemoryStores, ObjectRef},
};

fn event() -> RunEvent {
    let buckets = Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() };
    let subject = Subject {
        namespace: "tests",
        execution_id: "arn:1",
        redrive_count: 0,
        pipeline: "orders",
        spec: None,
        run: None,
        object: Some(&ObjectRef::new("landing", "in/ü.csv")),
        members: None,
        buckets: &buckets,
    };
    subject.started(SystemTime::UNIX_EPOCH)
}

fn settings(url: String) -> LineageSettings {
    LineageSettings { url, endpoint: None, api_key: None, namespace: "tests".into() }
}

#[tokio::test]
async fn an_event_is_posted_with_the_key() {
    let server = Server::start(|_| Some(Answer::new(201, "")));
    let url = format!("http://{}", server.address);
    let settings = LineageSettings { api_key: Some("secret".into()), ..settings(url) };
    let lineage = settings.connect(Arc::new(MemoryStores::default()), "work").expect("lineage");
    lineage.send(&event()).await;
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    let seen = &requests[0];
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/api/v1/lineage"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("authorization"), Some("Bearer secret"));
    let body: Value = serde_json::from_slice(&seen.body).expect("JSON");
    assert_eq!(body, json!(event()));
}

#[tokio::test]
async fn answers_have_their_kind() {
    for (status, kind) in [
        (200, None),
        (202, None),
        (400, Some(ErrorKind::Internal)),
        (401, Some(ErrorKind::AccessDenied)),
        (422, Some(ErrorKind::Internal)),
        (429, Some(ErrorKind::Throttled)),
        (500, Some(ErrorKind::TargetUnavailable)),
        (503, Some(ErrorKind::Throttled)),
    ] {
        let server = Server::start(move |_| Some(Answer::new(status, "why")));
        let sink = HttpLineage::new(format!("http://{}/l", server.address), None);
        let ended = sink.emit(&event()).await;
        assert_eq!(ended.as_ref().map_err(|error| error.kind()).err(), kind, "{status}");
        assert_eq!(server.requests()[0].header("authorization"), None);
        if let Err(error) = ended {
            assert!(error.report().ends_with(&format!("answered {status}")), "{}", error.report());
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_says_nothing_is_unavailable() {
    let server = Server::start(|_| None);
    let closed = HttpLineage::new(format!("http://{}", server.address), None).emit(&event()).await;
    let nobody = HttpLineage::new("http://127.0.0.1:1/".into(), None).emit(&event()).await;
    for ended in [closed, nobody] {
        assert_eq!(ended.expect_err("unavailable").kind(), ErrorKind::TargetUnavailable);
    }
}

#[tokio::test]
async fn what_is_no_address_is_told_nowhere() {
    for url in ["lineage", "ftp://l.example", "s3://"] {
        assert!(settings(url.into()).connect(Arc::new(MemoryStores::default()), "work").is_none(), "{url}");
    }
    let odd = HttpLineage::new("http://l.example/a b".into(), None).emit(&event()).await;
    assert_eq!(odd.expect_err("refused").kind(), ErrorKind::Internal);
}
