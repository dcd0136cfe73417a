//! The log of a stack's functions, as the engine keeps it.

use serde_json::{Value, json};

use crate::api::Endpoint;

/// The lines of a log group that are JSON: what functions wrote, without the lines of Lambda's own.
pub async fn lines(endpoint: &Endpoint, group: &str) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut token = None;
    loop {
        let mut request = json!({"logGroupName": group, "limit": 10_000});
        if let Some(token) = token.take() {
            request["nextToken"] = token;
        }
        let answer = endpoint.json("logs", "Logs_20140328.FilterLogEvents", &request).await;
        let events = answer["events"].as_array().cloned().unwrap_or_default();
        let messages = events.iter().filter_map(|event| event["message"].as_str());
        lines.extend(
            messages.filter_map(|message| serde_json::from_str::<Value>(message).ok()).filter(Value::is_object),
        );
        match answer.get("nextToken").filter(|token| token.is_string() && !events.is_empty()) {
            Some(next) => token = Some(next.clone()),
            None => return lines,
        }
    }
}
