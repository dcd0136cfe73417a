//! A deployment in memory for the tests of this folder: what the stores and the state machine are asked for can be seen,
//! and what the state machine says of executions is said by the test.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::{TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, path::Path,
};
use serde_json::{Value, json};
use stepwell_pipeline::{
    ErrorKind, StageError,
    execution::{Described, ExecutionState, Executions, Started},
    handoff::{Commit, Loaded},
    link::MemoryLinks,
    progress::Unwatched,
    queue::MemoryQueue,
    request::RunRequest,
    run::{Run, Source},
    stage::{Buckets, StageContext},
    store::{self, MemoryStores, ObjectRef, Stores},
};

use super::{
    api::JobState,
    document::{self, Job, Seen},
    http::HttpRequest,
    openapi, respond,
};
use crate::Ports;

/// The beginning of 2026, when each of these deployments came into being.
pub(super) const START_MS: i64 = 1_767_225_600_000;

/// The only version that objects with versions have.
pub(super) const VERSION: &str = "v1";

pub(super) const ID: &str = "0123456789a-0123456789abcdef0123";

thread_local! {
    static NOW_MS: Cell<u64> = const { Cell::new(0) };
}

fn clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(NOW_MS.get())
}

/// Sets the clock to so long after the deployment came into being.
pub(super) fn at_ms(since_start_ms: i64) -> DateTime<Utc> {
    let moment_ms = START_MS + since_start_ms;
    NOW_MS.set(u64::try_from(moment_ms).expect("after 1970"));
    DateTime::from_timestamp_millis(moment_ms).expect("a moment")
}

/// Executions that stand as the test says.
#[derive(Debug, Default)]
pub(super) struct ToldExecutions {
    started: Mutex<BTreeMap<String, RunRequest>>,
    /// How many times one was asked for.
    looks: Mutex<usize>,
    says: Mutex<Option<Result<Described, ErrorKind>>>,
}

impl ToldExecutions {
    pub(super) fn say(&self, state: ExecutionState, started_ms: i64, ended_ms: Option<i64>) {
        let ms = |ms: i64| u64::try_from(ms).expect("after 1970");
        *self.says.lock().expect("a lock") =
            Some(Ok(Described { state, started_ms: ms(started_ms), ended_ms: ended_ms.map(ms) }));
    }

    pub(super) fn fail(&self, kind: ErrorKind) {
        *self.says.lock().expect("a lock") = Some(Err(kind));
    }

    pub(super) fn looks(&self) -> usize {
        *self.looks.lock().expect("a lock")
    }

    /// The only request that was started.
    pub(super) fn request(&self) -> RunRequest {
        let started = self.started.lock().expect("a lock");
        assert_eq!(started.len(), 1, "{started:?}");
        started.values().next().expect("a request").clone()
    }
}

#[async_trait]
impl Executions for ToldExecutions {
    async fn start(&self, name: &str, request: &RunRequest) -> Result<Started, StageError> {
        self.started.lock().expect("a lock").entry(name.to_owned()).or_insert_with(|| request.clone());
        Ok(Started::Running)
    }

    async fn describe(&self, _: &str) -> Result<Option<Described>, StageError> {
        *self.looks.lock().expect("a lock") += 1;
        match self.says.lock().expect("a lock").clone() {
            Some(Ok(described)) => Ok(Some(described)),
            Some(Err(kind)) => Err(StageError::new(kind, "cannot describe the execution")),
            None => Ok(None),
        }
    }
}

/// A request for an object: its key, whether for its head alone, the version.
type Get = (String, bool, Option<String>);

/// Stores whose objects have one version, and that remember what was got.
#[derive(Clone, Debug, Default)]
pub(super) struct SeenStores {
    stores: MemoryStores,
    gets: Arc<Mutex<Vec<Get>>>,
}

impl Stores for SeenStores {
    fn bucket(&self, name: &str) -> Result<Arc<dyn ObjectStore>, StageError> {
        Ok(Arc::new(SeenBucket(self.stores.bucket(name)?, self.gets.clone())))
    }
}

#[derive(Debug)]
struct SeenBucket(Arc<dyn ObjectStore>, Arc<Mutex<Vec<Get>>>);

impl fmt::Display for SeenBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for SeenBucket {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.1.lock().expect("a lock").push((location.to_string(), options.head, options.version.clone()));
        match options.version.as_deref() {
            None | Some(VERSION) => self.0.get_opts(location, options).await,
            Some(version) => {
                Err(object_store::Error::NotFound { path: location.to_string(), source: version.to_owned().into() })
            }
        }
    }

    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u64,
    pub(super) headers: Value,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_default()
    }
}

/// A deployment with the pipeline `all` for objects in the folder `in/`.
pub(super) struct World {
    pub(super) ports: Ports,
    pub(super) stores: SeenStores,
    pub(super) executions: Arc<ToldExecutions>,
    pub(super) queue: Arc<MemoryQueue>,
}

