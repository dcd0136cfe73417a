//! A Lambda function that does what the test's director says.

use std::{env, future::pending, process};

use lambda_runtime::{Diagnostic, LambdaEvent, run, service_fn};
use serde_json::Value;
use stepwell_tests::director::{Act, DIRECTOR_URL, ask};

#[derive(Debug)]
struct Failure {
    error: String,
    message: String,
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Diagnostic { error_type: failure.error, error_message: failure.message }
    }
}

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    let url = env::var(DIRECTOR_URL)?;
    run(service_fn(|event: LambdaEvent<Value>| act(&url, event))).await
}

async fn act(url: &str, event: LambdaEvent<Value>) -> Result<Value, Failure> {
    match ask(url, &event.context.env_config.function_name, &event.payload).await {
        Ok(Act::Give { payload }) => Ok(payload),
        Ok(Act::Fail { error, message }) => Err(Failure { error, message }),
        Ok(Act::Exit) => process::exit(1),
        Ok(Act::Hang) => pending().await,
        Err(message) => Err(Failure { error: "Unscripted".to_owned(), message }),
    }
}
