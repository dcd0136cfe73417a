//! Jobs over HTTP: an object, or an upload that is yet to come, through a pipeline, with an id to ask by.
//!
//! A job is one document in the work bucket, changed by conditional writes alone. Its id begins with the time that is left
//! to a far moment, so that a listing gives the newest first; its execution's name holds its id, so that neither needs an
//! index of the other.

mod api;
mod create;
mod document;
mod http;
mod list;
mod look;
mod openapi;
mod problem;
mod result;
mod stuck;
mod upload;
#[cfg(test)]
mod world;

use chrono::{DateTime, Utc};
pub(crate) use http::HttpRequest;
pub(crate) use look::{ended, look_again};
pub use openapi::openapi;
use serde_json::Value;
use stepwell_pipeline::StageError;
pub(crate) use stuck::tick;
use tracing::error;
pub(crate) use upload::claim;

use self::{
    http::{Response, Route},
    problem::Problem,
};
use crate::Ports;

/// Answers a request. What goes wrong becomes an answer, too, of status 500 or 503.
pub(crate) async fn respond(ports: &Ports, request: HttpRequest) -> Result<Value, StageError> {
    let answer = match Route::of(&request) {
        Ok(route) => carry_out(ports, &request, route).await,
        Err(problem) => Err(problem),
    };
    let response = answer.unwrap_or_else(|problem| {
        if problem.status >= 500 {
            error!(problem = problem.title, detail = problem.detail, "request failed");
        }
        problem.into()
    });
    Ok(response.into_event())
}

async fn carry_out(ports: &Ports, request: &HttpRequest, route: Route) -> Result<Response, Problem> {
    match route {
        Route::Create => create::create(ports, request).await,
        Route::List => list::list(ports, request).await,
        Route::Show(id) => look::show(ports, request, &id).await,
        Route::Result(id) => result::result(ports, request, &id).await,
        Route::OpenApi => Ok(Response::json(200, &openapi())),
    }
}

/// The moment that a context's clock shows.
fn now(ports: &Ports) -> DateTime<Utc> {
    (ports.context.now)().into()
}

#[cfg(test)]
mod tests;
