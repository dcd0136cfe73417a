use chrono::Duration;
use object_store::{GetOptions, ObjectStore};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stepwell_pipeline::{
    ErrorKind, StageError, handoff,
    request::RunRequest,
    run::{digest, short_hash},
    spec::{Catalog, CheckedSpec, nearest},
    store::{self, ObjectRef},
};
use tracing::info;

use super::{
    api::{JobState, ObjectJob, UploadJob},
    document::{self, Job, Seen, UPLOADS, Upload},
    http::{HttpRequest, Response},
    look,
    problem::Problem,
};
use crate::{Ports, slots};

/// How long an upload may begin after the job was made.
const UPLOAD_MINUTES: i64 = 60;

/// Where the ids of jobs are by idempotency key, in the work bucket.
const KEYS: &str = "jobs/keys/";
const KEY_BYTES_MAX: usize = 255;

/// Which job an idempotency key stands for.
#[derive(Debug, Serialize, Deserialize)]
struct KeyEntry {
    id: String,
    created_ms: i64,
    /// The digest of the request's body.
    body: String,
}

/// What is asked for.
enum Wanted {
    Object(ObjectJob),
    Upload(UploadJob),
}

/// Answers `POST /jobs`: makes the job, and starts it where its object is there.
///
/// Each step can be done again. Where the function dies between two of them, the client's repetition with the same
/// `Idempotency-Key` goes on, or else the tick does.
pub(super) async fn create(ports: &Ports, request: &HttpRequest) -> Result<Response, Problem> {
    let body = request.json()?;
    let wanted = Wanted::parse(&body)?;
    let now = super::now(ports);
    let nanos = now.timestamp_nanos_opt().unwrap_or_default().to_string();
    let candidate = document::new_id(now, &short_hash(&[request.id(), &nanos, &body.to_string()]));
    let key = idempotency_key(request)?;

    // A key that is known stands for its job, whatever became of pipelines and objects since.
    let mut entry = match &key {
        Some(key) => known_key(ports, request, key, &body).await?,
        None => None,
    };
    if let Some(entry) = &entry
        && let Some(seen) = document::read(ports, &entry.id).await?
    {
        return answer(ports, request, begin(ports, seen).await?).await;
    }
    let mut job = wanted.job(ports, candidate, now.timestamp_millis()).await?;
    if let (Some(key), None) = (&key, &entry) {
        entry = Some(claim_key(ports, request, key, &job, &body).await?);
    }
    if let Some(entry) = entry {
        (job.id, job.created_ms) = (entry.id, entry.created_ms);
    }
    let job = job.with_what_its_id_names();
    // The marker comes first: a job that nobody looks after must not be.
    document::mark_open(ports, &job.id, document::first_look(&job)).await?;
    let seen = document::create(ports, job).await?;
    info!(job = seen.job.id, pipeline = seen.job.pipeline, "job made");
    answer(ports, request, begin(ports, seen).await?).await
}

/// Starts the job's execution, if its object is there and it has not ended.
pub(super) async fn begin(ports: &Ports, seen: Seen) -> Result<Seen, StageError> {
    if let (Some(request), false) = (&seen.job.request, seen.job.state.is_final()) {
        slots::start(ports, &seen.job.execution(), request).await?;
    }
    Ok(seen)
}

async fn answer(ports: &Ports, request: &HttpRequest, seen: Seen) -> Result<Response, Problem> {
    let location = request.path(&["jobs", &seen.job.id]);
    let view = look::view(ports, request, &seen.job, true).await?;
    let response = Response::json(202, &json!(view)).with_header("location", location);
    Ok(response.with_header("retry-after", look::SECONDS_BETWEEN_LOOKS.to_string()))
}

impl Wanted {
    fn parse(body: &Value) -> Result<Self, Problem> {
        let Some(fields) = body.as_object() else {
            return Err(Problem::invalid("the body must be a JSON object with `bucket` and `key`, or `filename`"));
        };
        let is_upload =
            fields.contains_key("filename") || !(fields.contains_key("bucket") || fields.contains_key("key"));
        let names: &[&str] =
            if is_upload { &["filename", "pipeline"] } else { &["bucket", "key", "version", "pipeline"] };
        if let Some(field) = fields.keys().find(|field| !names.contains(&field.as_str())) {
            let meant = nearest(field, names.iter().copied()).map(|name| format!("; did you mean `{name}`?"));
            return Err(Problem::invalid(format!(
                "unknown field `{field}`{}",
                meant.unwrap_or_else(|| format!("; there are {}", names.join(", ")))
            )));
        }
        let invalid = |error: StageError| Problem::invalid(error.report());
        let wanted = match is_upload {
            true => Self::Upload(handoff::parse(body).map_err(invalid)?),
            false => {
                RunRequest::parse(body).map_err(invalid)?;
                Self::Object(handoff::parse(body).map_err(invalid)?)
            }
        };
        wanted.check()?;
        Ok(wanted)
    }

