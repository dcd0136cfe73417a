//! Replays of all that failed, after showing what they are.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
#[cfg(feature = "aws")]
use stepwell_pipeline::request::RunRequest;
use stepwell_pipeline::spec::Catalog;
use stepwell_statemachine::{Execution, Status};

use super::{CommandError, ReplayArguments, execute};
use crate::{executor::Executor, records, summary};

/// What failed, as a person is shown it.
struct Failure {
    /// The run, or on AWS the execution.
    name: String,
    key: String,
    at: DateTime<Utc>,
    error: String,
}

/// Replays the runs in the directory whose latest execution failed.
pub(super) async fn here(executor: &Executor, arguments: &ReplayArguments) -> Result<ExitCode, CommandError> {
    let context = executor.context();
    let since = begin(arguments.since);
    let mut failed = Vec::new();
    for run_id in records::runs(context).await? {
        let Some(execution) = records::latest(context, &run_id).await? else { continue };
        let Some(request) = records::request(context, &run_id).await? else { continue };
        let at = ended_at(&execution);
        if execution.status != Status::Succeeded && at >= since {
            let error = execution.error.unwrap_or_else(|| "TimedOut".to_owned());
            failed.push((Failure { name: run_id, key: request.key.clone(), at, error }, request));
        }
    }
    failed.sort_by_key(|(failure, _)| failure.at);
    let shown: Vec<&Failure> = failed.iter().map(|(failure, _)| failure).collect();
    if !confirmed(&shown, arguments.yes)? {
        return Ok(ExitCode::SUCCESS);
    }
    let catalog = Catalog::read(context).await?;
    let mut ended = Vec::with_capacity(failed.len());
    for (_, request) in &failed {
        let spec = catalog.pick(&request.key, request.pipeline.as_deref())?;
        ended.push(execute(executor, spec, request).await?);
    }
    summary::print(executor, &ended, arguments.place.json).await
}

fn ended_at(execution: &Execution) -> DateTime<Utc> {
    execution.trace.last().map_or(execution.started_at, |event| event.at)
}

/// Replays the executions of a state machine that failed.
#[cfg(feature = "aws")]
pub(super) async fn on_aws(state_machine: &str, since: Duration, is_confirmed: bool) -> Result<ExitCode, CommandError> {
    use std::time::SystemTime;

    let client = aws_sdk_sfn::Client::new(&stepwell_aws::sdk::config().await);
    let executions = stepwell_aws::SfnExecutions::new(client, state_machine);
    let failed = executions.failed(SystemTime::from(begin(since))).await?;
    let shown: Vec<Failure> = failed
        .iter()
        .map(|execution| Failure {
            name: execution.name.clone(),
            key: serde_json::from_str::<RunRequest>(&execution.input).map(|request| request.key).unwrap_or_default(),
            at: execution.ended_at.into(),
            error: execution.error.clone(),
        })
        .collect();
    if !confirmed(&shown.iter().collect::<Vec<_>>(), is_confirmed)? {
        return Ok(ExitCode::SUCCESS);
    }
    for (number, execution) in failed.iter().enumerate() {
        let name = executions.replay(execution, SystemTime::now()).await.map_err(|error| {
            CommandError::Failed(format!("{} of {} were started: {}", number, failed.len(), error.report()))
        })?;
        println!("started {name}");
    }
    Ok(ExitCode::SUCCESS)
}

fn begin(since: Duration) -> DateTime<Utc> {
    let since = TimeDelta::from_std(since).unwrap_or(TimeDelta::MAX);
    Utc::now().checked_sub_signed(since).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// Shows what failed; returns whether it is to be replayed.
fn confirmed(failed: &[&Failure], is_confirmed: bool) -> Result<bool, CommandError> {
    let unheard = |error: io::Error| CommandError::Failed(format!("cannot ask: {error}"));
    if failed.is_empty() {
        eprintln!("nothing failed");
        return Ok(false);
    }
    for failure in failed {
        let at = failure.at.format("%Y-%m-%d %H:%M:%SZ");
        eprintln!("{at}  {:<24} {}  ({})", failure.error, failure.key, failure.name);
    }
    if is_confirmed {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        eprintln!("{} would be replayed; do it with --yes", failed.len());
        return Ok(false);
    }
    eprint!("replay {}? [y/N] ", failed.len());
    io::stderr().flush().map_err(unheard)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(unheard)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
