use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{document::is_id, problem::Problem};

/// The most bytes of a body.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// A request as API Gateway sends it (API Gateway Developer Guide, "Create AWS Lambda proxy integrations for HTTP APIs",
/// payload format version 2.0).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HttpRequest {
    raw_path: String,
    /// Names in lower case.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Decoded; values of one name are joined by commas.
    #[serde(default)]
    query_string_parameters: BTreeMap<String, String>,
    request_context: RequestContext,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext {
    #[serde(default)]
    request_id: String,
    #[serde(default)]
    stage: String,
    authorizer: Option<Value>,
    http: HttpContext,
}

#[derive(Clone, Debug, Deserialize)]
struct HttpContext {
    method: String,
}

impl HttpRequest {
    pub(super) fn id(&self) -> &str {
        &self.request_context.request_id
    }

    /// Who asks: the ARN, where IAM or a Lambda authoriser told it; the subject of a token; empty where nobody is known.
    pub(super) fn caller(&self) -> &str {
        let authorizer = self.request_context.authorizer.as_ref();
        let found = ["/iam/userArn", "/jwt/claims/sub", "/lambda/principalId"]
            .into_iter()
            .find_map(|path| authorizer?.pointer(path)?.as_str());
        found.unwrap_or_default()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        header.map(|(_, value)| value.trim())
    }

    /// A parameter of the query, unless it is absent. One that is empty is as it is.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query_string_parameters.get(name).map(String::as_str)
    }

    /// The body's JSON.
    pub(super) fn json(&self) -> Result<Value, Problem> {
        let content_type = self.header("content-type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            let detail = format!("the body must be application/json, not {content_type:?}");
            return Err(Problem::new(415, "UnsupportedMediaType", detail));
        }
        let body = self.body.as_deref().unwrap_or_default();
        let decoded = match self.is_base64_encoded {
            true => BASE64_STANDARD.decode(body).map_err(|error| Problem::invalid(format!("the body: {error}")))?,
            false => body.as_bytes().to_vec(),
        };
        if decoded.len() > BODY_BYTES_MAX {
            let detail = format!("the body has more than {BODY_BYTES_MAX} bytes; upload data with the URL of a job");
            return Err(Problem::new(413, "ContentTooLarge", detail));
        }
        serde_json::from_slice(&decoded).map_err(|error| Problem::invalid(format!("the body is no JSON: {error}")))
    }

    /// What paths begin with: the stage, unless it is the default one (API Gateway Developer Guide, "Stages for HTTP
    /// APIs").
    fn base(&self) -> String {
        match self.request_context.stage.as_str() {
            "" | "$default" => String::new(),
            stage => format!("/{stage}"),
        }
    }

    /// A path of this API, as clients see it.
    pub(super) fn path(&self, segments: &[&str]) -> String {
        let encoded = segments.iter().map(|segment| utf8_percent_encode(segment, SEGMENT));
        encoded.fold(self.base(), |path, segment| format!("{path}/{segment}"))
    }
}

/// All but what RFC 3986 calls unreserved.
const SEGMENT: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Create,
    List,
    /// The job of that id.
    Show(String),
    /// The result of the job of that id.
    Result(String),
    OpenApi,
}

impl Route {
    pub(super) fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let raw = &request.raw_path;
        let base = request.base();
        let path = raw.strip_prefix(&base).filter(|rest| rest.starts_with('/')).unwrap_or(raw);
        let segments: Vec<String> = path
            .trim_matches('/')
            .split('/')
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let job = |id: &str| if is_id(id) { Ok(id.to_owned()) } else { Err(no_job(id)) };
        let method = request.request_context.http.method.as_str();
        match (method, &segments[..]) {
            ("POST", ["jobs"]) => Ok(Self::Create),
            ("GET", ["jobs"]) => Ok(Self::List),
            ("GET", ["jobs", id]) => Ok(Self::Show(job(id)?)),
            ("GET", ["jobs", id, "result"]) => Ok(Self::Result(job(id)?)),
            ("GET", ["openapi.json"]) => Ok(Self::OpenApi),
            (_, ["jobs"]) => Err(not_allowed(method, path, "GET, POST")),
            (_, ["jobs", _] | ["jobs", _, "result"] | ["openapi.json"]) => Err(not_allowed(method, path, "GET")),
            _ => Err(Problem::new(404, "NotFound", format!("there is no {path}; see /openapi.json"))),
        }
    }
}

/// The problem of a job that there is not.
pub(super) fn no_job(id: &str) -> Problem {
    Problem::new(404, "JobNotFound", format!("there is no job {id:?}"))
}

fn not_allowed(method: &str, path: &str, allowed: &str) -> Problem {
    Problem::new(405, "MethodNotAllowed", format!("{path} does not take {method}")).with_header("allow", allowed)
}

/// A response as API Gateway takes it (same page).
#[derive(Clone, Debug)]
pub(super) struct Response {
    status: u16,
    pub(super) headers: BTreeMap<&'static str, String>,
    body: String,
}

impl Response {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        // What a job is told to only the one who asked, and only now.
        let headers = [("content-type", "application/json"), ("cache-control", "no-store")];
        let headers = headers.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        Self { status, headers, body: body.to_string() }
    }

    #[must_use]
    pub(super) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.insert(name, value.into());
        self
    }

    pub(super) fn into_event(self) -> Value {
        json!({ "statusCode": self.status, "headers": self.headers, "body": self.body, "isBase64Encoded": false })
    }
}

#[cfg(test)]
mod tests;
