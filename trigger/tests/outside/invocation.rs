//! Invocations of the function that go on when the test says so.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture, task::noop_waker};
use serde_json::Value;
use stepwell_pipeline::StageError;
use stepwell_trigger::{Ports, handler};

use super::line::Line;

/// An invocation, a process of its own.
pub(crate) struct Invocation<T> {
    /// What it was given.
    pub(crate) of: T,
    process: BoxFuture<'static, Option<Result<Value, StageError>>>,
}

/// How an invocation stands.
pub(crate) enum Turn {
    GoesOn,
    Died,
    Ended(Result<Value, StageError>),
}

impl<T> Invocation<T> {
    pub(super) fn new(ports: &Ports, line: &Arc<Line>, of: T, event: Value) -> Self {
        let (ports, line) = (ports.clone(), line.clone());
        Self { of, process: async move { line.process(handler(&ports, event)).await }.boxed() }
    }

    /// Lets it go on to its next turn.
    pub(crate) fn poll(&mut self) -> Turn {
        match self.process.poll_unpin(&mut Context::from_waker(&noop_waker())) {
            Poll::Pending => Turn::GoesOn,
            Poll::Ready(None) => Turn::Died,
            Poll::Ready(Some(answer)) => Turn::Ended(answer),
        }
    }
}
