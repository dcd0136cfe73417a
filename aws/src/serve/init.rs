use std::{env, sync::Arc};

use lambda_runtime_api_client::{PooledClient, body::Body, build_request};
use serde_json::json;
use tracing::error;

use super::FunctionPorts;
use crate::{
    sdk,
    settings::{MissingVariables, Variables},
};

/// What Lambda sets for every function (Lambda Developer Guide, "Defined runtime environment variables"), without
/// which the runtime or the SDK stops with a panic or at the first call.
const SET_BY_LAMBDA: [&str; 5] = [
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_REGION",
];

/// The ports of a function, from its environment, and the name of its stack, where metrics are wanted.
pub(super) async fn ports<P: FunctionPorts>() -> Result<(P, Option<Arc<str>>), MissingVariables> {
    let mut variables = Variables::of_process();
    for name in SET_BY_LAMBDA {
        variables.required(name);
    }
    let settings = P::settings(&mut variables);
    let stack = variables.optional("STACK_NAME").map(Arc::from);
    variables.finish()?;
    Ok((P::connect(settings, &sdk::config().await), stack))
}

/// Tells Lambda why the function cannot start (Lambda Developer Guide, "Runtime API", "Initialization error");
/// otherwise whoever invokes it learns only that the process exited.
pub(super) async fn report(missing: &MissingVariables) {
    if env::var_os("AWS_LAMBDA_RUNTIME_API").is_none_or(|api| api.is_empty()) {
        error!("not started by lambda: to run a pipeline on this machine, use `stepwell run`");
        return;
    }
    let body = json!({ "errorType": "Internal", "errorMessage": missing.to_string(), "stackTrace": [] });
    let request = build_request()
        .method("POST")
        .uri("/2018-06-01/runtime/init/error")
        .header("lambda-runtime-function-error-type", "Runtime.ConfigInvalid")
        .body(Body::from(body.to_string()));
    let sent = match request {
        Ok(request) => PooledClient::builder().build().call(request).await.map(|_| ()),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = sent {
        error!(error, "cannot report the failed start");
    }
}
