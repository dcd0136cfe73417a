//! A proxy in front of an S3 endpoint that makes requests fail on demand and keeps a record of all of them.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use hyper::{Method, Request, Response, StatusCode, body::Incoming};

use crate::http::{self, Body, Cut};

/// What a request gets instead of the store's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An S3 error of that status and code.
    Error(u16, &'static str),
    /// The end of the connection.
    Cut,
}

/// Which requests fail, how, and how many of them.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The method.
    pub method: Method,
    /// What the decoded path (`/bucket/key`) begins with.
    pub path: String,
    /// What it ends with.
    pub ends: String,
    /// How the request fails.
    pub fault: Fault,
    /// How many more requests fail.
    pub times: usize,
}

/// The request at which a process is killed, as `kill -9` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// How many requests come before it.
    pub request: usize,
    /// Whether the server does what it asks for before the process ends without the answer.
    pub is_done: bool,
}

/// A request that came by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The method.
    pub method: Method,
    /// The decoded path: `/bucket/key`.
    pub path: String,
    /// The status that the client saw; nothing where the connection was cut.
    pub status: Option<u16>,
}

/// A running proxy.
#[derive(Clone, Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    behind: SocketAddr,
    rules: Mutex<Vec<Rule>>,
    passed: Mutex<Vec<Passed>>,
    strike: Mutex<Option<Strike>>,
    requests: AtomicUsize,
    process: AtomicU32,
}

impl FaultProxy {
    /// Starts a proxy on a free port of 127.0.0.1.
    pub fn start(behind: SocketAddr) -> Self {
        let (listener, address) = http::listen(0);
        let shared = Arc::new(Shared {
            behind,
            rules: Mutex::default(),
            passed: Mutex::default(),
            strike: Mutex::default(),
            requests: AtomicUsize::new(0),
            process: AtomicU32::new(0),
        });
        let answering = shared.clone();
        crate::spawn(http::serve(listener, move |request| answering.clone().answer(request)));
        Self { address, shared }
    }

    /// The endpoint to give to clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes matching requests fail from now on.
    pub fn inject(&self, rule: Rule) {
        self.shared.rules.lock().unwrap().push(rule);
    }

    /// Counts requests anew, and kills the process that makes the one that is struck, if any is.
    pub fn strike(&self, strike: Option<Strike>) {
        *self.shared.strike.lock().unwrap() = strike;
        self.shared.requests.store(0, Ordering::Relaxed);
    }

    /// Whether a process is still to be killed.
    pub fn is_strike_left(&self) -> bool {
        self.shared.strike.lock().unwrap().is_some()
    }

    /// How many requests came since the last call of [`FaultProxy::strike`].
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Says which process makes the requests from now on.
    pub(crate) fn comes_from(&self, process: u32) {
        self.shared.process.store(process, Ordering::Relaxed);
    }

    /// How many failures that rules on this path promised have not happened yet.
    pub fn faults_left(&self, path: &str) -> usize {
        self.shared.rules.lock().unwrap().iter().filter(|rule| rule.path == path).map(|rule| rule.times).sum()
    }

    /// The requests so far whose decoded path contains the text.
    pub fn passed(&self, path: &str) -> Vec<Passed> {
        let passed = self.shared.passed.lock().unwrap();
        passed.iter().filter(|request| request.path.contains(path)).cloned().collect()
    }
}

impl Shared {
    fn fault(&self, method: &Method, path: &str) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap();
        let matches = |rule: &&mut Rule| {
            rule.times > 0 && rule.method == *method && path.starts_with(&rule.path) && path.ends_with(&rule.ends)
        };
        let rule = rules.iter_mut().find(matches)?;
        rule.times -= 1;
        Some(rule.fault)
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
        let method = request.method().clone();
        let path = http::decoded(request.uri().path());
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let struck = self.strike.lock().unwrap().take_if(|strike| strike.request == number);
        let answer = match self.fault(&method, &path) {
            _ if struck.is_some() => {
                if struck.is_some_and(|strike| strike.is_done) {
                    // What it answers is of no interest: nobody is left to read it.
                    let _ = http::forward(request, self.behind).await;
                }
                kill(self.process.load(Ordering::Relaxed));
                Err(Cut)
            }
            None => http::forward(request, self.behind).await,
            Some(Fault::Cut) => Err(Cut),
            Some(Fault::Error(status, code)) => Ok(s3_error(status, code, &method)),
        };
        let status = answer.as_ref().ok().map(|response| response.status().as_u16());
        self.passed.lock().unwrap().push(Passed { method, path, status });
        answer
    }
}

fn kill(process: u32) {
    let killed = std::process::Command::new("kill").args(["-KILL", &process.to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()), "the process {process} cannot be killed");
}

fn s3_error(status: u16, code: &str, method: &Method) -> Response<Body> {
    let status = StatusCode::from_u16(status).expect("rules name HTTP statuses");
    if method == Method::HEAD {
        return http::reply(status, "application/xml", "");
    }
    let body = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>injected</Message><RequestId>0</RequestId></Error>"#
    );
    http::reply(status, "application/xml", body)
}
