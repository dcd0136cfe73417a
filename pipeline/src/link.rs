//! The port that gives links to objects, for people and programs without access to the buckets.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;

use crate::{StageError, store::ObjectRef};

/// Makes links to objects that anybody who has them may use for some time: presigned URLs.
#[async_trait]
pub trait Links: Debug + Send + Sync {
    /// A link with which the object can be downloaded.
    ///
    /// # Errors
    /// What the store says.
    async fn download(&self, object: &ObjectRef, valid: Duration) -> Result<String, StageError>;

    /// A link with which the object can be written, by `PUT`.
    ///
    /// # Errors
    /// What the store says.
    async fn upload(&self, object: &ObjectRef, valid: Duration) -> Result<String, StageError>;
}

/// Links that lead nowhere: `memory://bucket/key?method=GET&seconds=60`; for tests.
#[derive(Debug, Default)]
pub struct MemoryLinks;

#[async_trait]
impl Links for MemoryLinks {
    async fn download(&self, object: &ObjectRef, valid: Duration) -> Result<String, StageError> {
        Ok(format!("memory://{}/{}?method=GET&seconds={}", object.bucket, object.key, valid.as_secs()))
    }

    async fn upload(&self, object: &ObjectRef, valid: Duration) -> Result<String, StageError> {
        Ok(format!("memory://{}/{}?method=PUT&seconds={}", object.bucket, object.key, valid.as_secs()))
    }
}
