use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use stepwell_pipeline::{
    ErrorKind, StageError,
    spec::{CheckedSpec, Schedule},
    store::{self, ObjectRef},
};
use tracing::info;

use crate::Ports;

/// Where the diaries are in the work bucket.
const SCHEDULES_PREFIX: &str = "schedules/";

/// So many occurrences are taken up by one tick; what was missed beyond that, the next ticks take up.
const TAKEN_UP_MAX: usize = 24;

/// The time between two ticks: a schedule that was pushed since the last begins with what is due now.
const TICK: TimeDelta = TimeDelta::minutes(1);

/// What a schedule has come to: one document for each pipeline, changed on condition.
pub(super) struct Diary<'a> {
    ports: &'a Ports,
    spec: &'a CheckedSpec,
    schedule: &'a Schedule,
    object: ObjectRef,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    /// The schedule that it is about, as written.
    cron: String,
    time_zone: String,
    /// Nothing up to this local time is the schedule's.
    #[serde(with = "local_time")]
    since: NaiveDateTime,
    /// Every occurrence up to this local time was taken up.
    #[serde(with = "local_time")]
    last: NaiveDateTime,
    /// Those that were taken up and are not done with.
    open: Vec<Open>,
}

/// An occurrence that is to be looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Open {
    #[serde(with = "local_time")]
    pub(super) occurrence: NaiveDateTime,
    /// Whether it was done with once, and is looked at again for objects that came late.
    #[serde(default)]
    pub(super) revisited: bool,
}

impl<'a> Diary<'a> {
    pub(super) fn new(ports: &'a Ports, spec: &'a CheckedSpec, schedule: &'a Schedule) -> Self {
        let key = format!("{SCHEDULES_PREFIX}{}.json", spec.name());
        Self { ports, spec, schedule, object: ObjectRef::new(&ports.context.buckets.work, key) }
    }

    /// Takes up the occurrences that have become due; gives all that are open.
    pub(super) async fn take_up(&self, now: DateTime<Utc>) -> Result<Vec<Open>, StageError> {
        loop {
            let (seen, etag) = self.read().await?;
            let next = self.advanced(self.entry(seen.clone(), now), now);
            if seen.as_ref() == Some(&next) || self.write(&next, etag).await? {
                return Ok(next.open);
            }
        }
    }

    /// Takes occurrences out that are done with.
    pub(super) async fn close(&self, closed: &[Open]) -> Result<(), StageError> {
        loop {
            let (seen, etag) = self.read().await?;
            let Some(seen) = seen else { return Ok(()) };
            let mut next = seen.clone();
            next.open.retain(|open| !closed.contains(open));
            if next == seen || self.write(&next, etag).await? {
                return Ok(());
            }
        }
    }

    /// The entry as it was seen, or that of a schedule that begins: a new one, or one that is written otherwise by now.
    fn entry(&self, seen: Option<Entry>, now: DateTime<Utc>) -> Entry {
        let written = self.spec.spec.source.schedule.as_ref();
        let (cron, time_zone) =
            written.map(|written| (written.cron.value.clone(), written.time_zone.value.clone())).unwrap_or_default();
        let open = match seen {
            Some(seen) if (&seen.cron, &seen.time_zone) == (&cron, &time_zone) => return seen,
            Some(seen) => {
                info!(pipeline = self.spec.name(), cron, time_zone, "the schedule was changed, and begins anew");
                seen.open
            }
            None => Vec::new(),
        };
        let since = local_time::to_the_minute(self.schedule.occurrences.local(now - TICK));
        Entry { cron, time_zone, since, last: since, open }
    }

    /// Takes up what has become due, and what is to be looked at again because of it.
    fn advanced(&self, mut entry: Entry, now: DateTime<Utc>) -> Entry {
        let occurrences = &self.schedule.occurrences;
        for _ in 0..TAKEN_UP_MAX {
            let Some(due) = occurrences.after(entry.last).filter(|local| occurrences.due(*local) <= now) else { break };
            entry.last = due;
            entry.add(Open { occurrence: due, revisited: false });
            let mut earlier = due;
            for _ in 0..self.schedule.revisit {
                let Some(before) = occurrences.before(earlier).filter(|local| *local > entry.since) else { break };
                entry.add(Open { occurrence: before, revisited: true });
                earlier = before;
            }
        }
        entry
    }

    async fn read(&self) -> Result<(Option<Entry>, Option<String>), StageError> {
        let Some((bytes, meta)) = store::get(&*self.ports.context.stores, &self.object).await? else {
            return Ok((None, None));
        };
        let entry = serde_json::from_slice(&bytes).map_err(|error| {
            let message = format!("{} is not what Stepwell wrote there", self.object);
            StageError::with_source(ErrorKind::Internal, message, error)
        })?;
        Ok((Some(entry), meta.e_tag))
    }

    async fn write(&self, entry: &Entry, seen_etag: Option<String>) -> Result<bool, StageError> {
        store::put_if(&*self.ports.context.stores, &self.object, store::json_bytes(entry)?, seen_etag).await
    }
}

impl Entry {
    fn add(&mut self, open: Open) {
        if !self.open.iter().any(|known| known.occurrence == open.occurrence) {
            self.open.push(open);
        }
    }
}

/// Local times as they are written: to the minute.
pub(super) mod local_time {
    use chrono::{NaiveDateTime, Timelike};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    const FORMAT: &str = "%Y-%m-%dT%H:%M";

    pub(in crate::schedule) fn text(local: NaiveDateTime) -> String {
        local.format(FORMAT).to_string()
    }

    pub(in crate::schedule) fn to_the_minute(local: NaiveDateTime) -> NaiveDateTime {
        local.with_second(0).and_then(|local| local.with_nanosecond(0)).unwrap_or(local)
    }

    pub(in crate::schedule) fn serialize<S: Serializer>(
        local: &NaiveDateTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(*local))
    }

    pub(in crate::schedule) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<NaiveDateTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        NaiveDateTime::parse_from_str(&text, FORMAT)
            .map_err(|_| Error::custom(format!("`{text}` is no local time such as 2026-11-21T06:00")))
    }
}
