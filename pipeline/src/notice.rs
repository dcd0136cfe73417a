//! Notices: what people are told of a run's end, and the port that carries it.

use std::fmt::Debug;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::StageError;

/// What happened to the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The run's records are in the table.
    Succeeded,
    /// The run failed.
    Failed,
}

impl Outcome {
    /// The word for it in messages and attributes.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Succeeded => "succeeded",
            Outcome::Failed => "failed",
        }
    }
}

/// One message to people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// What happened.
    pub outcome: Outcome,
    /// The pipeline's name, where it is known.
    pub pipeline: Option<String>,
    /// One line.
    pub subject: String,
    /// The text that people read.
    pub text: String,
    /// The same for machines.
    pub detail: serde_json::Value,
}

/// Carries notices to people.
#[async_trait]
pub trait Notifier: Debug + Send + Sync {
    /// Publishes one notice.
    ///
    /// # Errors
    /// `TargetUnavailable` or `Throttled` where a repetition may succeed, else a permanent kind.
    async fn publish(&self, notice: &Notice) -> Result<(), StageError>;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_outcome_has_one_word_in_attributes_and_documents() {
        for (outcome, word) in [(Outcome::Succeeded, "succeeded"), (Outcome::Failed, "failed")] {
            assert_eq!((outcome.word(), json!(outcome)), (word, json!(word)));
        }
    }
}
