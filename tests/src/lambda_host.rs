//! A Lambda service on one port: it serves `Invoke` with real binaries over the real Runtime API, and passes every
//! other request on, so that it can stand in front of an engine that looks for Lambda on its own port.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header::HeaderValue};
use serde_json::{Value, json};

pub use crate::environment::Function;
use crate::{
    api::{ACCOUNT, REGION},
    environment::{Answer, Environment},
    http::{self, Body, Cut},
};

/// One invocation, as the host saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// The function's name.
    pub function: String,
    /// What it was given.
    pub payload: Value,
    /// When it was asked for.
    pub started: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// The error's name, if it failed.
    pub error: Option<String>,
}

/// A running host.
#[derive(Clone, Debug)]
pub struct LambdaHost {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    behind: Option<SocketAddr>,
    logs: PathBuf,
    functions: Mutex<BTreeMap<String, Arc<Deployed>>>,
    invocations: Mutex<Vec<Invocation>>,
    requests: AtomicU64,
}

#[derive(Debug)]
struct Deployed {
    name: String,
    function: Function,
    idle: Mutex<Vec<Environment>>,
}

impl LambdaHost {
    /// Starts a host on a port of 127.0.0.1 (0 for any), in front of another server or of none. What the functions
    /// print goes to one log each in the folder.
    pub fn start(port: u16, behind: Option<SocketAddr>, logs: &Path) -> Self {
        let (listener, address) = http::listen(port);
        let shared = Arc::new(Shared {
            behind,
            logs: logs.to_owned(),
            functions: Mutex::default(),
            invocations: Mutex::default(),
            requests: AtomicU64::new(0),
        });
        let answering = shared.clone();
        crate::spawn(http::serve(listener, move |request| answering.clone().answer(request)));
        Self { address, shared }
    }

    /// Where the host listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Deploys a function, replacing one of the same name, and returns its ARN.
    pub fn deploy(&self, name: &str, function: Function) -> String {
        let deployed = Deployed { name: name.to_owned(), function, idle: Mutex::default() };
        self.shared.functions.lock().unwrap().insert(name.to_owned(), Arc::new(deployed));
        arn(name)
    }

    /// The invocations that ended so far.
    pub fn invocations(&self) -> Vec<Invocation> {
        self.shared.invocations.lock().unwrap().clone()
    }
}

fn arn(name: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")
}

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
        let path = request.uri().path();
        let invoked = path.strip_prefix("/2015-03-31/functions/").and_then(|rest| rest.strip_suffix("/invocations"));
        match (invoked.map(http::decoded), self.behind) {
            (Some(function), _) if request.method() == Method::POST => {
                let payload = request.into_body().collect().await.map_err(|_| Cut)?.to_bytes();
                Ok(self.invoke(&function, payload).await)
            }
            (_, Some(behind)) => http::forward(request, behind).await,
            (_, None) => Ok(refusal(StatusCode::NOT_FOUND, "UnknownOperationException", path)),
        }
    }

    /// `Invoke` (<https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>), synchronously. The function's name,
    /// its ARN, and either with a qualifier are understood; the qualifier is not looked at.
    async fn invoke(&self, called: &str, payload: Bytes) -> Response<Body> {
        let name = called.split_once(":function:").map_or(called, |(_, name)| name);
        let name = name.split(':').next().unwrap_or_default();
        let deployed = self.functions.lock().unwrap().get(name).cloned();
        let Some(deployed) = deployed else {
            return refusal(
                StatusCode::NOT_FOUND,
                "ResourceNotFoundException",
                &format!("Function not found: {called}"),
            );
        };
        let id = format!("00000000-0000-4000-8000-{:012}", self.requests.fetch_add(1, Ordering::Relaxed));
        let started = SystemTime::now();
        let answer = deployed.run(&id, payload.clone(), &self.logs).await;
        let (body, error) = match answer {
            Answer::Response(body) => (body, None),
            Answer::Error(body) => {
                let error = serde_json::from_slice::<Value>(&body).ok();
                let name = error.as_ref().and_then(|error| error["errorType"].as_str()).unwrap_or_default().to_owned();
                (body, Some(name))
            }
        };
        self.invocations.lock().unwrap().push(Invocation {
            function: name.to_owned(),
            payload: serde_json::from_slice(&payload).unwrap_or_default(),
            started,
            took: started.elapsed().unwrap_or_default(),
            error: error.clone(),
        });
        let mut response = http::reply(StatusCode::OK, "application/json", body);
        let headers = response.headers_mut();
        headers.insert("x-amz-executed-version", HeaderValue::from_static("$LATEST"));
        if error.is_some() {
            headers.insert("x-amz-function-error", HeaderValue::from_static("Unhandled"));
        }
        response
    }
}

impl Deployed {
    /// Runs one invocation in an idle environment, or in a new one where all are busy, as Lambda does.
    async fn run(&self, id: &str, payload: Bytes, logs: &Path) -> Answer {
        let idle = std::iter::from_fn(|| self.idle.lock().unwrap().pop()).find_map(|mut environment| {
            let alive = environment.is_alive();
            alive.then_some(environment)
        });
        let log = logs.join(format!("{}.log", self.name));
        let mut environment = idle.unwrap_or_else(|| Environment::start(&self.name, &self.function, &log));
        let answer = environment.invoke(id, &arn(&self.name), payload, self.function.timeout).await;
        let spent = match &answer {
            Answer::Response(_) => false,
            Answer::Error(error) => ends_environment(error),
        };
        if !spent {
            self.idle.lock().unwrap().push(environment);
        }
        answer
    }
}

// A function's own error leaves its process usable; the service's errors say that it is gone or hangs.
fn ends_environment(error: &[u8]) -> bool {
    let error: Value = serde_json::from_slice(error).unwrap_or_default();
    matches!(error["errorType"].as_str(), Some("Sandbox.Timedout" | "Runtime.ExitError"))
}

fn refusal(status: StatusCode, error: &'static str, message: &str) -> Response<Body> {
    let mut response = http::json(status, &json!({"Type": "User", "Message": message}));
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(error));
    response
}