    fn check(&self) -> Result<(), Problem> {
        match self {
            Self::Upload(UploadJob { filename, .. }) => {
                let is_control = |letter: char| letter.is_ascii_control() || matches!(letter, '/' | '\\');
                if filename.is_empty() || filename.chars().count() > 200 {
                    return Err(Problem::invalid("`filename` must have 1 to 200 characters"));
                }
                if filename.starts_with('.') || filename.contains(is_control) {
                    return Err(Problem::invalid(format!(
                        "`filename` must not begin with a dot, nor have slashes or control characters: {filename:?}"
                    )));
                }
                store::path(filename).map_err(|error| Problem::invalid(error.report()))?;
            }
            Self::Object(ObjectJob { key, version, .. }) => {
                if key.chars().count() > 1024 {
                    return Err(Problem::invalid("`key` has more than 1,024 characters"));
                }
                // S3 User Guide, "Naming Amazon S3 objects".
                if key.len() > 1024 {
                    let detail = "there is no such object: no key has more than 1,024 bytes";
                    return Err(Problem::new(422, ErrorKind::SourceMissing.name(), detail));
                }
                if version.as_deref() == Some("") {
                    return Err(Problem::invalid("`version` is empty"));
                }
            }
        }
        Ok(())
    }

    /// The job, as far as it is known before its id is certain.
    async fn job(self, ports: &Ports, id: String, created_ms: i64) -> Result<Job, Problem> {
        let landing = &ports.context.buckets.landing;
        if let Self::Object(wanted) = &self
            && wanted.bucket != *landing
        {
            let detail = format!("jobs run objects of the bucket {landing} alone; copy the object there, or upload it");
            return Err(Problem::new(403, "BucketNotAllowed", detail));
        }
        let catalog = Catalog::read(&ports.context).await?;
        let (pipeline, request, upload) = match self {
            Self::Object(wanted) => {
                let pipeline = catalog.pick(&wanted.key, wanted.pipeline.as_deref()).map_err(unfit)?;
                let pipeline = pipeline.name().to_owned();
                let etag = look_at(ports, &wanted).await?;
                let request = RunRequest {
                    bucket: wanted.bucket,
                    key: wanted.key,
                    version: wanted.version,
                    etag,
                    pipeline: Some(pipeline.clone()),
                    ..RunRequest::default()
                };
                (pipeline, Some(request), None)
            }
            Self::Upload(wanted) => {
                let pipeline = by_filename(&catalog, &wanted).map_err(unfit)?.name().to_owned();
                // Its folder is named by the id, which is not certain yet.
                let object = ObjectRef::new(landing, wanted.filename);
                (pipeline, None, Some(Upload { object, expires_ms: 0 }))
            }
        };
        Ok(Job {
            id,
            pipeline,
            state: JobState::Pending,
            created_ms,
            request,
            upload,
            looked_ms: None,
            started_ms: None,
            ended_ms: None,
            records: None,
            result: None,
            error: None,
            alarm_owed: false,
        })
    }
}

impl Job {
    /// The job with what hangs on its id and its time.
    fn with_what_its_id_names(mut self) -> Self {
        if let Some(upload) = &mut self.upload {
            upload.object.key = format!("{UPLOADS}{}/{}", self.id, upload.object.key);
            upload.expires_ms = self.created_ms + Duration::minutes(UPLOAD_MINUTES).num_milliseconds();
        }
        if let Some(request) = &mut self.request {
            request.reason = Some(format!("job {}", self.id));
        }
        self
    }
}

/// What fits no pipeline, or several.
fn unfit(error: StageError) -> Problem {
    match error.kind() {
        ErrorKind::NoPipeline | ErrorKind::InvalidInput | ErrorKind::InvalidSpec => {
            Problem::new(422, error.kind().name(), error.report())
        }
        _ => error.into(),
    }
}