impl World {
    pub(super) async fn new() -> Self {
        at_ms(0);
        let stores = SeenStores::default();
        let (executions, queue) = (Arc::new(ToldExecutions::default()), Arc::new(MemoryQueue::default()));
        let spec = "pipeline: all\nsource: { match: \"in/*\" }\nschema:\n  - { name: a, type: int8 }\n\
                    load: { target: parquet, path: lake/all/ }\n";
        store::put(&stores, &ObjectRef::new("work", "pipelines/all.yaml"), spec).await.expect("a spec");
        let buckets = Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() };
        let context = StageContext::new(Arc::new(stores.clone()), buckets, Arc::new(Unwatched));
        let ports = Ports {
            context: StageContext { now: clock, ..context },
            executions: executions.clone(),
            queue: queue.clone(),
            links: Arc::new(MemoryLinks),
            events_queue: "events".to_owned(),
            receives_max: 5,
            running_max: None,
        };
        Self { ports, stores, executions, queue }
    }

    /// Puts an object into the landing bucket, and gives its entity tag.
    pub(super) async fn land(&self, key: &str) -> Option<String> {
        let object = ObjectRef::new("landing", key);
        store::put(&self.stores, &object, "a\n1\n").await.expect("an object");
        store::head(&self.stores, &object).await.expect("a head").and_then(|meta| meta.e_tag)
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask(request("GET", path)).await
    }

    pub(super) async fn post(&self, body: &Value) -> Answer {
        self.post_with(&[], body).await
    }

    pub(super) async fn post_with(&self, headers: &[(&str, &str)], body: &Value) -> Answer {
        let mut event = request("POST", "/jobs");
        event["headers"] = json!({ "content-type": "application/json" });
        for (name, value) in headers {
            event["headers"][name] = json!(value);
        }
        event["body"] = json!(body.to_string());
        self.ask(event).await
    }

    async fn ask(&self, event: Value) -> Answer {
        let answer = respond(&self.ports, http_request(event.clone())).await.expect("an answer");
        let body = serde_json::from_str(answer["body"].as_str().expect("a body")).expect("JSON");
        let status = answer["statusCode"].as_u64().expect("a status");
        let answer = Answer { status, headers: answer["headers"].clone(), body };
        assert_documented(&event, &answer);
        answer
    }

    /// Writes the document of a job.
    pub(super) async fn keep(&self, job: Job) -> Seen {
        document::create(&self.ports, job).await.expect("a document")
    }

    /// The job of that id, as its document has it.
    pub(super) async fn job(&self, id: &str) -> Job {
        document::read(&self.ports, id).await.expect("a document").expect("a job").job
    }

    /// How objects of that bucket and folder were got since this was asked last.
    pub(super) fn take_gets(&self, folder: &str) -> Vec<Get> {
        let mut gets = std::mem::take(&mut *self.stores.gets.lock().expect("a lock"));
        gets.retain(|(key, ..)| key.starts_with(folder));
        gets
    }

    /// The names of the markers of open jobs.
    pub(super) async fn markers(&self) -> Vec<String> {
        let bucket = self.stores.bucket("work").expect("a bucket");
        let listed = bucket.list(Some(&store::path(document::OPEN).expect("a path")));
        listed
            .map_ok(|meta| meta.location.filename().unwrap_or_default().to_owned())
            .try_collect()
            .await
            .expect("names")
    }
}

/// A job of the object `in/a.csv` whose execution was to be started as soon as it came into being.
pub(super) fn object_job() -> Job {
    let request = RunRequest { bucket: "landing".into(), key: "in/a.csv".into(), ..RunRequest::default() };
    Job {
        id: ID.to_owned(),
        pipeline: "all".to_owned(),
        state: JobState::Pending,
        created_ms: START_MS,
        request: Some(request),
        upload: None,
        looked_ms: None,
        started_ms: None,
        ended_ms: None,
        records: None,
        result: None,
        error: None,
        alarm_owed: false,
    }
}

/// A job whose upload is to come.
pub(super) fn upload_job() -> Job {
    let object = ObjectRef::new("landing", format!("{}{ID}/a.csv", document::UPLOADS));
    let upload = Some(document::Upload { object, expires_ms: START_MS + 60 * 60 * 1000 });
    Job { request: None, upload, ..object_job() }
}

/// The end of an execution that loaded three records of five.
pub(super) fn succeeded() -> ExecutionState {
    let source = Source {
        bucket: "landing".into(),
        key: "in/a.csv".into(),
        version: None,
        etag: "e".into(),
        size: 4,
        modified_ms: 0,
        sequencer: None,
    };
    ExecutionState::Succeeded(json!(Loaded {
        run: Run::new("all", "0123456789abcdef", source),
        table: ObjectRef::new("lake", "all/"),
        commit: Commit::Committed,
        manifest: "all/_stepwell/commits/1.json".into(),
        report: "runs/1/report.json".into(),
        records_read: 5,
        records_rejected: 1,
        records_filtered: Some(1),
        records_loaded: 3,
        bytes_loaded: 30,
    }))
}

pub(super) fn failed(error: &str) -> ExecutionState {
    ExecutionState::Failed { error: error.to_owned(), cause: format!("{error} happened") }
}

fn request(method: &str, path: &str) -> Value {
    json!({ "rawPath": path, "requestContext": { "requestId": "r", "http": { "method": method } } })
}

/// What a route answers must be among what the OpenAPI document says of it.
fn assert_documented(event: &Value, answer: &Answer) {
    let segments: Vec<_> = event["rawPath"].as_str().expect("a path").split('/').skip(1).collect();
    let route = match segments[..] {
        ["jobs"] => "/jobs",
        ["jobs", _] => "/jobs/{id}",
        ["jobs", _, "result"] => "/jobs/{id}/result",
        _ => return,
    };
    let method = event["requestContext"]["http"]["method"].as_str().expect("a method").to_lowercase();
    let response = &openapi()["paths"][route][method]["responses"][answer.status.to_string()];
    let media_type = answer.headers["content-type"].as_str().expect("a media type");
    assert!(response["content"].get(media_type).is_some(), "{route} does not promise {answer:?}");
}

fn http_request(event: Value) -> HttpRequest {
    serde_json::from_value(event).expect("a request")
}
