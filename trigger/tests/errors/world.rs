//! A deployment in memory whose calls fail by name and key, with a clock that tests move.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, path::Path,
};
use serde_json::{Value, json};
use stepwell_pipeline::{
    ErrorKind, StageError,
    execution::{Described, Executions, MemoryExecutions, Started},
    link::MemoryLinks,
    progress::Unwatched,
    queue::MemoryQueue,
    request::RunRequest,
    stage::{Buckets, Budget, StageContext},
    store::{self, MemoryStores, ObjectRef, Stores},
};
use stepwell_trigger::{Ports, handler};

/// No test makes so many calls of one name and key: whoever does goes round in circles.
const CALLS_MAX: usize = 1_000;

thread_local! {
    static NOW_MS: Cell<u64> = const { Cell::new(1_700_000_000_000) };
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(NOW_MS.get())
}

/// Lets time pass for the tests of this thread.
pub(crate) fn pass_ms(ms: u64) {
    NOW_MS.set(NOW_MS.get() + ms);
}

/// Whether the time of an invocation is up.
#[derive(Debug, Default)]
pub(crate) struct TimeIsUp(pub(crate) AtomicBool);

impl Budget for TimeIsUp {
    fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A fault of the calls of a name whose key holds a text.
#[derive(Debug)]
struct Fault {
    call: &'static str,
    key: &'static str,
    kind: ErrorKind,
    /// How often it still happens.
    times: usize,
    /// Whether the call comes to pass, and only its answer is lost.
    is_done: bool,
}

/// All calls go through it.
#[derive(Debug, Default)]
pub(crate) struct Line {
    faults: Mutex<Vec<Fault>>,
    /// How often each was made, by name and key.
    calls: Mutex<BTreeMap<(&'static str, String), usize>>,
}

impl Line {
    /// Calls fail until all is mended.
    pub(crate) fn fails(&self, call: &'static str, key: &'static str, kind: ErrorKind) {
        self.fault(Fault { call, key, kind, times: usize::MAX, is_done: false });
    }

    /// One call fails.
    pub(crate) fn fails_once(&self, call: &'static str, key: &'static str, kind: ErrorKind) {
        self.fault(Fault { call, key, kind, times: 1, is_done: false });
    }

    /// One call comes to pass, and nobody hears of it.
    pub(crate) fn loses_the_answer_of(&self, call: &'static str, key: &'static str) {
        self.fault(Fault { call, key, kind: ErrorKind::StoreUnavailable, times: 1, is_done: true });
    }

    fn fault(&self, fault: Fault) {
        self.faults.lock().unwrap().push(fault);
    }

