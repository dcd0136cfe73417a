//! Records of a Kinesis stream: those that are delivered together become one object of their shard.
//!
//! What is delivered again need not be cut as before, and a process that was given up may still write. So the objects of a
//! shard form a chain: each is named by the sequence number after which it begins, is written only if no object of that
//! name exists, and says in its metadata where it ends. Whoever finds the next link written goes on behind it. A
//! document in the work bucket says how far the chain goes; should it lag behind, the chain is followed.

use base64::{Engine, prelude::BASE64_STANDARD};
use object_store::{Attribute, Attributes, GetOptions, ObjectStore, PutMode, PutOptions, PutPayload, path::Path};
use serde::{Deserialize, Serialize};
use serde_json::json;
use stepwell_pipeline::{
    ErrorKind, StageError,
    store::{self, ObjectRef},
};
use tracing::{info, warn};

use super::{dead, dead::Dead, lines::lines, segment};
use crate::Ports;

/// Digits of the names of objects, so that they sort as the sequence numbers do, which have 56 (Kinesis Data Streams
/// Developer Guide, "Sequence number").
const SEQUENCE_DIGITS: usize = 64;
/// Where records become objects in the landing bucket, and where it is kept in the work bucket how far a shard got.
const PREFIX: &str = "streams";
/// The metadata that says where an object ends.
const LAST: &str = "last-sequence";

/// One record of a Kinesis stream, as Lambda delivers it (Lambda Developer Guide, "Using Lambda with Kinesis").
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    kinesis: Payload,
    /// The shard and the sequence number: `shardId-000000000006:49590338271490256608559692538361571095921575989136588898`.
    #[serde(rename = "eventID")]
    event_id: String,
    /// The stream's ARN, or that of a consumer of it.
    #[serde(rename = "eventSourceARN")]
    source_arn: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    sequence_number: String,
    #[serde(default)]
    partition_key: String,
    /// In base64.
    data: String,
}

impl Record {
    pub(super) fn sequence_number(&self) -> &str {
        &self.kinesis.sequence_number
    }

    pub(super) fn is_of_same_shard(&self, other: &Self) -> bool {
        self.shard() == other.shard() && self.source_arn == other.source_arn
    }

    fn shard(&self) -> &str {
        self.event_id.split(':').next().unwrap_or_default()
    }

    /// The sequence number in so many digits that it compares as text.
    fn sequence(&self) -> Result<String, StageError> {
        let number = self.sequence_number();
        if (1..=SEQUENCE_DIGITS).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(format!("{number:0>SEQUENCE_DIGITS$}"));
        }
        Err(StageError::new(ErrorKind::InvalidInput, format!("{number:?} is no sequence number")))
    }

    fn data(&self) -> Result<Vec<u8>, String> {
        BASE64_STANDARD.decode(&self.kinesis.data).map_err(|error| format!("it is not base64: {error}"))
    }
}

/// How far a shard got: `streams/<stream>/<shard>.json` in the work bucket.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Checkpoint {
    stream_arn: String,
    /// The last sequence number that the shard's objects cover.
    last_sequence: String,
}

/// A shard of a stream.
pub(super) struct Shard {
    stream_arn: String,
    stream: String,
    shard: String,
}

/// A record that was looked at.
struct Gathered {
    sequence: String,
    /// Its lines; none of one that is among the dead letters.
    lines: Vec<u8>,
}

impl Shard {
    /// The shard of a record.
    pub(super) fn of(record: &Record) -> Result<Self, StageError> {
        let wrong = || StageError::new(ErrorKind::InvalidInput, format!("{:?} is no stream", record.source_arn));
        // A consumer's ARN goes on behind the stream's: `…:stream/orders/consumer/app:1545084650`.
        let (account, path) = record.source_arn.split_once(":stream/").ok_or_else(wrong)?;
        let stream = path.split('/').next().filter(|stream| !stream.is_empty()).ok_or_else(wrong)?;
        let stream_arn = format!("{account}:stream/{stream}");
        Ok(Self { stream_arn, stream: stream.to_owned(), shard: record.shard().to_owned() })
    }

    /// What the keys of the shard begin with.
    fn stem(&self) -> String {
        format!("{PREFIX}/{}/{}", segment(&self.stream), segment(&self.shard))
    }

    /// Keeps records, which come in the order of their sequence numbers. Gives the sequence number from which on they are
    /// to come again, unless all is done.
    pub(super) async fn keep(&self, ports: &Ports, records: &[Record]) -> Option<String> {
        match self.advance(ports, records).await {
            Ok(again) => again,
            Err(error) => {
                warn!(stream = self.stream, shard = self.shard, error = error.report(), "records cannot be kept now");
                records.first().map(|record| record.sequence_number().to_owned())
            }
        }
    }

    async fn advance(&self, ports: &Ports, records: &[Record]) -> Result<Option<String>, StageError> {
        let (checkpoint, etag) = self.checkpoint(ports).await?;
        let seen = checkpoint.map_or_else(|| "0".repeat(SEQUENCE_DIGITS), |checkpoint| checkpoint.last_sequence);
        let (gathered, again) = self.gather(ports, records, &seen).await?;
        let mut rest = gathered.as_slice();
        let mut after = seen.clone();
        loop {
            rest = &rest[rest.partition_point(|record| record.sequence <= after)..];
            // Records without a line make no link, so that nothing lands that is empty.
            let (Some(last), true) = (rest.last(), rest.iter().any(|record| !record.lines.is_empty())) else { break };
            let data = rest.iter().flat_map(|record| record.lines.iter().copied()).collect();
            after = self.link(ports, &after, &last.sequence, data).await?;
        }
        if after != seen {
            self.write_checkpoint(ports, after, etag).await?;
        }
        Ok(again)
    }

