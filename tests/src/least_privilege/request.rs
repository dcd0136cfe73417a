//! Which actions on which resources a request asks for, as the Service Authorization Reference and the S3 User Guide
//! ("Required permissions for Amazon S3 API operations") say.

use hyper::{HeaderMap, Method, Uri};
use serde_json::Value;

use super::policy::Ask;
use crate::{
    api::{ACCOUNT, REGION},
    http,
};

/// The service by whose protocol a refusal is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// REST and XML.
    S3,
    /// AWS JSON: SQS, Step Functions.
    Json,
    /// AWS Query: SNS.
    Query,
}

/// What a request asks for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) protocol: Protocol,
    pub(crate) asks: Vec<Ask>,
    /// The keys that DeleteObjects is to delete, whose refusals are told one by one.
    pub(crate) deletes: Vec<String>,
    /// The bucket whose missing object is told as such only to those who may list it.
    pub(crate) looks_in: Option<String>,
}

/// Reads a request. Panics for one that no stage is known to make: whoever adds one says here what it asks for.
pub(crate) fn asked(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Asked {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some((_, operation)) = header("x-amz-target").split_once('.') {
        return of_json(operation, &serde_json::from_slice(body).unwrap_or_default());
    }
    if header("content-type").starts_with("application/x-www-form-urlencoded") {
        return of_query(&form(&String::from_utf8_lossy(body)));
    }
    of_s3(method, uri, header("x-amz-copy-source"), body)
}

fn plain(protocol: Protocol, ask: Ask) -> Asked {
    Asked { protocol, asks: vec![ask], deletes: Vec::new(), looks_in: None }
}

fn of_json(operation: &str, body: &Value) -> Asked {
    let text = |field: &str| body[field].as_str().unwrap_or_default();
    let queue =
        || format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{}", text("QueueUrl").rsplit('/').next().unwrap_or_default());
    let ask = match operation {
        "StartExecution" => Ask::new("states:StartExecution", text("stateMachineArn")),
        "ListExecutions" => Ask::new("states:ListExecutions", text("stateMachineArn")),
        "DescribeExecution" | "StopExecution" => Ask::new(&format!("states:{operation}"), text("executionArn")),
        "SendMessage" | "ReceiveMessage" | "DeleteMessage" | "GetQueueAttributes" | "PurgeQueue" => {
            Ask::new(&format!("sqs:{operation}"), queue())
        }
        _ => panic!("it is not known what {operation} asks for"),
    };
    plain(Protocol::Json, ask)
}

fn of_query(fields: &[(String, String)]) -> Asked {
    let field = |name: &str| {
        let found = fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    match field("Action") {
        "Publish" => plain(Protocol::Query, Ask::new("sns:Publish", field("TopicArn"))),
        action => panic!("it is not known what {action} asks for"),
    }
}

fn of_s3(method: &Method, uri: &Uri, copy_source: &str, body: &[u8]) -> Asked {
    let path = http::decoded(uri.path());
    let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    let query = form(uri.query().unwrap_or_default());
    let has = |name: &str| query.iter().any(|(field, _)| field == name);
    let object = |key: &str| format!("arn:aws:s3:::{bucket}/{key}");
    let read = if has("versionId") { "s3:GetObjectVersion" } else { "s3:GetObject" };
    let mut asked = plain(Protocol::S3, Ask::new(read, object(key)));
    let action = match (method.as_str(), key) {
        ("GET", "") if has("list-type") => {
            asked.asks = vec![Ask::new("s3:ListBucket", format!("arn:aws:s3:::{bucket}"))];
            return asked;
        }
        ("POST", "") if has("delete") => {
            asked.deletes = elements(&String::from_utf8_lossy(body), "Key");
            asked.asks = asked.deletes.iter().map(|key| Ask::new("s3:DeleteObject", object(key))).collect();
            return asked;
        }
        (_, "") => panic!("it is not known what {method} {uri} asks for"),
        ("GET", _) if has("uploadId") => "s3:ListMultipartUploadParts",
        ("GET" | "HEAD", _) => {
            asked.looks_in = Some(bucket.to_owned());
            return asked;
        }
        ("PUT", _) | ("POST", _) if has("uploadId") || has("uploads") || method == Method::PUT => "s3:PutObject",
        ("DELETE", _) if has("uploadId") => "s3:AbortMultipartUpload",
        ("DELETE", _) if has("versionId") => "s3:DeleteObjectVersion",
        ("DELETE", _) => "s3:DeleteObject",
        _ => panic!("it is not known what {method} {uri} asks for"),
    };
    asked.asks = vec![Ask::new(action, object(key))];
    if !copy_source.is_empty() {
        let source = http::decoded(copy_source);
        asked.asks.push(Ask::new("s3:GetObject", format!("arn:aws:s3:::{}", source.trim_start_matches('/'))));
    }
    asked
}

fn form(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let decoded = |text: &str| http::decoded(&text.replace('+', " "));
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

fn elements(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let inner =
        |part: &str| part.split_once(&close).map(|(text, _)| text.replace("&quot;", "\"").replace("&amp;", "&"));
    xml.split(&open).skip(1).filter_map(inner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(method: Method, uri: &str, source: &str, body: &str) -> Vec<String> {
        let mut headers = HeaderMap::new();
        if !source.is_empty() {
            headers.insert("x-amz-copy-source", source.parse().expect("a header's value"));
        }
        let asked = asked(&method, &uri.parse().expect("a URI"), &headers, body.as_bytes());
        asked.asks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn operations_of_s3_ask_for_what_aws_says() {
        let on = |action: &str, rest: &str| vec![format!("{action} on arn:aws:s3:::{rest}")];
        assert_eq!(s3(Method::HEAD, "/b/a%20b", "", ""), on("s3:GetObject", "b/a b"));
        assert_eq!(s3(Method::HEAD, "/b/a?versionId=1", "", ""), on("s3:GetObjectVersion", "b/a"));
        assert_eq!(s3(Method::GET, "/b/a?versionId=1&x-id=GetObject", "", ""), on("s3:GetObjectVersion", "b/a"));
        assert_eq!(s3(Method::GET, "/b?list-type=2&prefix=a%2F", "", ""), on("s3:ListBucket", "b"));
        assert_eq!(s3(Method::GET, "/b/?list-type=2", "", ""), on("s3:ListBucket", "b"));
        assert_eq!(s3(Method::POST, "/b/a?uploads", "", ""), on("s3:PutObject", "b/a"));
        assert_eq!(s3(Method::POST, "/b/a?uploadId=1", "", ""), on("s3:PutObject", "b/a"));
        assert_eq!(s3(Method::PUT, "/b/a?partNumber=1&uploadId=1", "", ""), on("s3:PutObject", "b/a"));
        assert_eq!(s3(Method::DELETE, "/b/a?uploadId=1", "", ""), on("s3:AbortMultipartUpload", "b/a"));
        assert_eq!(s3(Method::DELETE, "/b/a", "", ""), on("s3:DeleteObject", "b/a"));
        let copied = s3(Method::PUT, "/b/a", "c/d%20e", "");
        assert_eq!(copied, ["s3:PutObject on arn:aws:s3:::b/a", "s3:GetObject on arn:aws:s3:::c/d e"]);
        let body = "<Delete><Object><Key>x</Key></Object><Object><Key>y&amp;z</Key></Object></Delete>";
        let deleted = s3(Method::POST, "/b/?delete", "", body);
        assert_eq!(deleted, ["s3:DeleteObject on arn:aws:s3:::b/x", "s3:DeleteObject on arn:aws:s3:::b/y&z"]);
    }

    #[test]
    fn other_services_are_asked_by_their_own_protocol() {
        let queue = of_json("SendMessage", &serde_json::json!({"QueueUrl": "http://x/1/events"}));
        assert_eq!(queue.asks, [Ask::new("sqs:SendMessage", "arn:aws:sqs:us-east-1:123456789012:events")]);
        let topic = of_query(&form("Action=Publish&TopicArn=arn%3Aaws%3Asns%3A%3A%3At"));
        assert_eq!(topic.asks, [Ask::new("sns:Publish", "arn:aws:sns:::t")]);
    }
}