    pub(crate) fn mend(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// Takes the calls that were made.
    pub(crate) fn take_calls(&self) -> Calls {
        Calls(std::mem::take(&mut self.calls.lock().unwrap()))
    }

    async fn call<T>(
        &self,
        call: &'static str,
        key: &str,
        done: impl Future<Output = T>,
    ) -> std::result::Result<T, StageError> {
        {
            let mut calls = self.calls.lock().unwrap();
            let count = calls.entry((call, key.to_owned())).or_default();
            *count += 1;
            assert!(*count < CALLS_MAX, "{call} of {key} goes round in circles");
        }
        let fault = {
            let mut faults = self.faults.lock().unwrap();
            let fault =
                faults.iter_mut().find(|fault| fault.call == call && key.contains(fault.key) && fault.times > 0);
            fault.map(|fault| {
                fault.times -= 1;
                (StageError::new(fault.kind, "refused"), fault.is_done)
            })
        };
        match fault {
            None => Ok(done.await),
            Some((error, is_done)) => {
                if is_done {
                    done.await;
                }
                Err(error)
            }
        }
    }
}

/// Calls by name and key.
pub(crate) struct Calls(BTreeMap<(&'static str, String), usize>);

impl Calls {
    /// How many of a name were made of keys that hold a text.
    pub(crate) fn count(&self, call: &str, key: &str) -> usize {
        let matching = self.0.iter().filter(|((name, of), _)| *name == call && of.contains(key));
        matching.map(|(_, count)| count).sum()
    }

    /// The keys of the calls of a name.
    pub(crate) fn keys(&self, call: &str) -> Vec<&str> {
        self.0.keys().filter(|(name, _)| *name == call).map(|(_, key)| key.as_str()).collect()
    }
}

/// As the adapter to S3 says it.
fn by_store<T>(answer: std::result::Result<Result<T>, StageError>) -> Result<T> {
    answer.unwrap_or_else(|error| Err(object_store::Error::Generic { store: "S3", source: error.into() }))
}

#[derive(Debug)]
struct Bucket(Arc<dyn ObjectStore>, Arc<Line>);

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let call = if options.head { "HEAD" } else { "GET" };
        by_store(self.1.call(call, location.as_ref(), self.0.get_opts(location, options)).await)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, line, prefix) = (self.0.clone(), self.1.clone(), prefix.cloned());
        let all = async move {
            let listed = async { inner.list(prefix.as_ref()).collect::<Vec<_>>().await };
            line.call("LIST", prefix.as_ref().map_or("", AsRef::as_ref), listed).await
        };
        let listed = |listed: std::result::Result<_, StageError>| {
            stream::iter(listed.unwrap_or_else(|error| vec![by_store(Err(error))]))
        };
        stream::once(all).map(listed).flatten().boxed()
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        by_store(self.1.call("PUT", location.as_ref(), self.0.put_opts(location, payload, options)).await)
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(object_store::Error::NotImplemented { operation: "put".into(), implementer: "this bucket".into() })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(object_store::Error::NotImplemented { operation: "copy".into(), implementer: "this bucket".into() })
    }
}

#[derive(Debug)]
struct Refusing(MemoryStores, Arc<Line>);

#[async_trait]
impl Stores for Refusing {
    fn bucket(&self, name: &str) -> std::result::Result<Arc<dyn ObjectStore>, StageError> {
        Ok(Arc::new(Bucket(self.0.bucket(name)?, self.1.clone())))
    }
}

/// A state machine: a start is a call of the object's key, a look one of the execution's name.
#[derive(Debug)]
struct Machine(Arc<MemoryExecutions>, Arc<Line>);

#[async_trait]
impl Executions for Machine {
    async fn start(&self, name: &str, request: &RunRequest) -> std::result::Result<Started, StageError> {
        self.1.call("START", &request.key, self.0.start(name, request)).await?
    }

    async fn describe(&self, name: &str) -> std::result::Result<Option<Described>, StageError> {
        self.1.call("DESCRIBE", name, self.0.describe(name)).await?
    }
}

/// A deployment with one pipeline, `p`.
pub(crate) struct World {
    pub(crate) stores: MemoryStores,
    pub(crate) line: Arc<Line>,
    pub(crate) executions: Arc<MemoryExecutions>,
    pub(crate) dead: Arc<MemoryQueue>,
    pub(crate) budget: Arc<TimeIsUp>,
    pub(crate) ports: Ports,
}

impl World {
    /// A deployment whose pipeline has this `source`.
    pub(crate) async fn of(source: &str) -> Self {
        let (stores, line) = (MemoryStores::default(), Arc::new(Line::default()));
        let (executions, dead) = (Arc::new(MemoryExecutions::default()), Arc::new(MemoryQueue::default()));
        let budget = Arc::new(TimeIsUp::default());
        let context = StageContext::new(
            Arc::new(Refusing(stores.clone(), line.clone())),
            Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() },
            Arc::new(Unwatched),
        );
        let ports = Ports {
            context: StageContext { now, budget: budget.clone(), ..context },
            executions: Arc::new(Machine(executions.clone(), line.clone())),
            queue: dead.clone(),
            links: Arc::new(MemoryLinks),
            events_queue: "events".to_owned(),
            receives_max: 5,
            running_max: None,
        };
        let world = Self { stores, line, executions, dead, budget, ports };
        let spec = format!(
            "pipeline: p\nsource: {source}\nschema:\n  - {{ name: a, type: int8 }}\n\
             load: {{ target: parquet, path: lake/p/ }}\n"
        );
        world.put("work", "pipelines/p.yaml", spec).await;
        world
    }

