//! What a stage is made to do, so that it uses its rights.

use std::{fmt, future::Future, pin::Pin};

use super::lab::Lab;

/// Why a scenario did not come to what it should.
pub type Outcome = Result<(), String>;

type Run = for<'a> fn(&'a Lab) -> Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// Something that a stage does, and a check that it is done.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name, as the page shows it.
    pub name: &'static str,
    /// Does it.
    pub run: Run,
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Scenarios by the names of their functions.
macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        &[$($crate::least_privilege::scenario::Scenario {
            name: stringify!($name),
            run: |lab| Box::pin($name(lab)),
        }),+]
    };
}

pub(crate) use scenarios;

/// An error unless it is so.
pub(crate) fn ensure(is_so: bool, what: impl FnOnce() -> String) -> Outcome {
    if is_so { Ok(()) } else { Err(what()) }
}
