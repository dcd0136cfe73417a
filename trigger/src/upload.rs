use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;
use stepwell_pipeline::{ErrorKind, StageError, handoff, request::RunRequest};
use tracing::info;

use crate::pathway::unknown_shape;

/// A record of an S3 notification (S3 User Guide, "Event message structure"). Of `eventVersion` 2.x; fields that later
/// minor versions add are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NotificationRecord {
    event_name: String,
    s3: NotificationS3,
}

#[derive(Deserialize)]
struct NotificationS3 {
    bucket: Bucket,
    object: NotificationObject,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NotificationObject {
    /// Form-encoded.
    key: String,
    size: Option<u64>,
    e_tag: Option<String>,
    version_id: Option<String>,
    sequencer: Option<String>,
}

/// The detail of an event of EventBridge (S3 User Guide, "EventBridge event message structure").
#[derive(Deserialize)]
struct BridgeDetail {
    bucket: Bucket,
    object: BridgeObject,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct BridgeObject {
    /// As it is.
    key: String,
    size: Option<u64>,
    etag: Option<String>,
    version_id: Option<String>,
    sequencer: Option<String>,
}

/// The objects that an S3 notification (`Records`) or an S3 event of EventBridge (`detail`) says were created, or for
/// each record why that cannot be told; nothing for an event of another shape.
///
/// S3's test event, other kinds of events, folder markers and empty objects are left out, with a line in the log.
pub(crate) fn uploads(event: &Value) -> Option<Vec<Result<RunRequest, StageError>>> {
    if event.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        info!("test event ignored");
        return Some(Vec::new());
    }
    let requests: Vec<_> = if let Some(records) = event.get("Records").and_then(Value::as_array) {
        records.iter().filter_map(|record| from_notification(record).transpose()).collect()
    } else {
        let kind = event.get("detail-type").and_then(Value::as_str)?;
        let detail = event.get("detail")?;
        // Other things that EventBridge tells of S3, such as calls that CloudTrail recorded, have another shape.
        if !kind.starts_with("Object ") {
            return None;
        }
        from_bridge(kind, detail).transpose().into_iter().collect()
    };
    let is_wanted = |request: &Result<RunRequest, StageError>| request.as_ref().map_or(true, is_file);
    Some(requests.into_iter().filter(is_wanted).collect())
}

fn from_notification(record: &Value) -> Result<Option<RunRequest>, StageError> {
    let name = record.get("eventName").and_then(Value::as_str).ok_or_else(unknown_shape)?;
    if record.get("s3").is_none() {
        return Err(unknown_shape());
    }
    let name = name.strip_prefix("s3:").unwrap_or(name);
    if !name.starts_with("ObjectCreated:") {
        let key = record.pointer("/s3/object/key").and_then(Value::as_str);
        info!(event_name = name, key, reason = why_ignored(name), "event ignored");
        return Ok(None);
    }
    let NotificationRecord { event_name, s3 } = handoff::parse(record)?;
    Ok(Some(RunRequest {
        key: form_decoded(&s3.object.key)?,
        bucket: s3.bucket.name,
        version: given(s3.object.version_id),
        etag: given(s3.object.e_tag),
        size: s3.object.size,
        sequencer: given(s3.object.sequencer),
        pipeline: None,
        reason: Some(event_name),
        trace_header: None,
        more: false,
    }))
}

fn from_bridge(kind: &str, detail: &Value) -> Result<Option<RunRequest>, StageError> {
    if kind != "Object Created" {
        let key = detail.pointer("/object/key").and_then(Value::as_str);
        info!(event_name = kind, key, reason = why_ignored(kind), "event ignored");
        return Ok(None);
    }
    let detail: BridgeDetail = handoff::parse(detail)?;
    Ok(Some(RunRequest {
        bucket: detail.bucket.name,
        key: detail.object.key,
        version: given(detail.object.version_id),
        etag: given(detail.object.etag),
        size: detail.object.size,
        sequencer: given(detail.object.sequencer),
        pipeline: None,
        reason: Some(detail.reason.unwrap_or_else(|| kind.to_owned())),
        trace_header: None,
        more: false,
    }))
}

/// An empty text stands for nothing with some of S3's imitations.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// Why an event starts nothing, by its name (S3 User Guide, "Event notification types and destinations") or its
/// `detail-type`.
fn why_ignored(name: &str) -> &'static str {
    let is_any = |beginnings: &[&str]| beginnings.iter().any(|beginning| name.starts_with(beginning));
    if is_any(&["ObjectRemoved:", "LifecycleExpiration:", "Object Deleted"]) {
        "the object was deleted; what was loaded of it stays"
    } else if is_any(&["ObjectRestore:", "Object Restore"]) {
        "the object came back from an archive as it was; it was loaded when it was created"
    } else {
        "it creates no object"
    }
}

fn is_file(request: &RunRequest) -> bool {
    let reason = if request.key.ends_with('/') {
        "it is a folder marker"
    } else if request.size == Some(0) {
        "it is empty"
    } else {
        return true;
    };
    info!(bucket = request.bucket, key = request.key, reason, "object ignored");
    false
}

/// The key of a notification: a space stands as `+`, and UTF-8 as percent escapes.
fn form_decoded(key: &str) -> Result<String, StageError> {
    let spaced = key.replace('+', " ");
    match percent_decode_str(&spaced).decode_utf8() {
        Ok(key) => Ok(key.into_owned()),
        Err(error) => {
            Err(StageError::with_source(ErrorKind::InvalidInput, format!("the key {key:?} is not UTF-8"), error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_notifications_are_form_encoded() {
        for (encoded, key) in [
            ("in/red+flower.jpg", "in/red flower.jpg"),
            ("in/a%2Bb.csv", "in/a+b.csv"),
            ("in/%C3%BCber.csv", "in/über.csv"),
            ("in/100%25.csv", "in/100%.csv"),
            ("in/a%2520b.csv", "in/a%20b.csv"),
            ("in/year%3D2013/a.csv", "in/year=2013/a.csv"),
        ] {
            assert_eq!(form_decoded(encoded).expect("UTF-8"), key);
        }
        assert_eq!(form_decoded("in/%FF").expect_err("no UTF-8").kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn an_event_that_starts_nothing_says_why() {
        for (name, words) in [
            ("ObjectRemoved:DeleteMarkerCreated", "the object was deleted"),
            ("LifecycleExpiration:Delete", "the object was deleted"),
            ("Object Deleted", "the object was deleted"),
            ("ObjectRestore:Completed", "the object came back from an archive"),
            ("Object Restore Completed", "the object came back from an archive"),
            ("ObjectTagging:Put", "it creates no object"),
            ("Object Tags Added", "it creates no object"),
        ] {
            assert!(why_ignored(name).starts_with(words), "{name}");
        }
    }
}
