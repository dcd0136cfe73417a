//! The ports but for the stores, behind a line.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use stepwell_pipeline::{
    StageError,
    execution::{Described, Executions, Started},
    link::Links,
    queue::{DeathCause, Queue},
    request::RunRequest,
    store::ObjectRef,
};

use super::line::Line;

/// What can be reached by a line alone.
#[derive(Debug)]
pub(super) struct Behind<T: ?Sized> {
    pub(super) inner: Arc<T>,
    pub(super) line: Arc<Line>,
}

impl<T: ?Sized> Behind<T> {
    pub(super) fn new(inner: Arc<T>, line: &Arc<Line>) -> Arc<Self> {
        Arc::new(Self { inner, line: line.clone() })
    }
}

#[async_trait]
impl<E: Executions> Executions for Behind<E> {
    async fn start(&self, name: &str, request: &RunRequest) -> Result<Started, StageError> {
        self.line.assert_one_request(name, request);
        self.line.call(("START", name), self.inner.start(name, request)).await
    }

    async fn describe(&self, name: &str) -> Result<Option<Described>, StageError> {
        self.line.call(("DESCRIBE", name), self.inner.describe(name)).await
    }
}

#[async_trait]
impl<Q: Queue> Queue for Behind<Q> {
    async fn send(&self, body: &str, delay_seconds: u16) -> Result<(), StageError> {
        self.line.call(("SEND", ""), self.inner.send(body, delay_seconds)).await
    }

    async fn bury(&self, body: &str, cause: &DeathCause) -> Result<(), StageError> {
        self.line.call(("BURY", ""), self.inner.bury(body, cause)).await
    }
}

#[async_trait]
impl<L: Links> Links for Behind<L> {
    async fn download(&self, object: &ObjectRef, valid: Duration) -> Result<String, StageError> {
        self.line.call(("LINK", &object.key), self.inner.download(object, valid)).await
    }

    async fn upload(&self, object: &ObjectRef, valid: Duration) -> Result<String, StageError> {
        self.line.call(("LINK", &object.key), self.inner.upload(object, valid)).await
    }
}
