use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use stepwell_pipeline::{
    ErrorKind, StageError, order,
    queue::DeathCause,
    request::RunRequest,
    run::{Source, short_hash},
    store::{self, ObjectRef},
};
use tracing::{error, info};

use super::{
    GATHERING_PREFIX,
    marker::{self, Marker},
};
use crate::{
    Ports,
    batches::{Batch, IN_FLIGHT, is_same, pinned},
};

/// Cuts the batches of one pipeline.
pub(super) struct Cutter<'a> {
    ports: &'a Ports,
    pipeline: &'a str,
}

/// In which batch an object is, for good.
#[derive(Serialize, Deserialize)]
struct Membership {
    batch: u64,
}

/// How many batches are finished: listed, run, and their members recorded.
#[derive(Default, Serialize, Deserialize)]
struct Finished {
    batches: u64,
}

/// What the markers tell of some objects.
type Told = BTreeMap<ObjectRef, Vec<RunRequest>>;

impl<'a> Cutter<'a> {
    pub(super) fn new(ports: &'a Ports, pipeline: &'a str) -> Self {
        Self { ports, pipeline }
    }

    /// Brings what some markers tell into batches, and removes the markers.
    pub(super) async fn take(&self, markers: &[Marker]) -> Result<(), StageError> {
        let told = self.read(markers).await?;
        for (batch, told) in self.cut(told).await? {
            self.revise(batch, told).await?;
        }
        let paths = markers.iter().map(|marker| marker.path.clone()).collect();
        let work = &self.ports.context.buckets.work;
        store::delete_all(&*self.ports.context.stores, work, paths, "cannot remove a marker").await
    }

    /// Reads markers; those that another cutter removed are left out.
    async fn read(&self, markers: &[Marker]) -> Result<Told, StageError> {
        let reads: Vec<_> =
            markers.iter().map(|marker| self.get::<RunRequest>(self.object(marker.path.to_string()))).collect();
        let read: Vec<_> = stream::iter(reads).buffer_unordered(IN_FLIGHT).try_collect().await?;
        let mut told = Told::new();
        for request in read.into_iter().flatten() {
            told.entry(ObjectRef::new(&request.bucket, &request.key)).or_default().push(request);
        }
        Ok(told)
    }

    /// Makes a batch of those objects that are in none. Gives the others by their batch.
    async fn cut(&self, mut told: Told) -> Result<BTreeMap<u64, Told>, StageError> {
        loop {
            // Before the members are looked up: every batch up to this one has recorded its own.
            let number = self.finished().await? + 1;
            let (new, known) = self.by_batch(told).await?;
            let members = self.pin(&new).await?;
            if members.is_empty() {
                return Ok(known);
            }
            let (files, bytes) = (members.len(), members.iter().map(|member| member.size).sum::<u64>());
            let cut = self.batch(number).write(members, None).await?;
            self.finish(number).await?;
            if cut {
                info!(pipeline = self.pipeline, batch = number, files, bytes, "batch cut");
                return Ok(known);
            }
            // Somebody else cut this number, perhaps of the same objects.
            told = known.into_values().flatten().chain(new).collect();
        }
    }

    /// Parts the objects that are in no batch from those that are in one.
    async fn by_batch(&self, told: Told) -> Result<(Told, BTreeMap<u64, Told>), StageError> {
        let look = async |(object, requests)| {
            let membership: Option<Membership> = self.get(self.membership(&object)).await?;
            Ok::<_, StageError>((membership, object, requests))
        };
        let looks: Vec<_> = told.into_iter().map(look).collect();
        let looked: Vec<_> = stream::iter(looks).buffer_unordered(IN_FLIGHT).try_collect().await?;
        let mut new = Told::new();
        let mut known: BTreeMap<u64, Told> = BTreeMap::new();
        for (membership, object, requests) in looked {
            let told = membership.map_or(&mut new, |membership| known.entry(membership.batch).or_default());
            told.insert(object, requests);
        }
        Ok((new, known))
    }

