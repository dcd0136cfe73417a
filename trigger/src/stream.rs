//! Records that come one by one, kept as objects in the landing bucket, which then come in as any upload does.

mod dead;
mod lines;
mod message;
mod shard;

use futures::StreamExt;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
pub(crate) use shard::Record;
use shard::Shard;
use tracing::error;

use crate::{Ports, delivery::Message};

/// How many messages are kept at the same time.
const MESSAGES_AT_ONCE: usize = 16;

/// Keeps records of a stream. Gives the sequence numbers from which on records are to come again: one of each shard that
/// has any (Lambda Developer Guide, "Configuring partial batch response with Kinesis Data Streams and Lambda").
pub(crate) async fn keep_records(ports: &Ports, records: Vec<Record>) -> Vec<String> {
    let mut again = Vec::new();
    for records in records.chunk_by(|one, other| one.is_of_same_shard(other)) {
        let kept = match records.first().map(Shard::of) {
            Some(Ok(shard)) => shard.keep(ports, records).await,
            Some(Err(error)) => {
                error!(error = error.report(), "records cannot be kept");
                records.first().map(|record| record.sequence_number().to_owned())
            }
            None => None,
        };
        again.extend(kept);
    }
    again
}

/// Keeps messages that are data. Gives the ids of those that are to come again.
pub(crate) async fn keep_messages(ports: &Ports, messages: Vec<Message>) -> Vec<String> {
    let lanes = message::lanes(messages).into_iter().map(|lane| message::keep(ports, lane));
    let again: Vec<Vec<String>> = futures::stream::iter(lanes).buffer_unordered(MESSAGES_AT_ONCE).collect().await;
    again.into_iter().flatten().collect()
}

/// What a segment of a key may hold as it is; names of streams and queues need no more.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// A name as a segment of a key: percent-encoded, so that no name reaches into another folder.
fn segment(name: &str) -> String {
    match name {
        "." | ".." => name.replace('.', "%2E"),
        name => utf8_percent_encode(name, SEGMENT).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use stepwell_pipeline::store;

    use super::*;

    #[test]
    fn every_name_makes_one_segment() {
        for (name, expected) in [
            ("orders-2.live_x", "orders-2.live_x"),
            ("..", "%2E%2E"),
            (".", "%2E"),
            ("a/../b", "a%2F..%2Fb"),
            ("ü\n", "%C3%BC%0A"),
        ] {
            assert_eq!(segment(name), expected);
            let key = format!("queues/{}/x", segment(name));
            assert_eq!(store::path(&key).expect("a key").as_ref(), key);
        }
    }
}
