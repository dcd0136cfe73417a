//! The adapters to AWS: objects over S3, executions over Step Functions, notices over SNS, and [`serve()`], the
//! shell in which a function's handler runs as a Lambda function.
//!
//! What a fault of a service means, transient or permanent and under which name, is decided here and nowhere else.
#![cfg_attr(test, allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking"))]

pub mod emf;
mod fault;
pub mod lineage;
pub mod s3;
pub mod sdk;
pub mod serve;
pub mod settings;
pub mod sfn;
pub mod sns;
pub mod sqs;

pub use lineage::{HttpLineage, LineageSettings};
pub use s3::{S3Links, S3Store, S3Stores};
pub use serve::{NotifyPorts, Raised, TriggerPorts, serve};
pub use sfn::{FailedExecution, SfnExecutions};
pub use sns::SnsNotifier;
pub use sqs::{SqsDeadLetters, SqsQueue};
