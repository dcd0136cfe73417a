//! Runs executions of the state machine in process, with the stage libraries as its functions.

use std::{collections::BTreeMap, env, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Value, json};
use stepwell_pipeline::{
    StageError, handoff,
    notice::{Notice, Notifier},
    progress::Progress,
    request::RunRequest,
    run::short_hash,
    stage::{Buckets, HashKey, Stage, StageContext},
    store::{self, ObjectRef},
    usage::Meter,
};
use stepwell_statemachine::{
    Clock, ETL, Execution, ExecutionInfo, Invoke, Ports, RedriveError, StateMachine, SystemClock, TaskError,
};

use crate::{directory::DirectoryStores, lineage};

/// The folders of a local directory, by the names of the buckets that they stand for.
pub const BUCKETS: [&str; 3] = ["landing", "work", "lake"];

/// The variable that a function finds the key of `pii: hash` in, too.
const HASH_KEY: &str = "PII_HASH_KEY";

/// The memory in MiB that the template gives a stage's function. What a run would cost is reckoned with it, and with the
/// time that the stage takes on this machine.
fn memory_mib(stage: Stage) -> u64 {
    match stage {
        Stage::Extract => 1769,
        Stage::Transform => 3538,
        Stage::Load => 1024,
    }
}

/// A deployment on this machine: buckets in a directory, functions in process.
pub struct Executor {
    machine: StateMachine,
    functions: Functions,
    stores: DirectoryStores,
}

impl Executor {
    /// The deployment in a directory, which is made if it is not there. As in a function, the environment's
    /// `PII_HASH_KEY` is the key of `pii: hash`, and `OPENLINEAGE_URL` says where lineage is told.
    ///
    /// # Errors
    /// What the file system says, or what is wrong with the state machine.
    pub fn open(directory: &Path, progress: Arc<dyn Progress>) -> Result<Self, Box<dyn std::error::Error>> {
        let stores = DirectoryStores::open(directory, &BUCKETS)?;
        let [landing, work, lake] = BUCKETS.map(str::to_owned);
        let buckets = Buckets { landing, work, lake };
        let hash_key = env::var(HASH_KEY).ok().filter(|key| !key.is_empty()).map(|key| HashKey::new(key.as_bytes()));
        let lineage = lineage::of_environment(Arc::new(stores.clone()), &buckets.work)?;
        let context = StageContext::new(Arc::new(stores.clone()), buckets, progress);
        let context = StageContext { hash_key, lineage, ..context };
        let functions = ["Extract", "Transform", "Load", "Notify"]
            .map(|stage| (format!("{stage}FunctionArn"), stage.to_lowercase()));
        Ok(Self {
            machine: StateMachine::parse(ETL, &BTreeMap::from(functions))?,
            functions: Functions { notices: Notices { context: context.clone() }, context },
            stores,
        })
    }

    /// What the stages work with.
    pub fn context(&self) -> &StageContext {
        &self.functions.context
    }

    /// The directory's buckets.
    pub fn stores(&self) -> &DirectoryStores {
        &self.stores
    }

    /// Starts an execution and waits for its end.
    pub async fn start(&self, name: String, request: &RunRequest) -> Execution {
        let info = ExecutionInfo {
            id: format!("arn:aws:states:local:000000000000:execution:stepwell:{name}"),
            name,
            role_arn: "arn:aws:iam::000000000000:role/stepwell".to_owned(),
            machine_id: "arn:aws:states:local:000000000000:stateMachine:stepwell".to_owned(),
            machine_name: "stepwell".to_owned(),
        };
        self.machine.start(info, json!(request), self.ports()).await
    }

    /// Redrives a failed execution: it goes on at the stage that failed.
    ///
    /// # Errors
    /// Why it cannot be redriven.
    pub async fn redrive(&self, execution: Execution) -> Result<Execution, RedriveError> {
        self.machine.redrive(execution, self.ports()).await
    }

    fn ports(&self) -> Ports<'_> {
        Ports { invoke: &self.functions, clock: &SystemClock, observer: &(), seed: rand::random() }
    }
}

/// The functions that the state machine calls.
struct Functions {
    context: StageContext,
    notices: Notices,
}

#[async_trait]
impl Invoke for Functions {
    async fn invoke(&self, function: &str, payload: Value) -> Result<Value, TaskError> {
        let mut input = payload.get("input").cloned().unwrap_or_default();
        let execution_id = payload.get("execution_id").and_then(Value::as_str).unwrap_or_default();
        let meter = Stage::of_function(function)
            .map(|stage| Meter::begin(stage, memory_mib(stage), Duration::ZERO, &mut input));
        let context = self.context.clone().of_execution(execution_id);
        let context = &match &meter {
            Some(meter) => context.metered(meter.clone()),
            None => context,
        };
        let result = match function {
            "extract" => answer(async { stepwell_extract::extract(context, RunRequest::parse(&input)?).await }.await),
            "transform" => {
                answer(async { stepwell_transform::transform(context, handoff::parse(&input)?).await }.await)
            }
            "load" => answer(async { stepwell_load::load(context, handoff::parse(&input)?).await }.await),
            "notify" => {
                return stepwell_notify::handler(context, &self.notices, input)
                    .await
                    .map_err(|error| raised(error.name(), &error.message()));
            }
            other => return Err(raised("Lambda.ResourceNotFoundException", &format!("there is no function {other}"))),
        };
        let mut output = result.map_err(|error| raised(error.kind().name(), &error.report()))?;
        if let Some(meter) = &meter {
            meter.end(&mut output);
        }
        Ok(output)
    }
}

fn answer<T: Serialize>(result: Result<T, StageError>) -> Result<Value, StageError> {
    Ok(json!(result?))
}

/// An error as Lambda gives it to the state machine.
fn raised(error: &str, message: &str) -> TaskError {
    let cause = json!({ "errorType": error, "errorMessage": message }).to_string();
    TaskError { error: error.to_owned(), cause }
}

/// Keeps notices in the work bucket, where a deployment on AWS would publish them.
#[derive(Debug)]
struct Notices {
    context: StageContext,
}

#[async_trait]
impl Notifier for Notices {
    async fn publish(&self, notice: &Notice) -> Result<(), StageError> {
        let content = store::json_bytes(notice)?;
        let moment = SystemClock.now().format("%Y%m%dT%H%M%S%3fZ");
        let name = short_hash(&[&notice.subject, &notice.text]);
        let key = format!("notices/{moment}-{}-{name}.json", notice.outcome.word());
        store::put(&*self.context.stores, &ObjectRef::new(&self.context.buckets.work, key), content).await
    }
}
