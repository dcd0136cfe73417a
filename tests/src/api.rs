//! Clients of an engine's AWS endpoint: the SDK's where the product uses the service too, and a few bare calls for
//! what only the tests need.

use std::net::SocketAddr;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, SharedHttpClient};
use hyper::Method;
use serde_json::{Value, json};

pub use stepwell_sandbox::ministack::REGION;

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
        self.bare().json(service, target, body).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Calls an operation of a service that speaks AWS Query, and returns its XML.
    pub async fn query(&self, service: &str, fields: &[(&str, &str)]) -> String {
        self.bare().query(service, fields).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Calls an operation of a service that speaks REST and JSON.
    pub async fn rest(&self, service: &str, method: Method, path: &str, body: &Value) -> Value {
        self.bare().rest(service, method, path, &[], body).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Invokes a function, with `RequestResponse` or `Event` for the kind of invocation.
    pub async fn invoke(&self, function: &str, payload: &Value, kind: &str) -> Value {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let headers = [("x-amz-invocation-type", kind)];
        let answer = self.bare().rest("lambda", Method::POST, &path, &headers, payload).await;
        answer.unwrap_or_else(|error| panic!("{error}"))
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

    /// Whether the endpoint answers this path with 200.
    pub(crate) async fn is_up(&self, path: &str) -> bool {
        self.bare().is_up(path).await
    }

    pub(crate) fn bare(&self) -> stepwell_sandbox::Endpoint {
        stepwell_sandbox::Endpoint(self.0.clone())
    }
}
