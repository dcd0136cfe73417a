use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::Utc;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stepwell_pipeline::{
    ErrorKind, StageError,
    execution::{Described, ExecutionState, Executions, Started},
    failure::CaughtError,
    request::RunRequest,
    store::{self, ObjectRef},
};
use stepwell_statemachine::{Execution, Status};

use super::queue::LocalQueue;
use crate::{
    command::carry_out,
    executor::Executor,
    summary::{self, Ended},
};

/// Where the records of executions are in the work bucket.
const EXECUTIONS: &str = "executions/";

/// An execution, as it is kept: its name is taken for ever.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    request: RunRequest,
    started_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<CaughtError>,
}

/// Executions of the state machine in process.
pub(super) struct LocalExecutions {
    inner: Arc<Inner>,
}

struct Inner {
    executor: Arc<Executor>,
    queue: Arc<LocalQueue>,
    running: Mutex<BTreeSet<String>>,
    failed: AtomicUsize,
    is_closed: AtomicBool,
}

impl fmt::Debug for LocalExecutions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalExecutions").field("running", &self.inner.running).finish_non_exhaustive()
    }
}

impl LocalExecutions {
    pub(super) fn new(executor: Arc<Executor>, queue: Arc<LocalQueue>) -> Self {
        let (running, failed, is_closed) = (Mutex::default(), AtomicUsize::default(), AtomicBool::default());
        Self { inner: Arc::new(Inner { executor, queue, running, failed, is_closed }) }
    }

    /// How many run.
    pub(super) fn running(&self) -> usize {
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many failed.
    pub(super) fn failed(&self) -> usize {
        self.inner.failed.load(Ordering::Relaxed)
    }

    /// Starts none any more.
    pub(super) fn close(&self) {
        self.inner.is_closed.store(true, Ordering::Relaxed);
    }

    /// Starts anew what ran when an earlier process ended. Finished stages are not repeated.
    ///
    /// # Errors
    /// What the store says.
    pub(super) async fn resume(&self) -> Result<(), StageError> {
        let context = self.inner.executor.context();
        let listed = context.stores.bucket(&context.buckets.work)?.list(Some(&store::path(EXECUTIONS)?));
        let names: Vec<String> = listed
            .try_filter_map(|meta| {
                let name = meta.location.filename().and_then(|name| name.strip_suffix(".json")).map(str::to_owned);
                std::future::ready(Ok(name))
            })
            .try_collect()
            .await
            .map_err(|error| store::classify(error, "cannot list the executions"))?;
        for name in names {
            if let Some(record) = self.inner.record(&name).await?.filter(|record| record.ended_ms.is_none()) {
                eprintln!("{}: begun by an earlier process; goes on", record.request.key);
                self.inner.clone().spawn(name, record);
            }
        }
        Ok(())
    }
}

impl Inner {
    fn record_ref(&self, name: &str) -> ObjectRef {
        ObjectRef::new(&self.executor.context().buckets.work, format!("{EXECUTIONS}{name}.json"))
    }

    async fn record(&self, name: &str) -> Result<Option<Record>, StageError> {
        store::get_json(&*self.executor.context().stores, &self.record_ref(name)).await
    }

    /// Carries an execution out beside everything else, unless it runs.
    fn spawn(self: Arc<Self>, name: String, record: Record) {
        if !self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone()) {
            return;
        }
        tokio::spawn(async move {
            let inner = self.clone();
            let task_name = name.clone();
            // A panic ends the execution and not the server.
            let task = tokio::spawn(async move { inner.carry_out(&task_name, record).await });
            let status = match task.await {
                Ok(Ok(status)) => status,
                Ok(Err(error)) => {
                    eprintln!("the execution {name} cannot be noted: {}", error.report());
                    "FAILED"
                }
                Err(error) => {
                    eprintln!("the execution {name} broke off: {error}");
                    "FAILED"
                }
            };
            if status != "SUCCEEDED" {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
            let event = json!({
                "source": "aws.states",
                "detail-type": "Step Functions Execution Status Change",
                "detail": { "name": name, "status": status },
            });
            // Before it counts as ended: who waits for the end of all waits for this, too.
            self.queue.push(event.to_string(), Duration::ZERO);
            self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        });
    }

    async fn carry_out(&self, name: &str, record: Record) -> Result<&'static str, StageError> {
        let pipeline = record.request.pipeline.as_deref().unwrap_or_default();
        let ended = carry_out(&self.executor, name, pipeline, &record.request).await?;
        println!("{}", summary::line(&ended));
        let record = ended_record(&ended, record);
        store::put_json(&*self.executor.context().stores, &self.record_ref(name), &record).await?;
        Ok(match ended.execution.status {
            Status::Succeeded => "SUCCEEDED",
            Status::Failed => "FAILED",
            Status::TimedOut => "TIMED_OUT",
        })
    }
}

fn ended_record(ended: &Ended, record: Record) -> Record {
    let Execution { status, output, error, cause, .. } = &ended.execution;
    let caught = CaughtError { error: error.clone().unwrap_or_default(), cause: cause.clone().unwrap_or_default() };
    let is_success = *status == Status::Succeeded;
    Record {
        ended_ms: Some(now_ms()),
        output: output.clone().filter(|_| is_success),
        error: (!is_success).then_some(caught),
        ..record
    }
}

fn now_ms() -> u64 {
    u64::try_from(Utc::now().timestamp_millis()).unwrap_or_default()
}

#[async_trait]
impl Executions for LocalExecutions {
    async fn start(&self, name: &str, request: &RunRequest) -> Result<Started, StageError> {
        let inner = &self.inner;
        if inner.is_closed.load(Ordering::Relaxed) {
            return Err(StageError::new(ErrorKind::TargetUnavailable, "the server ends and starts no execution"));
        }
        let record =
            Record { request: request.clone(), started_ms: now_ms(), ended_ms: None, output: None, error: None };
        let stores = &*inner.executor.context().stores;
        // The name is taken by whoever writes it first.
        if store::put_if(stores, &inner.record_ref(name), store::json_bytes(&record)?, None).await? {
            inner.clone().spawn(name.to_owned(), record);
            return Ok(Started::Running);
        }
        let found = inner.record(name).await?;
        Ok(if found.is_some_and(|record| record.ended_ms.is_some()) { Started::AlreadyDone } else { Started::Running })
    }

    async fn describe(&self, name: &str) -> Result<Option<Described>, StageError> {
        let Some(record) = self.inner.record(name).await? else { return Ok(None) };
        let state = match (record.ended_ms, record.error) {
            (None, _) => ExecutionState::Running,
            (Some(_), None) => ExecutionState::Succeeded(record.output.unwrap_or_default()),
            (Some(_), Some(CaughtError { error, cause })) => ExecutionState::Failed { error, cause },
        };
        Ok(Some(Described { state, started_ms: record.started_ms, ended_ms: record.ended_ms }))
    }
}
