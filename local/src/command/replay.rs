mod failed;

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use stepwell_pipeline::{
    request::RunRequest,
    spec::{Catalog, nearest},
    stage::StageContext,
};

use super::{
    CommandError, Place,
    check::read_spec,
    run::{execute, open, publish_spec},
};
use crate::{
    executor::Executor,
    records,
    summary::{self, Ended},
};

#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    /// The run's id, as the summary of the failed run gave it, or enough of its beginning.
    #[arg(required_unless_present = "failed")]
    run: Option<String>,
    /// Replays what failed, each with the input it had, after showing it.
    #[arg(long, conflicts_with_all = ["run", "spec", "redrive"])]
    failed: bool,
    /// How far back failures count, such as `30m`, `2h` or `1day`.
    #[arg(long, value_name = "DURATION", default_value = "1day", value_parser = humantime::parse_duration, requires = "failed")]
    since: Duration,
    /// Replays on AWS: the state machine's ARN. Region and credentials come from the environment.
    #[cfg(feature = "aws")]
    #[arg(long, value_name = "ARN", requires = "failed")]
    state_machine: Option<String>,
    /// Asks nothing.
    #[arg(long, requires = "failed")]
    yes: bool,
    /// A mended spec to replay with; by default the one that the run's pipeline has now.
    #[arg(long, value_name = "PIPELINE.YAML", conflicts_with = "redrive")]
    spec: Option<PathBuf>,
    /// Goes on with the failed execution itself, at the stage that failed, instead of starting a new one.
    #[arg(long)]
    redrive: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn replay(arguments: ReplayArguments) -> Result<ExitCode, CommandError> {
    #[cfg(feature = "aws")]
    if let Some(state_machine) = &arguments.state_machine {
        return failed::on_aws(state_machine, arguments.since, arguments.yes).await;
    }
    if !arguments.place.dir.is_dir() {
        return Err(CommandError::Usage(format!("there is no directory {}", arguments.place.dir.display())));
    }
    let executor = open(&arguments.place)?;
    let context = executor.context();
    let Some(run) = &arguments.run else {
        return failed::here(&executor, &arguments).await;
    };
    let run_id = find(context, run).await?;
    let request = records::request(context, &run_id)
        .await?
        .ok_or_else(|| CommandError::Usage(format!("the run {run_id} has no request to replay")))?;
    let ended = if arguments.redrive {
        redrive(&executor, run_id, &request).await?
    } else {
        let spec = match &arguments.spec {
            Some(file) => {
                let spec = read_spec(file).await?;
                publish_spec(&executor, &spec).await?;
                spec
            }
            None => Catalog::read(context).await?.pick(&request.key, request.pipeline.as_deref())?.clone(),
        };
        execute(&executor, &spec, &request).await?
    };
    summary::print(&executor, &[ended], arguments.place.json).await
}

async fn redrive(executor: &Executor, run_id: String, request: &RunRequest) -> Result<Ended, CommandError> {
    let started = Instant::now();
    let execution = records::latest(executor.context(), &run_id)
        .await?
        .ok_or_else(|| CommandError::Usage(format!("the run {run_id} has no execution to redrive")))?;
    let execution = executor.redrive(execution).await.map_err(|error| CommandError::Usage(error.to_string()))?;
    records::keep(executor.context(), &run_id, &execution).await?;
    Ok(Ended { execution, run_id: Some(run_id), key: request.key.clone(), seconds: started.elapsed().as_secs_f64() })
}

/// The one run whose id is or begins with `wanted`.
async fn find(context: &StageContext, wanted: &str) -> Result<String, CommandError> {
    let runs = records::runs(context).await?;
    let fitting: Vec<&String> = runs.iter().filter(|run| run.starts_with(wanted)).collect();
    match (runs.iter().find(|run| *run == wanted), &fitting[..]) {
        (Some(run), _) => Ok(run.clone()),
        (None, [run]) => Ok((*run).clone()),
        (None, []) => {
            let hint = nearest(wanted, runs.iter().map(String::as_str));
            let hint = hint.map(|run| format!("; did you mean {run}?")).unwrap_or_default();
            Err(CommandError::Usage(format!("there is no run {wanted}{hint}")))
        }
        (None, several) => {
            let ids: Vec<_> = several.iter().map(|run| run.as_str()).collect();
            Err(CommandError::Usage(format!("several runs begin with {wanted}: {}", ids.join(", "))))
        }
    }
}
