use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use object_store::{ObjectStore, memory::InMemory};

use super::Stores;
use crate::StageError;

/// Buckets in memory, for tests. A bucket comes into being when it is named.
#[derive(Clone, Debug, Default)]
pub struct MemoryStores {
    buckets: Arc<Mutex<BTreeMap<String, Arc<InMemory>>>>,
}

#[async_trait]
impl Stores for MemoryStores {
    fn bucket(&self, name: &str) -> Result<Arc<dyn ObjectStore>, StageError> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket: Arc<InMemory> = buckets.entry(name.to_owned()).or_default().clone();
        Ok(bucket)
    }
}
