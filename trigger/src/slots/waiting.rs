//! Requests that wait for a slot: one object each, whose keys sort by the time of asking.
//!
//! The same request may wait twice, when its message came twice: whoever comes second finds the execution running or
//! ended.

use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use stepwell_pipeline::{
    StageError,
    request::RunRequest,
    store::{self, ObjectRef},
};

use super::document::{Slots, now_ms};
use crate::Ports;

/// Where requests wait in the work bucket: `waiting/<milliseconds since 1970>-<execution name>.json`.
const PREFIX: &str = "waiting/";

/// An execution that is to be started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// Its name.
    pub(crate) name: String,
    /// Its input.
    pub(crate) request: RunRequest,
}

/// Where a request waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    /// When it was written down, in milliseconds since 1970.
    pub(super) asked_ms: u64,
    /// The execution's name.
    pub(super) name: String,
}

impl Ticket {
    fn object(&self, ports: &Ports) -> ObjectRef {
        let key = format!("{PREFIX}{:013}-{}.json", self.asked_ms, self.name);
        ObjectRef::new(&ports.context.buckets.work, key)
    }

    fn of_key(key: &str) -> Option<Self> {
        let (asked_ms, name) = key.strip_prefix(PREFIX)?.strip_suffix(".json")?.split_once('-')?;
        Some(Self { asked_ms: asked_ms.parse().ok()?, name: name.to_owned() })
    }
}

/// Writes a request down.
pub(super) async fn keep(ports: &Ports, waiting: &Waiting) -> Result<Ticket, StageError> {
    let ticket = Ticket { asked_ms: now_ms(ports), name: waiting.name.clone() };
    store::put_json(&*ports.context.stores, &ticket.object(ports), waiting).await?;
    Ok(ticket)
}

/// A request, unless it is gone.
pub(super) async fn read(ports: &Ports, ticket: &Ticket) -> Result<Option<Waiting>, StageError> {
    store::get_json(&*ports.context.stores, &ticket.object(ports)).await
}

/// Removes a request.
pub(super) async fn forget(ports: &Ports, ticket: &Ticket) -> Result<(), StageError> {
    store::delete(&*ports.context.stores, &ticket.object(ports)).await
}

/// Those that wait longest and hold no slot, `most` of them; in the order of the store's lists, which on S3 is that of
/// the keys.
pub(super) async fn longest(ports: &Ports, slots: &Slots, most: usize) -> Result<Vec<Ticket>, StageError> {
    let bucket = ports.context.stores.bucket(&ports.context.buckets.work)?;
    let prefix = store::path(PREFIX)?;
    let mut listed = bucket.list(Some(&prefix));
    let mut tickets: Vec<Ticket> = Vec::new();
    while tickets.len() < most {
        let listing = |error| store::classify(error, "cannot list the requests that wait");
        let Some(meta) = listed.try_next().await.map_err(listing)? else { break };
        let Some(ticket) = Ticket::of_key(meta.location.as_ref()) else { continue };
        let is_known =
            slots.running.contains_key(&ticket.name) || tickets.iter().any(|other| other.name == ticket.name);
        if !is_known {
            tickets.push(ticket);
        }
    }
    Ok(tickets)
}
