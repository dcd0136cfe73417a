//! A proxy that lets through only what a policy allows, and refuses as AWS does.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header::HeaderValue};

use super::{
    policy::{Ask, Policy},
    request::{Asked, Protocol, asked},
};
use crate::http::{self, Body, Cut};

/// A size that no single copy takes (S3 API Reference, `CopyObject`: 5 GB).
const HUGE: u64 = 6 << 30;

/// What the gate saw while it judged.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What was asked for.
    pub asked: BTreeSet<Ask>,
    /// What the gate refused.
    pub refused: BTreeSet<Ask>,
}

/// A running gate.
#[derive(Clone, Debug)]
pub struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    behind: SocketAddr,
    policy: Mutex<Option<Policy>>,
    seen: Mutex<Seen>,
    huge: Mutex<Option<String>>,
    held: Mutex<Option<(String, Instant)>>,
    is_moto_judge: AtomicBool,
}

impl Gate {
    /// Starts a gate on a free port of 127.0.0.1. It stands open.
    pub fn start(behind: SocketAddr) -> Self {
        let (listener, address) = http::listen(0);
        let shared = Arc::new(Shared {
            behind,
            policy: Mutex::default(),
            seen: Mutex::default(),
            huge: Mutex::default(),
            held: Mutex::default(),
            is_moto_judge: AtomicBool::default(),
        });
        let answering = shared.clone();
        crate::spawn(http::serve(listener, move |request| answering.clone().answer(request)));
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets through only what the policy allows; without one everything.
    pub fn enforce(&self, policy: Option<Policy>) {
        *self.shared.policy.lock().unwrap() = policy;
    }

    /// Holds the next read of an object whose path begins with this until a moment.
    pub fn hold(&self, read: Option<(&str, Instant)>) {
        *self.shared.held.lock().unwrap() = read.map(|(path, until)| (path.to_owned(), until));
    }

    /// Has moto judge, behind the gate.
    pub async fn let_moto_judge(&self, judges: bool) {
        self.shared.is_moto_judge.store(judges, Ordering::Relaxed);
        self.shared.authorize(judges).await;
    }

    /// What it saw since it was asked last.
    pub fn seen(&self) -> Seen {
        std::mem::take(&mut self.shared.seen.lock().unwrap())
    }

    /// Says of objects whose path begins with this that they are larger than one copy takes.
    pub fn pretend_huge(&self, path: Option<&str>) {
        *self.shared.huge.lock().unwrap() = path.map(str::to_owned);
    }
}

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        let asked = asked(&parts.method, &parts.uri, &parts.headers, &body);
        let refused = self.judge(&asked);
        if let Some(first) = refused.first() {
            return Ok(refusal(&asked, &refused, first, &parts.method));
        }
        let (method, path) = (parts.method.clone(), http::decoded(parts.uri.path()));
        let held = |(held, _): &mut (String, Instant)| method == Method::GET && path.starts_with(held.as_str());
        let held = self.held.lock().unwrap().take_if(held);
        if let Some((_, until)) = held {
            tokio::time::sleep_until(until.into()).await;
        }
        // moto puts the body of a form together anew, encodes it otherwise than the SDK, and finds the signature wrong.
        let is_spared = asked.protocol == Protocol::Query && self.is_moto_judge.load(Ordering::Relaxed);
        if is_spared {
            self.authorize(false).await;
        }
        let answer = http::forward_whole(Request::from_parts(parts, body), self.behind).await;
        if is_spared {
            self.authorize(true).await;
        }
        let mut answer = answer?;
        if answer.status() == StatusCode::NOT_FOUND
            && let Some(refused) = self.is_hidden(&asked)
        {
            return Ok(refusal(&asked, std::slice::from_ref(&refused), &refused, &method));
        }
        let huge = self.huge.lock().unwrap().clone();
        if method == Method::HEAD && huge.is_some_and(|huge| path.starts_with(&huge)) {
            answer.headers_mut().insert("content-length", HeaderValue::from(HUGE));
        }
        Ok(answer)
    }

    /// Whether moto authorizes requests from now on; it does so after a number of them.
    async fn authorize(&self, does: bool) {
        let url = format!("http://{}/moto-api/reset-auth", self.behind);
        let after = if does { "0" } else { "inf" };
        let answer = http::send(Method::POST, &url, &[], after).await.expect("moto answers");
        assert!(answer.0.is_success(), "{answer:?}");
    }

    /// What of it is refused.
    fn judge(&self, asked: &Asked) -> Vec<Ask> {
        let policy = self.policy.lock().unwrap();
        let Some(policy) = &*policy else { return Vec::new() };
        let mut seen = self.seen.lock().unwrap();
        seen.asked.extend(asked.asks.iter().cloned());
        let refused: Vec<Ask> = asked.asks.iter().filter(|ask| !policy.allows(ask)).cloned().collect();
        seen.refused.extend(refused.iter().cloned());
        refused
    }

    /// Who may not list a bucket is not told what is missing there (S3 API Reference, `GetObject` and `HeadObject`,
    /// "Permissions").
    fn is_hidden(&self, asked: &Asked) -> Option<Ask> {
        let bucket = asked.looks_in.as_ref()?;
        let listing = Ask::new("s3:ListBucket", format!("arn:aws:s3:::{bucket}"));
        let policy = self.policy.lock().unwrap();
        let policy = policy.as_ref()?;
        let mut seen = self.seen.lock().unwrap();
        seen.asked.insert(listing.clone());
        if policy.allows(&listing) {
            return None;
        }
        seen.refused.insert(listing.clone());
        Some(listing)
    }
}

fn refusal(asked: &Asked, refused: &[Ask], first: &Ask, method: &Method) -> Response<Body> {
    let message = format!("not authorized to perform: {first}");
    if !asked.deletes.is_empty() {
        let keys =
            asked.deletes.iter().filter(|key| refused.iter().any(|ask| ask.resource.ends_with(&format!("/{key}"))));
        let errors: String = keys
            .map(|key| format!("<Error><Key>{key}</Key><Code>AccessDenied</Code><Message>{message}</Message></Error>"))
            .collect();
        return http::reply(StatusCode::OK, "application/xml", format!("<DeleteResult>{errors}</DeleteResult>"));
    }
    match asked.protocol {
        Protocol::S3 if method == Method::HEAD => http::reply(StatusCode::FORBIDDEN, "application/xml", Bytes::new()),
        Protocol::S3 => {
            let body = format!("<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>");
            http::reply(StatusCode::FORBIDDEN, "application/xml", body)
        }
        Protocol::Json => {
            let body = serde_json::json!({"__type": "AccessDeniedException", "message": message});
            let mut response = http::json(StatusCode::BAD_REQUEST, &body);
            response.headers_mut().insert("content-type", HeaderValue::from_static("application/x-amz-json-1.0"));
            response
        }
        Protocol::Query => {
            let body = format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>AuthorizationError</Code><Message>{message}</Message></Error></ErrorResponse>"
            );
            http::reply(StatusCode::FORBIDDEN, "text/xml", body)
        }
    }
}
