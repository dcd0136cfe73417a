//! The stages of a run and what each is given to work with.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{progress::Progress, store::Stores};

/// A stage of a run, named as its state in the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// Object to accepted parts and rejects.
    Extract,
    /// Parts to final files.
    Transform,
    /// Final files to the table, committed.
    Load,
}

impl Stage {
    /// The stages in the order in which they run.
    pub const ALL: [Stage; 3] = [Stage::Extract, Stage::Transform, Stage::Load];

    /// The name of the stage's state.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Extract => "Extract",
            Stage::Transform => "Transform",
            Stage::Load => "Load",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The names of the three buckets that a deployment has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// Where objects arrive; the only bucket that starts runs.
    pub landing: String,
    /// Where specs, staged data, manifests, rejects and reports live.
    pub work: String,
    /// Where the tables are.
    pub lake: String,
}

/// Everything outside a stage that it may use.
#[derive(Clone, Debug)]
pub struct StageContext {
    /// The object stores.
    pub stores: Arc<dyn Stores>,
    /// Which bucket plays which part.
    pub buckets: Buckets,
    /// Where the stage tells how far it is.
    pub progress: Arc<dyn Progress>,
}

/// The version of the code, as it is written into manifests and reports.
pub const CODE_VERSION: &str = env!("CARGO_PKG_VERSION");