/// The pipeline for a file of that name: the one that is named, else the one that would take it in its folder.
fn by_filename<'a>(catalog: &'a Catalog, wanted: &UploadJob) -> Result<&'a CheckedSpec, StageError> {
    if wanted.pipeline.is_some() {
        return catalog.pick(&wanted.filename, wanted.pipeline.as_deref());
    }
    let fits = |spec: &&CheckedSpec| spec.match_glob.fits(&format!("{}{}", spec.match_glob.folder(), wanted.filename));
    match catalog.specs().iter().filter(fits).collect::<Vec<_>>()[..] {
        [spec] => Ok(spec),
        [] => catalog.pick(&wanted.filename, None),
        ref several => {
            let names: Vec<_> = several.iter().map(|spec| format!("`{}`", spec.name())).collect();
            let message =
                format!("several pipelines take {}: {}; name one as `pipeline`", wanted.filename, names.join(", "));
            Err(StageError::new(ErrorKind::InvalidInput, message))
        }
    }
}

/// The entity tag of the object; a version is pinned by its id.
async fn look_at(ports: &Ports, wanted: &ObjectJob) -> Result<Option<String>, Problem> {
    let object = ObjectRef::new(&wanted.bucket, &wanted.key);
    let options = GetOptions { head: true, version: wanted.version.clone(), ..GetOptions::default() };
    let bucket = ports.context.stores.bucket(&object.bucket)?;
    match bucket.get_opts(&store::path(&object.key)?, options).await {
        Ok(found) => Ok(found.meta.e_tag.filter(|_| wanted.version.is_none())),
        Err(object_store::Error::NotFound { .. }) => {
            let version = wanted.version.as_ref().map(|version| format!(" in the version {version}"));
            let detail = format!("there is no {object}{}", version.unwrap_or_default());
            Err(Problem::new(422, ErrorKind::SourceMissing.name(), detail))
        }
        Err(error) => Err(store::classify(error, &format!("cannot look at {object}")).into()),
    }
}

/// The key of a request; quotes around it, which the draft has and many clients leave out, do not count
/// (draft-ietf-httpapi-idempotency-key-header, "Syntax").
fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let Some(key) = request.header("idempotency-key") else { return Ok(None) };
    let inner = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key);
    if inner.is_empty() || inner.len() > KEY_BYTES_MAX {
        return Err(Problem::invalid(format!("`Idempotency-Key` must have 1 to {KEY_BYTES_MAX} bytes")));
    }
    Ok(Some(inner.to_owned()))
}

/// Where a caller's key is remembered: keys of others are others.
fn key_ref(ports: &Ports, request: &HttpRequest, key: &str) -> ObjectRef {
    let name = digest(json!([request.caller(), key]).to_string().as_bytes());
    ObjectRef::new(&ports.context.buckets.work, format!("{KEYS}{name}.json"))
}

/// What a key stands for, unless it is new. The job's document is absent where the function died before writing it.
async fn known_key(ports: &Ports, request: &HttpRequest, key: &str, body: &Value) -> Result<Option<KeyEntry>, Problem> {
    let found = store::get_json(&*ports.context.stores, &key_ref(ports, request, key)).await?;
    found.map(|entry| same_body(entry, key, body)).transpose()
}

fn same_body(entry: KeyEntry, key: &str, body: &Value) -> Result<KeyEntry, Problem> {
    if entry.body == digest(body.to_string().as_bytes()) {
        return Ok(entry);
    }
    let detail = format!("the Idempotency-Key {key:?} was used with another body, for job {}", entry.id);
    Err(Problem::new(422, "IdempotencyKeyReused", detail))
}

/// Makes a key stand for a job; where somebody was quicker, it stands for theirs.
async fn claim_key(
    ports: &Ports,
    request: &HttpRequest,
    key: &str,
    job: &Job,
    body: &Value,
) -> Result<KeyEntry, Problem> {
    let object = key_ref(ports, request, key);
    let stores = &*ports.context.stores;
    let entry = KeyEntry { id: job.id.clone(), created_ms: job.created_ms, body: digest(body.to_string().as_bytes()) };
    if store::put_if(stores, &object, store::json_bytes(&entry)?, None).await? {
        return Ok(entry);
    }
    let found = store::get_json(stores, &object).await?;
    let found = found.ok_or_else(|| {
        StageError::new(ErrorKind::StoreUnavailable, format!("{object} was written and cannot be read"))
    })?;
    same_body(found, key, body)
}

#[cfg(test)]
mod tests;
