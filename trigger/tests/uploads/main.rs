//! Uploads of every shape, to the pipelines that want them or to the dead letters.
//!
//! The fixtures have the shapes and values of AWS's own examples: S3 User Guide ("Event message structure", "EventBridge
//! event message structure", "Configuring S3 Lifecycle event notifications", "Granting permissions to publish event
//! notification messages to a destination"), SNS Developer Guide ("Fanout Amazon SNS notifications to Amazon SQS queues"),
//! Lambda Developer Guide ("Using Lambda with Amazon SQS", "Invoking Lambda functions with Amazon SNS notifications",
//! "Capturing records of Lambda asynchronous invocations"); and `notification-versioned.json` those of the example of
//! `aws_lambda_events` (awslabs/aws-lambda-rust-runtime, `example-s3-event.json`).
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod batches;
mod letters;
mod routing;
mod shapes;
mod world;
