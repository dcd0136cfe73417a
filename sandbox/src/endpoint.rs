use std::net::SocketAddr;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::{SandboxError, http, ministack::REGION};

/// An endpoint that serves AWS's services and checks no signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(pub String);

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self(format!("http://{address}"))
    }
}

impl Endpoint {
    /// Calls an operation of a service that speaks AWS JSON, as `sqs` `AmazonSQS.SendMessage`.
    ///
    /// # Errors
    /// Without an answer, or with one that is no success.
    pub async fn json(&self, service: &str, target: &str, body: &Value) -> Result<Value, SandboxError> {
        let version = if service == "sqs" { "application/x-amz-json-1.0" } else { "application/x-amz-json-1.1" };
        let headers = [("content-type", version), ("x-amz-target", target)];
        let answer = self.call(service, Method::POST, "/", &headers, body.to_string(), target).await?;
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }

    /// Calls an operation of a service that speaks AWS Query, and returns its XML. The first field names the operation.
    ///
    /// # Errors
    /// Without an answer, or with one that is no success.
    pub async fn query(&self, service: &str, fields: &[(&str, &str)]) -> Result<String, SandboxError> {
        let body: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let operation = fields.first().map_or("", |(_, name)| name);
        let answer = self.call(service, Method::POST, "/", &headers, body.join("&"), operation).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Calls an operation of a service that speaks REST and JSON.
    ///
    /// # Errors
    /// Without an answer, or with one that is no success.
    pub async fn rest(
        &self,
        service: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<Value, SandboxError> {
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers);
        let answer = self.call(service, method, path, &all, body.to_string(), path).await?;
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }

    /// Creates a bucket, if there is none of that name.
    ///
    /// # Errors
    /// Without an answer, or with one that is no success.
    pub async fn create_bucket(&self, bucket: &str) -> Result<(), SandboxError> {
        self.call("s3", Method::PUT, &format!("/{bucket}"), &[], "", "CreateBucket").await.map(drop)
    }

    /// Puts an object whose key needs no escapes.
    ///
    /// # Errors
    /// Without an answer, or with one that is no success.
    pub async fn put_object(&self, bucket: &str, key: &str, body: impl Into<Bytes>) -> Result<(), SandboxError> {
        self.call("s3", Method::PUT, &format!("/{bucket}/{key}"), &[], body, "PutObject").await.map(drop)
    }

    /// Whether the endpoint answers this path with 200.
    pub async fn is_up(&self, path: &str) -> bool {
        let answer = http::send(Method::GET, &format!("{}{path}", self.0), &[], "").await;
        answer.is_ok_and(|(status, _, _)| status == StatusCode::OK)
    }

    async fn call(
        &self,
        service: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
        what: &str,
    ) -> Result<Bytes, SandboxError> {
        // No signature is checked, but the service is found by its scope.
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        let mut headers = headers.to_vec();
        headers.push(("authorization", &authorization));
        let url = format!("{}{path}", self.0);
        let failed = |text: &dyn std::fmt::Display| SandboxError(format!("{what} at {url}: {text}"));
        let (status, _, answer) = http::send(method, &url, &headers, body).await.map_err(|error| failed(&error))?;
        if status.is_success() {
            return Ok(answer);
        }
        Err(failed(&format_args!("{status} {}", String::from_utf8_lossy(&answer))))
    }
}

fn encoded(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}