    /// Looks at the records after a sequence number, and sends those to the dead letters that are no data. Gives also
    /// the number of the first that could not be sent there: from it on nothing is done.
    async fn gather(
        &self,
        ports: &Ports,
        records: &[Record],
        after: &str,
    ) -> Result<(Vec<Gathered>, Option<String>), StageError> {
        let mut gathered = Vec::new();
        for record in records {
            let sequence = record.sequence()?;
            if sequence.as_str() <= after {
                continue;
            }
            let data = record.data();
            let lines = match data.as_deref().map_err(Clone::clone).and_then(lines) {
                Ok(lines) => lines,
                Err(reason) => {
                    let origin = json!({
                        "stream": self.stream,
                        "shard": self.shard,
                        "sequence_number": record.sequence_number(),
                        "partition_key": record.kinesis.partition_key,
                    });
                    let data = data.as_deref().unwrap_or(record.kinesis.data.as_bytes());
                    let key = format!("{}/dead/{sequence}", self.stem());
                    if let Err(error) = dead::bury(ports, Dead { origin, key, data, reason }).await {
                        let report = error.report();
                        warn!(stream = self.stream, error = report, "cannot send to the dead-letter queue");
                        return Ok((gathered, Some(record.sequence_number().to_owned())));
                    }
                    Vec::new()
                }
            };
            gathered.push(Gathered { sequence, lines });
        }
        Ok((gathered, None))
    }

    /// Writes the object that begins after a sequence number, unless there is one. Gives where it ends.
    async fn link(&self, ports: &Ports, after: &str, last: &str, data: Vec<u8>) -> Result<String, StageError> {
        let object = ObjectRef::new(&ports.context.buckets.landing, format!("{}/{after}.ndjson", self.stem()));
        let bucket = ports.context.stores.bucket(&object.bucket)?;
        let path = store::path(&object.key)?;
        let attributes = Attributes::from_iter([
            (Attribute::ContentType, "application/x-ndjson".to_owned()),
            (Attribute::Metadata(LAST.into()), last.to_owned()),
        ]);
        let options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };
        match bucket.put_opts(&path, PutPayload::from(data), options).await {
            Ok(_) => {
                info!(stream = self.stream, shard = self.shard, key = object.key, "records kept");
                Ok(last.to_owned())
            }
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                end_of(&*bucket, &path, &object, after).await
            }
            Err(error) => Err(store::classify(error, &format!("cannot write {object}"))),
        }
    }

    fn document(&self, ports: &Ports) -> ObjectRef {
        ObjectRef::new(&ports.context.buckets.work, format!("{}.json", self.stem()))
    }

    async fn checkpoint(&self, ports: &Ports) -> Result<(Option<Checkpoint>, Option<String>), StageError> {
        let document = self.document(ports);
        let Some((bytes, meta)) = store::get(&*ports.context.stores, &document).await? else { return Ok((None, None)) };
        let checkpoint: Checkpoint = serde_json::from_slice(&bytes).map_err(|error| {
            StageError::with_source(ErrorKind::Internal, format!("{document} is not what Stepwell wrote there"), error)
        })?;
        if checkpoint.stream_arn != self.stream_arn {
            let message = format!(
                "{document} is of {}: two streams of one name would mix in one folder, so {} needs a deployment of its own",
                checkpoint.stream_arn, self.stream_arn
            );
            return Err(StageError::new(ErrorKind::InvalidInput, message));
        }
        Ok((Some(checkpoint), meta.e_tag))
    }

    /// Writes how far the shard got, unless somebody else did: the chain leads on from wherever they stopped.
    async fn write_checkpoint(
        &self,
        ports: &Ports,
        last_sequence: String,
        seen: Option<String>,
    ) -> Result<(), StageError> {
        let checkpoint = Checkpoint { stream_arn: self.stream_arn.clone(), last_sequence };
        let bytes = store::json_bytes(&checkpoint)?;
        store::put_if(&*ports.context.stores, &self.document(ports), bytes, seen).await.map(|_| ())
    }
}

/// Where an object of a shard ends.
async fn end_of(bucket: &dyn ObjectStore, path: &Path, object: &ObjectRef, after: &str) -> Result<String, StageError> {
    let options = GetOptions { head: true, ..GetOptions::default() };
    let found = bucket
        .get_opts(path, options)
        .await
        .map_err(|error| store::classify(error, &format!("cannot look at {object}")))?;
    let last = found.attributes.get(&Attribute::Metadata(LAST.into())).map(|last| last.as_ref().to_owned());
    last.filter(|last| last.as_str() > after).ok_or_else(|| {
        StageError::new(ErrorKind::Internal, format!("{object} is not what Stepwell wrote there: no `{LAST}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_compare_as_text_and_nothing_else_passes_for_one() {
        let sequence = |number: &str| {
            let kinesis = Payload { sequence_number: number.into(), partition_key: String::new(), data: String::new() };
            Record { kinesis, event_id: format!("shard:{number}"), source_arn: String::new() }.sequence()
        };
        let longest = "9".repeat(SEQUENCE_DIGITS);
        assert_eq!(sequence("7").expect("a number"), format!("{}7", "0".repeat(SEQUENCE_DIGITS - 1)));
        assert!(sequence("7").expect("a number") < sequence("10").expect("a number"));
        assert_eq!(sequence(&longest).expect("a number"), longest);
        for number in ["", "7a", "-7", " 7", "٧", &format!("{longest}9")] {
            let error = sequence(number).expect_err(number);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{number}");
        }
    }
}
