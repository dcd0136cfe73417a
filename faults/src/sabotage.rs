//! Deliberate bugs, by which the harness itself is tested.

use std::sync::Arc;

use stepwell_pipeline::store::ObjectRef;

use crate::{
    state::{Object, Write},
    world::Inner,
};

/// A bug that somebody could build in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Bug {}

/// What a write becomes under the bug; nothing where it is not done.
pub(crate) fn write(_inner: &mut Inner, write: Write) -> Option<Write> {
    Some(write)
}

/// What a read gives under the bug.
pub(crate) fn read(_inner: &Inner, _at: &ObjectRef, object: Arc<Object>) -> Arc<Object> {
    object
}
