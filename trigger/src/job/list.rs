use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};
use stepwell_pipeline::{StageError, store};

use super::{
    api::{JobList, JobState},
    document::{self, DOCUMENTS, is_id},
    http::{HttpRequest, Response},
    look,
    problem::Problem,
};
use crate::Ports;

const LIMIT_DEFAULT: usize = 20;
/// The most jobs of a page, and the most documents that a page with `state` looks through.
pub(super) const LIMIT_MAX: usize = 100;
const READS_AT_ONCE: usize = 16;

/// Answers `GET /jobs`. The jobs are as their documents say: a list asks for no execution.
pub(super) async fn list(ports: &Ports, request: &HttpRequest) -> Result<Response, Problem> {
    let limit = limit(request)?;
    let state = state(request)?;
    let next = next(request)?;
    let looked_through = if state.is_some() { LIMIT_MAX } else { limit };
    // One more tells whether there are more.
    let mut ids = ids(ports, next, looked_through + 1).await?;
    let is_last = ids.len() <= looked_through;
    ids.truncate(looked_through);

    let mut jobs = Vec::with_capacity(limit);
    let mut last = None;
    let mut documents = futures::stream::iter(ids.iter().cloned())
        .map(|id| async move { document::read(ports, &id).await.map(|seen| (id, seen)) })
        .buffered(READS_AT_ONCE);
    while let Some((id, seen)) = documents.try_next().await? {
        if let Some(seen) = seen.filter(|seen| state.is_none_or(|state| seen.job.state == state)) {
            jobs.push(look::view(ports, request, &seen.job, false).await?);
        }
        last = Some(id);
        if jobs.len() == limit {
            break;
        }
    }
    let is_last = is_last && last.as_ref() == ids.last();
    let next = last.filter(|_| !is_last);
    let mut links = BTreeMap::new();
    if let Some(next) = &next {
        links.insert("next".to_owned(), next_path(request, limit, next));
    }
    Ok(Response::json(200, &json!(JobList { jobs, next, links })))
}

async fn ids(ports: &Ports, after: Option<&str>, count: usize) -> Result<Vec<String>, StageError> {
    let bucket = ports.context.stores.bucket(&ports.context.buckets.work)?;
    let prefix = store::path(DOCUMENTS)?;
    let listed = match after {
        Some(id) => bucket.list_with_offset(Some(&prefix), &store::path(&format!("{DOCUMENTS}{id}.json"))?),
        None => bucket.list(Some(&prefix)),
    };
    listed
        .try_filter_map(|meta| {
            let id = meta.location.filename().and_then(|name| name.strip_suffix(".json"));
            std::future::ready(Ok(id.filter(|id| is_id(id)).map(str::to_owned)))
        })
        .take(count)
        .try_collect()
        .await
        .map_err(|error| store::classify(error, "cannot list the jobs"))
}

fn limit(request: &HttpRequest) -> Result<usize, Problem> {
    let Some(text) = request.query("limit") else { return Ok(LIMIT_DEFAULT) };
    let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| Problem::invalid(format!("`limit` must be a number from 1 to {LIMIT_MAX}, not {text:?}")))
}

fn state(request: &HttpRequest) -> Result<Option<JobState>, Problem> {
    let Some(text) = request.query("state") else { return Ok(None) };
    JobState::deserialize(Value::from(text))
        .map(Some)
        .map_err(|_| Problem::invalid(format!("`state` must be PENDING, PROCESSING, DONE or FAILED, not {text:?}")))
}

fn next(request: &HttpRequest) -> Result<Option<&str>, Problem> {
    match request.query("next") {
        Some(next) if !is_id(next) => Err(Problem::invalid(format!("`next` is not what a page gave: {next:?}"))),
        next => Ok(next),
    }
}

fn next_path(request: &HttpRequest, limit: usize, next: &str) -> String {
    let path = format!("{}?limit={limit}&next={next}", request.path(&["jobs"]));
    match request.query("state") {
        Some(state) => format!("{path}&state={}", utf8_percent_encode(state, NON_ALPHANUMERIC)),
        None => path,
    }
}
