//! One execution environment of a Lambda function: a `bootstrap` process and the Runtime API that serves it
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>).

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header::HeaderValue};
use serde_json::json;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
    time::{interval, sleep},
};

use crate::{
    http::{self, Body, Cut},
    process::Supervised,
};

/// A function as it is deployed to the host.
#[derive(Clone, Debug)]
pub struct Function {
    /// The binary that a deployment package would hold as `bootstrap`.
    pub binary: PathBuf,
    /// Its own environment variables.
    pub variables: Vec<(String, String)>,
    /// How long an invocation may take.
    pub timeout: Duration,
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The function gave this.
    Response(Bytes),
    /// The function, or the service in its place, says that it failed with this.
    Error(Bytes),
}

#[derive(Debug)]
struct Work {
    id: String,
    arn: String,
    deadline_ms: u128,
    payload: Bytes,
}

#[derive(Debug)]
enum Report {
    Ended { id: String, answer: Answer },
    InitError(Bytes),
}

/// A started process, its Runtime API, and the way to hand it one invocation after the other.
#[derive(Debug)]
pub(crate) struct Environment {
    process: Supervised,
    work: mpsc::Sender<Work>,
    reports: mpsc::Receiver<Report>,
    server: JoinHandle<()>,
}

impl Environment {
    pub(crate) fn start(name: &str, function: &Function, log: &Path) -> Self {
        let (listener, address) = http::listen(0);
        let (work, queue) = mpsc::channel(1);
        let (sender, reports) = mpsc::channel(4);
        let desk = Arc::new(Desk { queue: Mutex::new(queue), reports: sender });
        let server = tokio::spawn(http::serve(listener, move |request| {
            let desk = desk.clone();
            async move { Ok::<_, Cut>(desk.answer(request).await) }
        }));

        let api = address.to_string();
        let mut variables = vec![
            ("AWS_LAMBDA_RUNTIME_API", api.as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", name),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "logs"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "stream"),
            ("AWS_REGION", crate::api::REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("_HANDLER", "bootstrap"),
        ];
        variables.extend(function.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let process = Supervised::start(&function.binary, &[], &variables, log);
        Self { process, work, reports, server }
    }

    /// The process's id.
    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    /// Whether the process still runs, so that it can take another invocation.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// Hands one invocation to the process and waits for its end. An environment whose process has ended or was
    /// too slow is of no further use.
    pub(crate) async fn invoke(&mut self, id: &str, arn: &str, payload: Bytes, timeout: Duration) -> Answer {
        let deadline = SystemTime::now() + timeout;
        let deadline_ms = deadline.duration_since(UNIX_EPOCH).expect("it is past 1970").as_millis();
        let work = Work { id: id.to_owned(), arn: arn.to_owned(), deadline_ms, payload };
        self.work.try_send(work).expect("an idle environment takes an invocation");

        let too_late = sleep(timeout);
        tokio::pin!(too_late);
        let mut heartbeat = interval(Duration::from_millis(20));
        loop {
            tokio::select! {
                biased;
                report = self.reports.recv() => match report {
                    Some(Report::Ended { id: ended, answer }) if ended == id => return answer,
                    Some(Report::InitError(error)) => return Answer::Error(error),
                    // An answer to an earlier invocation is late and of no interest.
                    Some(Report::Ended { .. }) | None => {}
                },
                () = &mut too_late => {
                    let message = format!("RequestId: {id} Error: Task timed out after {:.2} seconds", timeout.as_secs_f64());
                    return failed("Sandbox.Timedout", &message);
                }
                _ = heartbeat.tick() => {
                    if let Some(status) = self.process.ended() {
                        let message = format!("RequestId: {id} Error: Runtime exited with error: {status}");
                        return failed("Runtime.ExitError", &message);
                    }
                }
            }
        }
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn failed(error: &str, message: &str) -> Answer {
    Answer::Error(json!({"errorType": error, "errorMessage": message}).to_string().into())
}

/// The server's side of the Runtime API.
#[derive(Debug)]
struct Desk {
    queue: Mutex<mpsc::Receiver<Work>>,
    reports: mpsc::Sender<Report>,
}

impl Desk {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let Some(call) = path.strip_prefix("/2018-06-01/runtime/") else {
            return http::json(StatusCode::NOT_FOUND, &json!({"errorMessage": path}));
        };
        if request.method() == Method::GET && call == "invocation/next" {
            return self.next().await;
        }
        let Ok(body) = request.into_body().collect().await else {
            return http::json(StatusCode::BAD_REQUEST, &json!({"errorMessage": "the body breaks off"}));
        };
        let body = body.to_bytes();
        let report = match call.split('/').collect::<Vec<_>>()[..] {
            ["init", "error"] => Report::InitError(body),
            ["invocation", id, "response"] => Report::Ended { id: id.to_owned(), answer: Answer::Response(body) },
            ["invocation", id, "error"] => Report::Ended { id: id.to_owned(), answer: Answer::Error(body) },
            _ => return http::json(StatusCode::NOT_FOUND, &json!({"errorMessage": path})),
        };
        // The environment may be gone already; the runtime learns that when its connection closes.
        let _ = self.reports.send(report).await;
        http::json(StatusCode::ACCEPTED, &json!({"status": "OK"}))
    }

    async fn next(&self) -> Response<Body> {
        let Some(work) = self.queue.lock().await.recv().await else {
            return http::json(StatusCode::GONE, &json!({"errorMessage": "the environment is shut down"}));
        };
        let mut response = http::reply(StatusCode::OK, "application/json", work.payload);
        let headers = response.headers_mut();
        let deadline = work.deadline_ms.to_string();
        for (name, value) in [
            ("lambda-runtime-aws-request-id", &work.id),
            ("lambda-runtime-invoked-function-arn", &work.arn),
            ("lambda-runtime-deadline-ms", &deadline),
        ] {
            headers.insert(name, HeaderValue::from_str(value).expect("ids and numbers are header values"));
        }
        response
    }
}
