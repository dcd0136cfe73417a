//! The time of day, which passes only when a test says so.

use std::{
    cell::Cell,
    time::{Duration, SystemTime},
};

thread_local! {
    /// Milliseconds since 1970. Each test has a thread of its own.
    static NOW_MS: Cell<u64> = const { Cell::new(1_767_225_600_000) };
}

pub(crate) fn now_ms() -> u64 {
    NOW_MS.get()
}

pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms())
}

pub(crate) fn pass_ms(ms: u64) {
    NOW_MS.set(now_ms() + ms);
}

pub(crate) fn set_ms(ms: u64) {
    NOW_MS.set(ms);
}
