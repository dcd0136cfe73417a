//! Lambda's Runtime API, for a function's process to be called through, as Lambda Developer Guide, "Runtime API",
//! describes it. Other crates' tests of their binaries include this file.
#![allow(dead_code, unreachable_pub, clippy::expect_used, reason = "each test includes this file and uses part of it")]

#[path = "../http/mod.rs"]
mod http;

use std::{
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex,
        mpsc::{Receiver, channel},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{Answer, Request, Server};
use serde_json::Value;

/// An event to give to a function.
pub struct Event {
    payload: String,
    timeout: Duration,
    trace: Option<String>,
}

impl Event {
    /// An event for a function with a timeout of a minute.
    pub fn new(payload: &Value) -> Self {
        Self { payload: payload.to_string(), timeout: Duration::from_secs(60), trace: None }
    }

    /// The same for a function with another timeout.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The same as part of a trace.
    pub fn with_trace(self, header: &str) -> Self {
        Self { trace: Some(header.to_owned()), ..self }
    }
}

/// What a function told the Runtime API.
#[derive(Debug)]
pub struct Report {
    /// Below `/2018-06-01/runtime/`.
    pub path: String,
    pub body: Value,
}

/// A running function.
pub struct Function {
    child: Child,
    reports: Receiver<Request>,
}

/// Variables that every function needs, with values of no meaning.
pub const BUCKETS: [(&str, &str); 3] =
    [("LANDING_BUCKET", "landing"), ("WORK_BUCKET", "work"), ("LAKE_BUCKET", "lake")];

impl Function {
    /// Starts a function, which will be given these events one after another as `invocation/0`, `invocation/1`, ….
    pub fn start(command: &mut Command, variables: &[(&str, &str)], events: impl IntoIterator<Item = Event>) -> Self {
        Self::start_logged(command, variables, events, Stdio::null())
    }

    /// The same, with a place for what it prints.
    pub fn start_logged(
        command: &mut Command,
        variables: &[(&str, &str)],
        events: impl IntoIterator<Item = Event>,
        log: impl Into<Stdio>,
    ) -> Self {
        let (sender, reports) = channel();
        let sender = Mutex::new(sender);
        let events: Mutex<Vec<(usize, Event)>> = Mutex::new(events.into_iter().enumerate().collect());
        let server = Server::start(move |request| {
            if request.method == "POST" {
                let _ = sender.lock().expect("no thread panicked").send(request.clone());
                return Some(Answer::new(202, "{}"));
            }
            let mut events = events.lock().expect("no thread panicked");
            if events.is_empty() {
                drop(events);
                // No more events: the function waits, as it does between calls.
                loop {
                    std::thread::park();
                }
            }
            let (number, event) = events.remove(0);
            let deadline = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") + event.timeout;
            let answer = Answer::new(200, event.payload);
            let answer = match event.trace {
                Some(trace) => answer.with("lambda-runtime-trace-id", trace),
                None => answer,
            };
            Some(
                answer
                    .with("lambda-runtime-aws-request-id", number.to_string())
                    .with("lambda-runtime-deadline-ms", deadline.as_millis().to_string())
                    .with("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:123456789012:function:f"),
            )
        });
        let child = command
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", &server.address)
            .envs([
                ("AWS_LAMBDA_FUNCTION_NAME", "f"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
                ("AWS_REGION", "eu-west-1"),
                ("AWS_ACCESS_KEY_ID", "id"),
                ("AWS_SECRET_ACCESS_KEY", "secret"),
            ])
            .envs(variables.iter().copied())
            .stdout(log)
            .spawn()
            .expect("the function's binary");
        Self { child, reports }
    }

    /// What the function tells next.
    pub fn report(&self) -> Report {
        let request = self.reports.recv_timeout(Duration::from_secs(60)).expect("a report within a minute");
        let path = request.target.strip_prefix("/2018-06-01/runtime/").expect("the API's version").to_owned();
        let body = serde_json::from_slice(&request.body).expect("JSON");
        Report { path, body }
    }

    /// How the function's process ends by itself.
    pub fn exit(mut self) -> ExitStatus {
        self.child.wait().expect("a child")
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asserts that a function's binary refuses what it cannot use and says so to Lambda: an unusable input as
/// `InvalidInput`, and an environment without settings as an initialisation error.
pub fn assert_refuses_bad_input_and_missing_settings(binary: &str, own: &[(&str, &str)], bad: &Value, message: &str) {
    let variables = [&BUCKETS[..], own].concat();
    let function = Function::start(&mut Command::new(binary), &variables, [Event::new(bad)]);
    let report = function.report();
    assert_eq!(report.path, "invocation/0/error");
    assert_eq!(report.body["errorType"], "InvalidInput");
    assert!(report.body["errorMessage"].as_str().is_some_and(|text| text.contains(message)), "{report:?}");
    drop(function);

    let function = Function::start(&mut Command::new(binary), &[("WORK_BUCKET", "work")], [Event::new(bad)]);
    let report = function.report();
    assert_eq!(report.path, "init/error");
    let names: Vec<_> =
        ["LANDING_BUCKET", "LAKE_BUCKET"].into_iter().chain(own.iter().map(|(name, _)| *name)).collect();
    let expected = format!("environment variables missing, empty or no number: {}", names.join(", "));
    assert_eq!(report.body["errorMessage"], expected);
    assert!(!function.exit().success());
}
