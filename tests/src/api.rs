//! Clients of an engine's AWS endpoint: the SDK's where the product uses the service too, and a few bare calls for
//! what only the tests need.

use std::net::SocketAddr;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, SharedHttpClient};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::http;

/// The region that all engines play.
pub const REGION: &str = "us-east-1";

/// The account of engines that have no choice of it.
pub const ACCOUNT: &str = "123456789012";

/// An engine's endpoint, which serves all its services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(pub String);

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self(format!("http://{address}"))
    }
}

fn credentials() -> Credentials {
    Credentials::new("test", "test", None, None, "tests")
}

fn client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().build_http()
}

impl Endpoint {
    /// An S3 client.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.0)
            .region(Region::new(REGION))
            .credentials_provider(credentials())
            .http_client(client())
            .force_path_style(true);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// A Step Functions client.
    pub fn sfn(&self) -> aws_sdk_sfn::Client {
        let config = aws_sdk_sfn::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.0)
            .region(Region::new(REGION))
            .credentials_provider(credentials())
            .http_client(client());
        aws_sdk_sfn::Client::from_conf(config.build())
    }

    /// An SNS client.
    pub fn sns(&self) -> aws_sdk_sns::Client {
        let config = aws_sdk_sns::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.0)
            .region(Region::new(REGION))
            .credentials_provider(credentials())
            .http_client(client());
        aws_sdk_sns::Client::from_conf(config.build())
    }

    /// Calls an operation of a service that speaks AWS JSON, as `sqs` `AmazonSQS.SendMessage`.
    pub async fn json(&self, service: &str, target: &str, body: &Value) -> Value {
        let version = if service == "sqs" { "application/x-amz-json-1.0" } else { "application/x-amz-json-1.1" };
        let headers = [("content-type", version), ("x-amz-target", target)];
        let text = self.call(service, Method::POST, "/", &headers, &body.to_string(), target).await;
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Calls an operation of a service that speaks AWS Query, and returns its XML.
    pub async fn query(&self, service: &str, fields: &[(&str, &str)]) -> String {
        let body: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", form(value))).collect();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.call(service, Method::POST, "/", &headers, &body.join("&"), fields[0].1).await
    }

    /// Calls an operation of a service that speaks AWS Query and that is to refuse. Returns the XML that says why.
    pub async fn refused(&self, service: &str, fields: &[(&str, &str)]) -> String {
        let body: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", form(value))).collect();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let (status, answer) = self.send(service, Method::POST, "/", &headers, &body.join("&"), fields[0].1).await;
        assert!(status.is_client_error(), "{} is not refused: {status} {answer}", fields[0].1);
        answer
    }

    /// Calls an operation of a service that speaks REST and JSON.
    pub async fn rest(&self, service: &str, method: Method, path: &str, body: &Value) -> Value {
        let headers = [("content-type", "application/json")];
        let text = self.call(service, method, path, &headers, &body.to_string(), path).await;
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Invokes a function, with `RequestResponse` or `Event` for the kind of invocation.
    pub async fn invoke(&self, function: &str, payload: &Value, kind: &str) -> Value {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let headers = [("content-type", "application/json"), ("x-amz-invocation-type", kind)];
        let text = self.call("lambda", Method::POST, &path, &headers, &payload.to_string(), "Invoke").await;
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Receives messages of a queue, at most ten, and deletes them there.
    pub async fn take_messages(&self, queue: &str) -> Vec<Value> {
        let request = json!({"QueueUrl": queue, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]});
        let answer = self.json("sqs", "AmazonSQS.ReceiveMessage", &request).await;
        let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
        for message in &messages {
            let deletion = json!({"QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"]});
            self.json("sqs", "AmazonSQS.DeleteMessage", &deletion).await;
        }
        messages
    }

    async fn call(
        &self,
        service: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
        what: &str,
    ) -> String {
        let (status, answer) = self.send(service, method, path, headers, body, what).await;
        assert!(status.is_success(), "{what} at {}{path}: {status} {answer}", self.0);
        answer
    }

    async fn send(
        &self,
        service: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
        what: &str,
    ) -> (StatusCode, String) {
        // The engines check no signature, but find the service by its scope.
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        let mut headers = headers.to_vec();
        headers.push(("authorization", &authorization));
        let url = format!("{}{path}", self.0);
        let (status, _, answer) = http::send(method, &url, &headers, body.to_owned())
            .await
            .unwrap_or_else(|error| panic!("{what} at {url}: {error}"));
        (status, String::from_utf8_lossy(&answer).into_owned())
    }

    /// Whether the endpoint answers this path with 200.
    pub(crate) async fn is_up(&self, path: &str) -> bool {
        let answer = http::send(Method::GET, &format!("{}{path}", self.0), &[], "").await;
        answer.is_ok_and(|(status, _, _)| status == StatusCode::OK)
    }
}

fn form(value: &str) -> String {
    percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// The text of the first element of that name in an XML answer.
pub(crate) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}
