use chrono::{DateTime, Utc};
use object_store::{ObjectMeta, path::Path};
use serde_json::{Value, json};
use stepwell_pipeline::{
    StageError,
    request::RunRequest,
    run::short_hash,
    store::{self, ObjectRef},
};

use crate::Ports;

/// A marker as it is listed. Its name says how many bytes the object has, so that batches can be measured without reading
/// markers.
#[derive(Debug)]
pub(super) struct Marker {
    pub(super) path: Path,
    /// The object's size.
    pub(super) bytes: u64,
    /// When the marker was written last.
    pub(super) since: DateTime<Utc>,
}

impl Marker {
    pub(super) fn of(meta: ObjectMeta) -> Self {
        let name = meta.location.filename().and_then(|name| name.strip_suffix(".json"));
        let bytes = name.and_then(|name| name.rsplit_once('-')?.1.parse().ok()).unwrap_or(0);
        Self { path: meta.location, bytes, since: meta.last_modified }
    }
}

/// A marker to be written.
pub(super) struct NewMarker {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// What the event tells.
    pub(super) request: RunRequest,
}

/// The marker of an upload: the same for every delivery of its event, another for every other upload. Nothing where the
/// event says too little and the object is gone.
pub(super) async fn of(ports: &Ports, request: &RunRequest) -> Result<Option<NewMarker>, StageError> {
    let object = ObjectRef::new(&request.bucket, &request.key);
    // A key that cannot be addressed must not get among those that wait.
    store::path(&object.key)?;
    let mut request = request.clone();
    let told = request.sequencer.clone().or_else(|| request.version.clone());
    let (bytes, upload) = match (request.size, told) {
        (Some(bytes), Some(upload)) => (bytes, upload),
        _ => {
            let Some(meta) = store::head(&*ports.context.stores, &object).await? else { return Ok(None) };
            let modified = meta.last_modified.timestamp_millis().to_string();
            (request.version, request.etag) = (meta.version, meta.e_tag);
            (meta.size, request.sequencer.clone().unwrap_or(modified))
        }
    };
    request.size = Some(bytes);
    let pinned = request.version.as_deref().or(request.etag.as_deref()).unwrap_or_default();
    let hash = short_hash(&[&object.bucket, &object.key, pinned, &upload]);
    Ok(Some(NewMarker { name: format!("{hash}-{bytes}.json"), bytes, request }))
}

/// The upload as an event, to be sent again.
pub(super) fn event(request: &RunRequest) -> Value {
    json!({
        "detail-type": "Object Created",
        "detail": {
            "bucket": { "name": request.bucket },
            "object": {
                "key": request.key,
                "size": request.size,
                "etag": request.etag,
                "version-id": request.version,
                "sequencer": request.sequencer,
            },
        },
    })
}
