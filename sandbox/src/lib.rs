//! ministack as Stepwell needs it: AWS's services in one process on this machine, from a private Python environment,
//! with the shipped template deployed as it is. `stepwell up` and the integration tests stand on it.

pub mod environment;
pub mod group;
pub mod http;
pub mod ministack;
pub mod stack;

mod checkout;
mod endpoint;

pub use self::{checkout::Checkout, endpoint::Endpoint};

/// Why the sandbox cannot be set up, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SandboxError(pub(crate) String);

impl SandboxError {
    fn new(what: impl std::fmt::Display, error: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {error}"))
    }

    fn of_file(verb: &str, path: &std::path::Path, error: impl std::fmt::Display) -> Self {
        Self(format!("cannot {verb} {}: {error}", path.display()))
    }
}
