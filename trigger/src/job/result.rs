use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use stepwell_pipeline::{
    ErrorKind, StageError,
    manifest::Report,
    store::{self, ObjectRef},
};

use super::{
    api::{FileLink, JobResult, JobState, Redirect, ResultLinks},
    document::{Job, written},
    http::{HttpRequest, Response},
    look::{self, FILES_MAX},
    problem::Problem,
};
use crate::Ports;

/// How long a download may begin after its link was given.
const DOWNLOAD: Duration = Duration::from_secs(15 * 60);

/// Answers `GET /jobs/{id}/result`.
pub(super) async fn result(ports: &Ports, request: &HttpRequest, id: &str) -> Result<Response, Problem> {
    let redirect = redirect(request)?;
    let (seen, retry_after) = look::current(ports, id).await?;
    let job = seen.job;
    let Some(found) = job.result.as_ref().filter(|_| job.state == JobState::Done) else {
        return Err(not_done(&job, retry_after));
    };
    match redirect {
        Some(redirect) => {
            let object = target(found, redirect)?;
            let url = ports.links.download(&object, DOWNLOAD).await?;
            let body = json!({ "location": url });
            Ok(Response::json(303, &body).with_header("location", url))
        }
        None => Ok(Response::json(200, &json!(links(ports, found).await?))),
    }
}

fn redirect(request: &HttpRequest) -> Result<Option<Redirect>, Problem> {
    let Some(text) = request.query("redirect") else { return Ok(None) };
    Redirect::deserialize(Value::from(text)).map(Some).map_err(|_| {
        let detail = format!("`redirect` must be data, report, report_html, rejects or reasons, not {text:?}");
        Problem::invalid(detail)
    })
}

fn not_done(job: &Job, retry_after: Option<i64>) -> Problem {
    match (&job.error, retry_after) {
        (Some(error), _) => {
            Problem::new(409, "JobFailed", format!("job {} failed: {}: {}", job.id, error.error, error.cause))
        }
        (None, retry_after) => {
            let seconds = retry_after.unwrap_or(look::SECONDS_BETWEEN_LOOKS);
            Problem::new(409, "JobNotDone", format!("job {} has not ended", job.id))
                .with_header("retry-after", seconds.to_string())
        }
    }
}

fn target(result: &JobResult, redirect: Redirect) -> Result<ObjectRef, Problem> {
    let url = match redirect {
        Redirect::Report => Some(result.report.clone()),
        Redirect::ReportHtml => Some(html(&result.report)),
        Redirect::Rejects => result.rejects.clone(),
        Redirect::Reasons => result.reasons.clone(),
        Redirect::Data => match &result.files[..] {
            [file] => Some(file.clone()),
            [] => None,
            files => {
                let detail = format!("there are {} data files; ask for the result without `redirect`", files.len());
                return Err(Problem::new(409, "SeveralFiles", detail));
            }
        },
    };
    let url = url.ok_or_else(|| Problem::new(404, "NoSuchPart", "the result has no such part"))?;
    Ok(object(&url)?)
}

/// The report for people is beside `report.json`.
fn html(report: &str) -> String {
    format!("{}.html", report.strip_suffix(".json").unwrap_or(report))
}

/// The object that a document names as `s3://bucket/key`.
fn object(url: &str) -> Result<ObjectRef, StageError> {
    let found = url.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
    let (bucket, key) =
        found.ok_or_else(|| StageError::new(ErrorKind::Internal, format!("{url:?} is no object's address")))?;
    Ok(ObjectRef::new(bucket, key))
}

async fn links(ports: &Ports, result: &JobResult) -> Result<ResultLinks, StageError> {
    let link = async |url: &str| ports.links.download(&object(url)?, DOWNLOAD).await;
    let expires = super::now(ports).timestamp_millis() + i64::try_from(DOWNLOAD.as_millis()).unwrap_or_default();
    let report: Option<Report> = store::get_json(&*ports.context.stores, &object(&result.report)?).await?;
    let table = object(&result.table)?;
    let mut files = Vec::new();
    for file in report.iter().flat_map(|report| &report.files).take(FILES_MAX) {
        let file_ref = ObjectRef::new(&table.bucket, &file.key);
        files.push(FileLink {
            object: file_ref.to_string(),
            records: file.records,
            bytes: file.bytes,
            url: ports.links.download(&file_ref, DOWNLOAD).await?,
        });
    }
    Ok(ResultLinks {
        expires_at: written(expires),
        files,
        file_count: result.file_count,
        report: link(&result.report).await?,
        report_html: link(&html(&result.report)).await?,
        rejects: match &result.rejects {
            Some(url) => Some(link(url).await?),
            None => None,
        },
        reasons: match &result.reasons {
            Some(url) => Some(link(url).await?),
            None => None,
        },
    })
}
