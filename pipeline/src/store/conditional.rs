use bytes::Bytes;
use object_store::{PutMode, PutOptions, PutPayload, UpdateVersion};

use super::{ObjectRef, Stores, classify, path};
use crate::StageError;

/// Writes an object only if it is still as seen: absent for `None`, of that entity tag for `Some`.
/// Returns whether it was written.
///
/// # Errors
/// As [`classify`] says, but for a condition that did not hold.
pub async fn put_if(
    stores: &dyn Stores,
    object: &ObjectRef,
    bytes: Bytes,
    seen_etag: Option<String>,
) -> Result<bool, StageError> {
    let mode = match seen_etag {
        None => PutMode::Create,
        Some(etag) => PutMode::Update(UpdateVersion { e_tag: Some(etag), version: None }),
    };
    let options = PutOptions { mode, ..PutOptions::default() };
    let bucket = stores.bucket(&object.bucket)?;
    match bucket.put_opts(&path(&object.key)?, PutPayload::from_bytes(bytes), options).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(false),
        Err(error) => Err(classify(error, &format!("cannot write {object}"))),
    }
}
