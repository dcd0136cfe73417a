use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{LineageSink, RunEvent};
use crate::{
    StageError,
    store::{self, ObjectRef, Stores},
};

/// Where events are in the work bucket.
const WORK_PREFIX: &str = "lineage/";

/// Keeps events as objects below a prefix: one object per event, named by job, run and type.
#[derive(Clone, Debug)]
pub struct StoredLineage {
    stores: Arc<dyn Stores>,
    prefix: ObjectRef,
}

impl StoredLineage {
    /// Where the events that a URL asks for are kept: `s3://bucket/prefix`, or `work` for `lineage/` of the work bucket.
    /// Nothing for any other URL.
    pub fn place(url: &str, work_bucket: &str) -> Option<ObjectRef> {
        if url == "work" {
            return Some(ObjectRef::new(work_bucket, WORK_PREFIX));
        }
        let (bucket, prefix) = url.strip_prefix("s3://").map(|place| place.split_once('/').unwrap_or((place, "")))?;
        let prefix = prefix.trim_matches('/');
        let key = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        (!bucket.is_empty()).then(|| ObjectRef::new(bucket, key))
    }

    /// Events below a prefix, whose key ends in `/` or is empty.
    pub fn new(stores: Arc<dyn Stores>, prefix: ObjectRef) -> Self {
        Self { stores, prefix }
    }
}

#[async_trait]
impl LineageSink for StoredLineage {
    async fn emit(&self, event: &RunEvent) -> Result<(), StageError> {
        let object = ObjectRef::new(&self.prefix.bucket, format!("{}{}", self.prefix.key, event.file_name()));
        // Of repetitions, which may tell another time, the first stays.
        store::put_if(&*self.stores, &object, store::json_bytes(event)?, None).await?;
        Ok(())
    }
}

/// Events in memory; for tests.
#[derive(Debug, Default)]
pub struct MemoryLineage {
    events: Mutex<Vec<RunEvent>>,
    refusals: Mutex<Vec<StageError>>,
}

impl MemoryLineage {
    /// A sink that refuses events with these errors, the last first, before it takes any.
    pub fn refusing(refusals: Vec<StageError>) -> Self {
        Self { refusals: Mutex::new(refusals), ..Self::default() }
    }

    /// The events, in the order in which they came.
    pub fn events(&self) -> Vec<RunEvent> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl LineageSink for MemoryLineage {
    async fn emit(&self, event: &RunEvent) -> Result<(), StageError> {
        if let Some(refusal) = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Err(refusal);
        }
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_go_where_the_url_says() {
        let place = |url| StoredLineage::place(url, "work-1").map(|place| place.to_string());
        assert_eq!(place("work").as_deref(), Some("s3://work-1/lineage/"));
        assert_eq!(place("s3://other").as_deref(), Some("s3://other/"));
        assert_eq!(place("s3://other/a/b").as_deref(), Some("s3://other/a/b/"));
        assert_eq!(place("s3://other/a/b/").as_deref(), Some("s3://other/a/b/"));
        for url in ["s3://", "https://lineage.example", "works", ""] {
            assert_eq!(place(url), None, "{url}");
        }
    }
}
