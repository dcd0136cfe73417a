//! What API Gateway does: a request becomes an event, and what the function gives a response.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use hyper::{HeaderMap, Response, StatusCode, http::request::Parts};
use serde_json::{Map, Value, json};

/// The event of a request (API Gateway Developer Guide, "Create AWS Lambda proxy integrations for HTTP APIs", payload
/// format version 2.0).
pub(super) fn event(parts: &Parts, body: &[u8]) -> Value {
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or_default();
    let mut parameters = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        join(&mut parameters, &name, &value);
    }
    let text = std::str::from_utf8(body).ok();
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers(&parts.headers),
        "queryStringParameters": parameters,
        "requestContext": {
            "requestId": format!("{:032x}", rand::random::<u128>()),
            "stage": "$default",
            "http": { "method": parts.method.as_str(), "path": path },
        },
        "body": text.map_or_else(|| BASE64_STANDARD.encode(body), str::to_owned),
        "isBase64Encoded": text.is_none(),
    })
}

fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let mut joined = Map::new();
    for (name, value) in headers {
        join(&mut joined, name.as_str(), &String::from_utf8_lossy(value.as_bytes()));
    }
    joined
}

/// Values of one name are joined by commas.
fn join(values: &mut Map<String, Value>, name: &str, value: &str) {
    let joined = match values.get(name).and_then(Value::as_str) {
        Some(earlier) => format!("{earlier},{value}"),
        None => value.to_owned(),
    };
    values.insert(name.to_owned(), joined.into());
}

/// The response that the function's answer stands for.
pub(super) fn response(answer: &Value) -> Option<Response<Bytes>> {
    let status = u16::try_from(answer["statusCode"].as_u64()?).ok()?;
    let mut response = Response::builder().status(StatusCode::from_u16(status).ok()?);
    for (name, value) in answer["headers"].as_object()? {
        response = response.header(name, value.as_str()?);
    }
    response.body(Bytes::from(answer["body"].as_str()?.to_owned())).ok()
}
