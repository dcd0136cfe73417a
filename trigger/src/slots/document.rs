//! Who holds a slot: one document, changed by conditional writes.

use std::{collections::BTreeMap, time::SystemTime};

use serde::{Deserialize, Serialize};
use stepwell_pipeline::{
    ErrorKind, StageError,
    store::{self, ObjectRef},
};

use super::waiting::Ticket;
use crate::Ports;

/// The document's key in the work bucket.
const KEY: &str = "slots.json";

/// The executions that hold slots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Slots {
    /// By the execution's name.
    pub(super) running: BTreeMap<String, Slot>,
}

/// A slot that is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Slot {
    /// When the request was written down, in milliseconds since 1970; part of its key.
    pub(super) asked_ms: u64,
    /// When the slot was taken, in milliseconds since 1970.
    pub(super) since_ms: u64,
}

impl Slots {
    /// Gives a slot to a request.
    pub(super) fn take(&mut self, ports: &Ports, ticket: &Ticket) {
        let slot = Slot { asked_ms: ticket.asked_ms, since_ms: now_ms(ports) };
        self.running.insert(ticket.name.clone(), slot);
    }
}

/// The time of day in milliseconds since 1970.
pub(super) fn now_ms(ports: &Ports) -> u64 {
    let now = (ports.context.now)().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn document(ports: &Ports) -> ObjectRef {
    ObjectRef::new(&ports.context.buckets.work, KEY)
}

/// The slots, and the entity tag of the document where there is one.
pub(super) async fn read(ports: &Ports) -> Result<(Slots, Option<String>), StageError> {
    let document = document(ports);
    let Some((bytes, meta)) = store::get(&*ports.context.stores, &document).await? else {
        return Ok((Slots::default(), None));
    };
    let slots = serde_json::from_slice(&bytes).map_err(|error| {
        StageError::with_source(ErrorKind::Internal, format!("{document} is not what Stepwell wrote there"), error)
    })?;
    Ok((slots, meta.e_tag))
}

/// Writes the slots unless somebody changed them since they were seen. Gives whether they are known to be written.
pub(super) async fn write(ports: &Ports, slots: &Slots, seen: Option<String>) -> Result<bool, StageError> {
    let bytes = store::json_bytes(slots)?;
    match store::put_if(&*ports.context.stores, &document(ports), bytes, seen).await {
        // Two conditional writes at once make one of them fail like this (S3 User Guide, "How to prevent object
        // overwrites with conditional writes", 409); what became of it shows at the next look.
        Err(error) if error.kind() == ErrorKind::StoreUnavailable => Ok(false),
        written => written,
    }
}

/// The error for slots that others kept changing.
pub(super) fn contended(attempts: usize) -> StageError {
    StageError::new(ErrorKind::StoreUnavailable, format!("{KEY} could not be changed in {attempts} attempts"))
}