    /// Runs a batch that is listed, and records its members; then it counts as finished.
    async fn finish(&self, number: u64) -> Result<(), StageError> {
        let batch = self.batch(number);
        let listed = batch.listed().await?.ok_or_else(|| batch.gone())?;
        batch.start(&listed).await?;
        let membership = store::json_bytes(&Membership { batch: number })?;
        let record = |member: &Source| self.put(self.membership(&object_of(member)), membership.clone());
        let records: Vec<_> = listed.list.members.iter().map(record).collect();
        stream::iter(records).buffer_unordered(IN_FLIGHT).try_collect::<()>().await?;
        self.count(number).await
    }

    /// Brings the objects as they are now into the batch that they are in already, and runs it.
    async fn revise(&self, number: u64, told: Told) -> Result<(), StageError> {
        let batch = self.batch(number);
        loop {
            // Before the objects are looked at, so that what is listed is never older than what another cutter listed.
            let listed = batch.listed().await?.ok_or_else(|| batch.gone())?;
            let mut members: BTreeMap<ObjectRef, Source> =
                listed.list.members.iter().map(|member| (object_of(member), member.clone())).collect();
            let mut news = self.pin(&told).await?;
            news.retain(|source| !members.get(&object_of(source)).is_some_and(|member| is_same(member, source)));
            if news.is_empty() {
                // Whoever listed it may have died before its run was started.
                batch.start(&listed).await?;
                return Ok(());
            }
            let files = news.len();
            members.extend(news.into_iter().map(|source| (object_of(&source), source)));
            if batch.write(members.into_values().collect(), Some(&listed)).await? {
                info!(pipeline = self.pipeline, batch = number, files, "batch listed anew, with newer versions");
                batch.start_current().await?;
                return Ok(());
            }
        }
    }

    /// The objects as they are now; those that are gone are left out.
    ///
    /// An event only says that there is something new at a key. What it is by now, the store says: so events may come late
    /// and in any order.
    async fn pin(&self, told: &Told) -> Result<Vec<Source>, StageError> {
        let pins: Vec<_> = told.iter().map(|(object, requests)| self.pin_one(object, requests)).collect();
        let pinned: Vec<_> = stream::iter(pins).buffer_unordered(IN_FLIGHT).try_collect().await?;
        Ok(pinned.into_iter().flatten().collect())
    }

    async fn pin_one(&self, object: &ObjectRef, requests: &[RunRequest]) -> Result<Option<Source>, StageError> {
        let looked = match store::head(&*self.ports.context.stores, object).await {
            Ok(Some(meta)) => pinned(object, meta),
            Ok(None) => {
                info!(pipeline = self.pipeline, %object, "object is gone again, and is left out");
                return Ok(None);
            }
            Err(error) => Err(error),
        };
        match looked {
            Ok(source) if source.size == 0 => {
                info!(pipeline = self.pipeline, %object, "object is empty, and is left out");
                Ok(None)
            }
            Ok(source) => Ok(Some(Source { sequencer: sequencer(&source, requests), ..source })),
            Err(error) if error.kind().is_transient() => Err(error),
            // One object that cannot be looked at must not hold up the others.
            Err(error) => {
                self.bury(requests, &error).await?;
                Ok(None)
            }
        }
    }

    async fn bury(&self, requests: &[RunRequest], error: &StageError) -> Result<(), StageError> {
        let (name, report) = (error.kind().name(), error.report());
        error!(pipeline = self.pipeline, error_name = name, error = report, "object cannot be gathered");
        let cause = DeathCause { error: name.to_owned(), message: report, pipeline: Some(self.pipeline.to_owned()) };
        for request in requests {
            self.ports.queue.bury(&marker::event(request).to_string(), &cause).await?;
        }
        Ok(())
    }

    /// How many batches are finished.
    async fn finished(&self) -> Result<u64, StageError> {
        Ok(self.get::<Finished>(self.counter()).await?.unwrap_or_default().batches)
    }

