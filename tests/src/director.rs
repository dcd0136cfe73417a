//! Scripted functions: what each invocation shall do is decided here, in the test process. The binary `scripted`,
//! deployed under the functions' names, asks for it and does it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::http::{self, Body, Cut};

/// The environment variable that tells the binary where to ask.
pub const DIRECTOR_URL: &str = "DIRECTOR_URL";

/// What one invocation does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Act {
    /// Gives a payload.
    Give {
        /// The payload.
        payload: Value,
    },
    /// Fails with an error.
    Fail {
        /// The error's name.
        error: String,
        /// Its message.
        message: String,
    },
    /// Ends the process without an answer.
    Exit,
    /// Never answers.
    Hang,
}

/// The acts of a script, by state; what the script does not say goes well.
pub type Script = BTreeMap<&'static str, Vec<Act>>;

/// Decides what invocations do, by the name of their execution.
#[derive(Clone, Debug, Default)]
pub struct Director {
    scripts: Arc<Mutex<BTreeMap<String, Progress>>>,
}

#[derive(Debug, Default)]
struct Progress {
    script: Script,
    done: BTreeMap<String, usize>,
}

impl Director {
    /// Starts answering the binary `scripted`, and returns the URL to ask at.
    pub fn serve(&self) -> String {
        let (listener, address) = http::listen(0);
        let director = self.clone();
        crate::spawn(http::serve(listener, move |request| director.clone().answer(request)));
        format!("http://{address}")
    }

    /// Gives an execution its script.
    pub fn script(&self, execution: &str, script: Script) {
        let progress = Progress { script, done: BTreeMap::new() };
        self.scripts.lock().unwrap().insert(execution.to_owned(), progress);
    }

    /// What the next invocation of a function does.
    pub fn decide(&self, function: &str, payload: &Value) -> Act {
        let execution = payload["execution_id"].as_str().unwrap_or_default();
        let execution = execution.rsplit(':').next().unwrap_or_default();
        let state = state(function, payload);
        let mut scripts = self.scripts.lock().unwrap();
        let progress = scripts.entry(execution.to_owned()).or_default();
        let done = progress.done.entry(state.to_owned()).or_default();
        *done += 1;
        let scripted = progress.script.get(state).and_then(|acts| acts.get(*done - 1)).cloned();
        scripted.unwrap_or_else(|| unscripted(state, &payload["input"]))
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
        let function = http::decoded(request.uri().path().trim_start_matches('/'));
        let payload = request.into_body().collect().await.map_err(|_| Cut)?.to_bytes();
        let payload: Value = serde_json::from_slice(&payload).unwrap_or_default();
        Ok(http::json(StatusCode::OK, &json!(self.decide(&function, &payload))))
    }
}

// The state that invokes: a stage's function is called after it, and `notify` is told what to do.
fn state(function: &str, payload: &Value) -> &'static str {
    let function = function.to_lowercase();
    match payload["input"]["action"].as_str() {
        _ if function.contains("extract") => "Extract",
        _ if function.contains("transform") => "Transform",
        _ if function.contains("load") => "Load",
        Some("notify_success") => "NotifySuccess",
        Some("notify_failure") => "NotifyFailure",
        Some("fail") => "ProcessingFailed",
        action => panic!("{function} was asked to do {action:?}"),
    }
}

// The stages and notices succeed; `ProcessingFailed` does what it is there for: it raises the stage's error, or
// gives the stage to resume once the execution was redriven after the failure.
fn unscripted(state: &str, input: &Value) -> Act {
    if state != "ProcessingFailed" {
        return Act::Give { payload: json!({"done": state}) };
    }
    let failure = &input["failure"];
    let redrives = |execution: &Value| execution["RedriveCount"].as_u64().unwrap_or(0);
    if redrives(&input["execution"]) > redrives(&failure["execution"]) {
        return Act::Give { payload: json!({"stage": failure["stage"], "input": failure["input"]}) };
    }
    let text = |field: &str| failure["error"][field].as_str().unwrap_or_default().to_owned();
    Act::Fail { error: text("Error"), message: text("Cause") }
}

/// Asks the director at the URL what an invocation shall do.
///
/// # Errors
/// The text of what went wrong.
pub async fn ask(url: &str, function: &str, payload: &Value) -> Result<Act, String> {
    let (_, _, answer): (_, _, Bytes) =
        http::send(Method::POST, &format!("{url}/{function}"), &[], payload.to_string()).await?;
    serde_json::from_slice(&answer).map_err(|error| error.to_string())
}
