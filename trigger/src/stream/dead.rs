//! Records that are no data, sent to the dead letters.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use stepwell_pipeline::{
    ErrorKind, StageError,
    queue::DeathCause,
    store::{self, ObjectRef},
};
use tracing::error;

use crate::Ports;

/// Up to that many bytes the dead letter holds the data itself; in base64 that stays below the 256 KiB that every
/// queue takes.
const INLINE_BYTES_MAX: usize = 128 * 1024;

/// A record that cannot be kept.
pub(super) struct Dead<'a> {
    /// Where it comes from: the dead letter's other fields.
    pub(super) origin: Value,
    /// Where in the work bucket its data go that are too long for a message.
    pub(super) key: String,
    /// What it holds.
    pub(super) data: &'a [u8],
    /// Why it cannot be kept.
    pub(super) reason: String,
}

/// Sends a record to the dead letters, with its data in base64 (`data`), or with the address of the object that holds them
/// (`data_at`).
pub(super) async fn bury(ports: &Ports, dead: Dead<'_>) -> Result<(), StageError> {
    let Dead { origin: mut body, key, data, reason } = dead;
    error!(origin = body.to_string(), reason, "record cannot be kept");
    if data.len() <= INLINE_BYTES_MAX {
        body["data"] = json!(BASE64_STANDARD.encode(data));
    } else {
        let object = ObjectRef::new(&ports.context.buckets.work, key);
        store::put(&*ports.context.stores, &object, data.to_vec()).await?;
        body["data_at"] = json!(object.to_string());
    }
    let error = ErrorKind::UnreadableSource.name().to_owned();
    ports.queue.bury(&body.to_string(), &DeathCause { error, message: reason, pipeline: None }).await
}