    /// A deployment in which so many executions may run at the same time.
    pub(crate) async fn limited(running_max: usize) -> Self {
        let mut world = Self::of("{ match: \"in/*\" }").await;
        world.ports.running_max = Some(running_max);
        world
    }

    /// Goes on with a state machine that knows nothing of what was started.
    pub(crate) fn forget_executions(&mut self) {
        self.executions = Arc::default();
        self.ports.executions = Arc::new(Machine(self.executions.clone(), self.line.clone()));
    }

    pub(crate) async fn put(&self, bucket: &str, key: &str, bytes: impl Into<bytes::Bytes>) {
        store::put(&self.stores, &ObjectRef::new(bucket, key), bytes).await.unwrap();
    }

    pub(crate) async fn handle(&self, event: Value) -> std::result::Result<Value, StageError> {
        handler(&self.ports, event).await
    }

    pub(crate) async fn upload(&self, key: &str) -> std::result::Result<Value, StageError> {
        self.handle(uploaded(key)).await
    }

    pub(crate) async fn tick(&self, moment: &str) -> std::result::Result<Value, StageError> {
        self.handle(json!({ "tick": moment })).await
    }

    /// Delivers messages of the events queue for the first time. Gives the numbers of those that are to come again.
    pub(crate) async fn deliver(&self, bodies: &[Value]) -> Vec<String> {
        let record = |(number, body): (usize, &Value)| {
            json!({
                "messageId": number.to_string(), "body": body.to_string(), "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:events",
                "attributes": { "ApproximateReceiveCount": "1" },
            })
        };
        let records: Vec<Value> = bodies.iter().enumerate().map(record).collect();
        failed(&self.handle(json!({ "Records": records })).await.unwrap())
    }

    /// The keys of the objects whose executions run, in their order.
    pub(crate) fn running(&self) -> Vec<String> {
        let started = self.executions.started();
        let mut keys: Vec<String> = self.executions.running().iter().map(|name| started[name].key.clone()).collect();
        keys.sort();
        keys
    }

    /// The name of the execution of an object.
    pub(crate) fn execution(&self, key: &str) -> String {
        let started = self.executions.started();
        started.into_iter().find(|(_, request)| request.key == key).unwrap().0
    }

    pub(crate) async fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let listed = self.stores.bucket(bucket).unwrap().list(Some(&store::path(prefix).unwrap()));
        listed.map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap()
    }

    /// A JSON document in the work bucket.
    pub(crate) async fn document(&self, key: &str) -> Value {
        store::get_json(&self.stores, &ObjectRef::new("work", key)).await.unwrap().unwrap()
    }

    /// How many slots are held.
    pub(crate) async fn slots(&self) -> usize {
        self.document("slots.json").await["running"].as_object().unwrap().len()
    }

    /// The dead letters: their bodies and the names of their errors.
    pub(crate) fn take_letters(&self) -> Vec<(Value, String)> {
        let buried = self.dead.take_buried().into_iter();
        buried.map(|(body, cause)| (serde_json::from_str(&body).unwrap(), cause.error)).collect()
    }
}

/// An upload of one byte, as EventBridge tells it.
pub(crate) fn uploaded(key: &str) -> Value {
    json!({
        "detail-type": "Object Created",
        "detail": {
            "bucket": { "name": "landing" },
            "object": { "key": key, "size": 1, "version-id": key, "sequencer": "01" },
        },
    })
}

/// The end of an execution, as EventBridge tells it.
pub(crate) fn ended(name: &str) -> Value {
    json!({
        "detail-type": "Step Functions Execution Status Change",
        "detail": { "status": "SUCCEEDED", "name": name },
    })
}

/// What is to come again of a batch.
pub(crate) fn failed(answer: &Value) -> Vec<String> {
    let failures = answer["batchItemFailures"].as_array().unwrap();
    failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
}
