use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Instant};

use clap::Args;
use stepwell_pipeline::{
    StageError,
    progress::{Progress, Unwatched},
    request::RunRequest,
    run::{Run, Source, short_hash},
    spec::{CheckedSpec, PIPELINES_PREFIX},
    store::{self, ObjectRef},
};
use stepwell_statemachine::{Clock, SystemClock};

use super::{CommandError, Place, check::read_spec};
use crate::{
    executor::Executor,
    landing,
    progress::Lines,
    records,
    summary::{self, Ended},
};

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// The pipeline's spec.
    #[arg(value_name = "PIPELINE.YAML")]
    spec: PathBuf,
    /// The files to run, each as an object of its own.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The key under which the file lands; by default the folder of the pipeline's `match` and the file's name.
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(arguments: RunArguments) -> Result<ExitCode, CommandError> {
    let spec = read_spec(&arguments.spec).await?;
    let keys = keys(&spec, &arguments)?;
    let executor = open(&arguments.place)?;
    publish_spec(&executor, &spec).await?;
    let mut ended = Vec::with_capacity(keys.len());
    for (file, key) in arguments.files.iter().zip(keys) {
        let object = ObjectRef::new(&executor.context().buckets.landing, key);
        landing::land(executor.stores(), file, &object)
            .await
            .map_err(|error| CommandError::Usage(format!("cannot read {}: {error}", file.display())))?;
        if !arguments.place.json {
            eprintln!("{} → {object}", file.display());
        }
        let request = RunRequest {
            bucket: object.bucket,
            key: object.key,
            pipeline: Some(spec.name().to_owned()),
            ..RunRequest::default()
        };
        ended.push(execute(&executor, &spec, &request).await?);
    }
    summary::print(&executor, &ended, arguments.place.json).await
}

/// The deployment in the directory that was named.
pub(super) fn open(place: &Place) -> Result<Executor, CommandError> {
    let progress: Arc<dyn Progress> = if place.json { Arc::new(Unwatched) } else { Arc::new(Lines::new()) };
    Executor::open(&place.dir, progress)
        .map_err(|error| CommandError::Usage(format!("cannot use the directory {}: {error}", place.dir.display())))
}

/// Puts a spec where the stages look for it.
pub(super) async fn publish_spec(executor: &Executor, spec: &CheckedSpec) -> Result<(), CommandError> {
    let key = format!("{PIPELINES_PREFIX}{}.yaml", spec.name());
    let object = ObjectRef::new(&executor.context().buckets.work, key);
    Ok(store::put(&*executor.context().stores, &object, spec.text.clone()).await?)
}

/// Starts an execution of a request, waits for its end and keeps it.
pub(super) async fn execute(
    executor: &Executor,
    spec: &CheckedSpec,
    request: &RunRequest,
) -> Result<Ended, CommandError> {
    let name = execution_name(spec.name(), request);
    Ok(carry_out(executor, &name, spec.name(), request).await?)
}

/// Carries an execution out under a name, and keeps it.
pub(crate) async fn carry_out(
    executor: &Executor,
    name: &str,
    pipeline: &str,
    request: &RunRequest,
) -> Result<Ended, StageError> {
    let started = Instant::now();
    let run_id = run_id(executor, pipeline, request).await?;
    if let Some(run_id) = &run_id {
        records::keep_request(executor.context(), run_id, request).await?;
    }
    let execution = executor.start(name.to_owned(), request).await;
    if let Some(run_id) = &run_id {
        records::keep(executor.context(), run_id, &execution).await?;
    }
    Ok(Ended { execution, run_id, key: request.key.clone(), seconds: started.elapsed().as_secs_f64() })
}

fn keys(spec: &CheckedSpec, arguments: &RunArguments) -> Result<Vec<String>, CommandError> {
    let mut keys = Vec::with_capacity(arguments.files.len());
    for file in &arguments.files {
        let key = match (&arguments.key, &arguments.files[..]) {
            (Some(key), [_]) => landing::fitting(spec, key.clone()),
            (Some(_), _) => Err("--key goes with one file".to_owned()),
            (None, _) => landing::key_of(spec, file),
        };
        let key = key.map_err(CommandError::Usage)?;
        if keys.contains(&key) {
            return Err(CommandError::Usage(format!(
                "two of the files would land as {key}; run them apart, with --key"
            )));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// The id that the run will have, unless the object is missing.
async fn run_id(executor: &Executor, pipeline: &str, request: &RunRequest) -> Result<Option<String>, StageError> {
    let object = ObjectRef::new(&request.bucket, &request.key);
    let Some(meta) = store::head(&*executor.context().stores, &object).await? else { return Ok(None) };
    let source = Source {
        bucket: object.bucket,
        key: object.key,
        version: None,
        etag: meta.e_tag.unwrap_or_default(),
        size: meta.size,
        modified_ms: meta.last_modified.timestamp_millis(),
        sequencer: None,
    };
    // The id does not hang on the spec.
    Ok(Some(Run::new(pipeline, "", source).id))
}

/// A name that no execution had before. It ends in the time, so that names sort by it.
fn execution_name(pipeline: &str, request: &RunRequest) -> String {
    let moment = SystemClock.now().format("%Y%m%dT%H%M%S%6fZ");
    format!("{pipeline}-{}-{moment}", short_hash(&[&request.bucket, &request.key]))
}
