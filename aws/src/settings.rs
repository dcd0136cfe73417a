//! The environment of a function, read once: what is missing is named before any work begins.
//!
//! | variable | functions | what |
//! | --- | --- | --- |
//! | `LANDING_BUCKET` | all | where objects arrive |
//! | `WORK_BUCKET` | all | where specs, staged data, manifests and reports live |
//! | `LAKE_BUCKET` | all | where the tables are |
//! | `STACK_NAME` | all | what the deployment's metrics are told apart by; without it there are none |
//! | `TOPIC_ARN` | `notify` | the SNS topic that notices go to |
//! | `PII_HASH_KEY` | `extract` | the key of `pii: hash`, where a pipeline has such columns |
//! | `OPENLINEAGE_URL` | `extract`, `notify` | where lineage events go: `work`, `s3://bucket/prefix` or `https://…`; nowhere without it |
//! | `OPENLINEAGE_ENDPOINT` | `extract`, `notify` | the path of an HTTP endpoint, after that of the URL; `api/v1/lineage` where neither has one |
//! | `OPENLINEAGE_API_KEY` | `extract`, `notify` | the bearer token of an HTTP endpoint |
//! | `OPENLINEAGE_NAMESPACE` | `extract`, `notify` | the namespace of jobs; without it `STACK_NAME`, without that `stepwell` |
//! | `AWS_LAMBDA_FUNCTION_MEMORY_SIZE` | all | set by Lambda: the function's memory in MiB, by which SQL is bounded |
//! | `STATE_MACHINE_ARN` | `trigger` | the state machine whose executions are started |
//! | `EVENTS_QUEUE_URL` | `trigger` | the queue that its events wait in |
//! | `DEAD_EVENTS_QUEUE_URL` | `trigger` | where events go that cannot be handled |
//! | `RECEIVES_MAX` | `trigger` | the `maxReceiveCount` of the events queue; 5 without it |
//! | `RUNNING_MAX` | `trigger` | how many executions may run at the same time; without it, or with 0, any number |

use stepwell_pipeline::{
    lineage::DEFAULT_NAMESPACE,
    stage::{Buckets, HashKey, Limits},
};
use thiserror::Error;

use crate::lineage::LineageSettings;

/// Variables that a function needs and its environment lacks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("environment variables missing, empty or no number: {}", names.join(", "))]
pub struct MissingVariables {
    /// Their names.
    pub names: Vec<&'static str>,
}

type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// What every stage needs.
#[derive(Clone, Debug)]
pub struct StageSettings {
    /// The names of the three buckets.
    pub buckets: Buckets,
    /// The key of `pii: hash`.
    pub hash_key: Option<HashKey>,
    /// Where lineage is told, if it is.
    pub lineage: Option<LineageSettings>,
    /// The function's memory in MiB, where Lambda tells it.
    pub memory_mib: Option<usize>,
}

impl StageSettings {
    /// How much a stage takes at a time: SQL over whole objects may use half of the function's memory.
    pub fn limits(&self) -> Limits {
        let default = Limits::default();
        let half = self.memory_mib.map(|mib| mib * 1024 * 1024 / 2);
        Limits { sql_memory_bytes: half.unwrap_or(default.sql_memory_bytes), ..default }
    }
}

/// Reads variables and remembers which were missing, so that all are named at once.
pub struct Variables<'a> {
    lookup: Box<Lookup<'a>>,
    missing: Vec<&'static str>,
}

impl<'a> Variables<'a> {
    /// The variables that a function finds.
    pub fn new(lookup: impl Fn(&str) -> Option<String> + 'a) -> Self {
        Self { lookup: Box::new(lookup), missing: Vec::new() }
    }

    /// The process's own environment.
    pub fn of_process() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }

    /// A variable's value; where it is missing or empty an empty text, and [`Variables::finish`] will refuse.
    pub fn required(&mut self, name: &'static str) -> String {
        let value = (self.lookup)(name).filter(|value| !value.is_empty());
        value.unwrap_or_else(|| {
            self.missing.push(name);
            String::new()
        })
    }

    /// A variable's value, unless it is missing or empty.
    pub fn optional(&self, name: &'static str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    /// A variable's number; 0 and an absent variable are none. What is no number counts as missing, so that a limit that
    /// was meant is never left out.
    pub fn number<N: std::str::FromStr + Default + PartialEq>(&mut self, name: &'static str) -> Option<N> {
        match self.optional(name)?.parse() {
            Ok(number) => Some(number).filter(|number| *number != N::default()),
            Err(_) => {
                self.missing.push(name);
                None
            }
        }
    }

    /// What every stage needs.
    pub fn stage(&mut self) -> StageSettings {
        StageSettings {
            buckets: self.buckets(),
            hash_key: self.optional("PII_HASH_KEY").map(|key| HashKey::new(key.as_bytes())),
            lineage: self.lineage(),
            memory_mib: self.optional("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").and_then(|memory| memory.parse().ok()),
        }
    }

    /// Where lineage is told.
    pub fn lineage(&self) -> Option<LineageSettings> {
        let namespace = self.optional("OPENLINEAGE_NAMESPACE").or_else(|| self.optional("STACK_NAME"));
        Some(LineageSettings {
            url: self.optional("OPENLINEAGE_URL")?,
            endpoint: self.optional("OPENLINEAGE_ENDPOINT"),
            api_key: self.optional("OPENLINEAGE_API_KEY"),
            namespace: namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
        })
    }

    /// The names of the three buckets.
    pub fn buckets(&mut self) -> Buckets {
        Buckets {
            landing: self.required("LANDING_BUCKET"),
            work: self.required("WORK_BUCKET"),
            lake: self.required("LAKE_BUCKET"),
        }
    }

    /// Whether everything was there.
    ///
    /// # Errors
    /// All the variables that were not.
    pub fn finish(self) -> Result<(), MissingVariables> {
        if self.missing.is_empty() { Ok(()) } else { Err(MissingVariables { names: self.missing }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        let mut variables = Variables::new(|name| match name {
            "WORK_BUCKET" => Some("work".into()),
            "LAKE_BUCKET" => Some(String::new()),
            _ => None,
        });
        assert_eq!(variables.buckets().work, "work");
        variables.required("TOPIC_ARN");
        let error = variables.finish().expect_err("incomplete");
        assert_eq!(
            error.to_string(),
            "environment variables missing, empty or no number: LANDING_BUCKET, LAKE_BUCKET, TOPIC_ARN"
        );
    }

    #[test]
    fn what_is_there_is_taken() {
        let mut variables = Variables::new(|name| Some(name.to_lowercase()));
        let buckets = variables.buckets();
        assert_eq!((buckets.landing.as_str(), buckets.lake.as_str()), ("landing_bucket", "lake_bucket"));
        assert_eq!(variables.finish(), Ok(()));
    }

    #[test]
    fn what_is_no_number_is_no_limit_left_out() {
        let value = |text: &'static str| move |_: &str| Some(text.to_owned());
        assert_eq!(Variables::new(value("3")).number::<usize>("RUNNING_MAX"), Some(3));
        assert_eq!(Variables::new(value("0")).number::<usize>("RUNNING_MAX"), None);
        let mut variables = Variables::new(value("three"));
        assert_eq!(variables.number::<usize>("RUNNING_MAX"), None);
        assert_eq!(variables.finish().expect_err("no number").names, ["RUNNING_MAX"]);
    }
}
