use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;
use stepwell_pipeline::{ErrorKind, StageError, handoff, request::RunRequest};
use tracing::info;

/// An S3 notification (S3 User Guide, "Event message structure"). Of `eventVersion` 2.x; fields that later minor
/// versions add are ignored.
#[derive(Deserialize)]
struct Notification {
    #[serde(rename = "Records")]
    records: Vec<NotificationRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NotificationRecord {
    event_name: String,
    s3: Option<NotificationS3>,
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

/// An event of EventBridge (S3 User Guide, "EventBridge event message structure").
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct BridgeEvent {
    detail_type: String,
    detail: Value,
}

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

/// The objects that an S3 notification (`Records`) or an S3 event of EventBridge (`detail`) says were created; nothing
/// for an event of another shape.
///
/// S3's test event, other kinds of events and folder markers are left out, with a line in the log.
pub(crate) fn uploads(event: &Value) -> Result<Option<Vec<RunRequest>>, StageError> {
    let requests = if event.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        info!("test event ignored");
        Vec::new()
    } else if event.get("Records").is_some() {
        from_notification(handoff::parse(event)?)?
    } else if event.get("detail").is_some() {
        from_bridge(handoff::parse(event)?)?.into_iter().collect()
    } else {
        return Ok(None);
    };
    Ok(Some(requests.into_iter().filter(is_file).collect()))
}

fn from_notification(notification: Notification) -> Result<Vec<RunRequest>, StageError> {
    let mut requests = Vec::new();
    for record in notification.records {
        let created = record.event_name.strip_prefix("s3:").unwrap_or(&record.event_name).starts_with("ObjectCreated:");
        if !created {
            info!(event_name = record.event_name, "event ignored, since it creates no object");
            continue;
        }
        let Some(s3) = record.s3 else {
            return Err(StageError::new(ErrorKind::InvalidInput, "a record of the notification has no `s3`"));
        };
        requests.push(RunRequest {
            key: form_decoded(&s3.object.key)?,
            bucket: s3.bucket.name,
            version: s3.object.version_id,
            etag: s3.object.e_tag,
            size: s3.object.size,
            sequencer: s3.object.sequencer,
            pipeline: None,
            reason: Some(record.event_name),
        });
    }
    Ok(requests)
}

fn from_bridge(event: BridgeEvent) -> Result<Option<RunRequest>, StageError> {
    if event.detail_type != "Object Created" {
        info!(detail_type = event.detail_type, "event ignored, since it creates no object");
        return Ok(None);
    }
    let detail: BridgeDetail = handoff::parse(&event.detail)?;
    Ok(Some(RunRequest {
        bucket: detail.bucket.name,
        key: detail.object.key,
        version: detail.object.version_id,
        etag: detail.object.etag,
        size: detail.object.size,
        sequencer: detail.object.sequencer,
        pipeline: None,
        reason: Some(detail.reason.unwrap_or(event.detail_type)),
    }))
}

fn is_file(request: &RunRequest) -> bool {
    let folder = request.key.ends_with('/');
    if folder {
        info!(bucket = request.bucket, key = request.key, "object ignored, since it is a folder marker");
    }
    !folder
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
}
