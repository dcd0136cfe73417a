//! Jobs over HTTP: each route and state, the courses that a job can take, and what must hold whatever fails. The requests
//! are API Gateway's own example (API Gateway Developer Guide, "Create AWS Lambda proxy integrations for HTTP APIs", as
//! `aws_lambda_events` has it with an IAM authoriser).
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod courses;
mod crashes;
mod deployment;
#[path = "../outside/mod.rs"]
mod outside;
mod routes;