    /// Counts a batch as finished.
    async fn count(&self, number: u64) -> Result<(), StageError> {
        let stores = &*self.ports.context.stores;
        loop {
            let seen = store::get(stores, &self.counter()).await?;
            let finished: Finished = seen
                .as_ref()
                .map(|(bytes, _)| serde_json::from_slice(bytes))
                .transpose()
                .map_err(|error| {
                    let message = format!("{} is not what Stepwell wrote there", self.counter());
                    StageError::with_source(ErrorKind::Internal, message, error)
                })?
                .unwrap_or_default();
            if finished.batches >= number {
                return Ok(());
            }
            let next = store::json_bytes(&Finished { batches: number })?;
            let etag = seen.and_then(|(_, meta)| meta.e_tag);
            if store::put_if(stores, &self.counter(), next, etag).await? {
                return Ok(());
            }
        }
    }

    fn batch(&self, number: u64) -> Batch<'a> {
        Batch::new(self.ports, self.pipeline, &format!("{number:010}"))
    }

    fn membership(&self, object: &ObjectRef) -> ObjectRef {
        let hash = short_hash(&[&object.bucket, &object.key]);
        self.object(format!("{GATHERING_PREFIX}{}/members/{hash}.json", self.pipeline))
    }

    fn counter(&self) -> ObjectRef {
        self.object(format!("{GATHERING_PREFIX}{}/finished.json", self.pipeline))
    }

    fn object(&self, key: String) -> ObjectRef {
        ObjectRef::new(&self.ports.context.buckets.work, key)
    }

    async fn get<T: DeserializeOwned>(&self, object: ObjectRef) -> Result<Option<T>, StageError> {
        store::get_json(&*self.ports.context.stores, &object).await
    }

    async fn put(&self, object: ObjectRef, bytes: Bytes) -> Result<(), StageError> {
        store::put(&*self.ports.context.stores, &object, bytes).await
    }
}

fn object_of(source: &Source) -> ObjectRef {
    ObjectRef::new(&source.bucket, &source.key)
}

/// The sequencer of the newest event that tells of exactly this version.
fn sequencer(source: &Source, requests: &[RunRequest]) -> Option<String> {
    let tells = |request: &&RunRequest| match (&request.version, &source.version) {
        (Some(told), Some(found)) => told == found,
        _ => request.etag.as_deref().is_none_or(|etag| etag.trim_matches('"') == source.etag),
    };
    let told = requests.iter().filter(tells).filter(|request| request.sequencer.is_some());
    let told = told.map(|request| Source { sequencer: request.sequencer.clone(), ..source.clone() });
    told.max_by(order::compare)?.sequencer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequencer_is_that_of_the_newest_event_of_exactly_this_version() {
        let event = |version: Option<&str>, etag: Option<&str>, sequencer: Option<&str>| RunRequest {
            version: version.map(str::to_owned),
            etag: etag.map(str::to_owned),
            sequencer: sequencer.map(str::to_owned),
            ..RunRequest::default()
        };
        let tag = Some("tag");
        for (version, events, expected) in [
            // The same bytes uploaded twice have one entity tag and two versions.
            (Some("v2"), vec![event(Some("v2"), tag, Some("02")), event(Some("v3"), tag, Some("03"))], Some("02")),
            (Some("v2"), vec![event(Some("v2"), Some("another"), Some("02"))], Some("02")),
            (Some("v2"), vec![event(Some("v1"), tag, Some("01"))], None),
            (Some("v2"), vec![event(None, tag, Some("02"))], Some("02")),
            (None, vec![event(None, Some("\"tag\""), Some("01")), event(None, tag, Some("02"))], Some("02")),
            (None, vec![event(None, Some("another"), Some("09")), event(None, None, Some("01"))], Some("01")),
            (None, vec![event(None, tag, None)], None),
        ] {
            let source = Source {
                bucket: "landing".into(),
                key: "in/a.csv".into(),
                version: version.map(str::to_owned),
                etag: "tag".into(),
                size: 1,
                modified_ms: 0,
                sequencer: None,
            };
            assert_eq!(sequencer(&source, &events).as_deref(), expected, "{version:?} {events:?}");
        }
    }
}
