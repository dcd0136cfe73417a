//! The state machine of Stepwell: the one definition that is shipped, a strict reading of it, and an interpreter
//! that runs it in process.
//!
//! The interpreter covers the part of the Amazon States Language (<https://states-language.net>) that the shipped
//! definition uses, and refuses every state type, field, path and function beyond it by name, so that a definition
//! that parses here runs here as it is written. Where the language leaves a choice open, it does what the
//! Step Functions Developer Guide (<https://docs.aws.amazon.com/step-functions/latest/dg/>) says of the service.
//!
//! The [`lint`](mod@lint) is for definitions of any origin, the whole language, and tells all that it finds.
//!
//! ```
//! # use std::collections::BTreeMap;
//! # use stepwell_statemachine::{ETL, StateMachine};
//! let functions = ["Extract", "Transform", "Load", "Notify"]
//!     .map(|stage| (format!("{stage}FunctionArn"), stage.to_lowercase()));
//! let machine = StateMachine::parse(ETL, &BTreeMap::from(functions))?;
//! assert_eq!(machine.start_at, "Extract");
//! # Ok::<(), stepwell_statemachine::DefinitionError>(())
//! ```

pub mod clock;
pub mod definition;
pub mod execution;
pub mod interpreter;
pub mod lint;
pub mod path;
pub mod template;

mod check;
mod language;
mod timestamp;

pub use clock::{Clock, SystemClock, VirtualClock};
pub use definition::{DefinitionError, StateMachine, substitute};
pub use execution::{Execution, ExecutionInfo, Status, StoppedAt, TraceEvent, Transition};
pub use interpreter::{Invoke, Observer, Ports, RedriveError, TaskError};
pub use lint::lint;

/// The definition that is shipped, unchanged but for its four `${…FunctionArn}` placeholders.
pub const ETL: &str = include_str!("../etl.asl.json");
