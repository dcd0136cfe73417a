use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use stepwell_pipeline::progress::Unwatched;

use super::{CommandError, check::read_spec, run::publish_spec};
use crate::{
    executor::{BUCKETS, Executor},
    serve::Server,
};

#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    /// Where buckets are folders: `landing`, which is watched, `work` and `lake`.
    #[arg(long, value_name = "DIRECTORY", default_value = ".stepwell")]
    dir: PathBuf,
    /// A folder of specs (`*.yaml`, `*.yml`), which are checked and then put among those of the deployment.
    #[arg(long, value_name = "DIRECTORY")]
    pipelines: Option<PathBuf>,
    /// Where the jobs API listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    address: SocketAddr,
    /// How many executions may run at the same time; without it any number.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    running_max: Option<u16>,
    /// Runs what is there, and ends.
    #[arg(long)]
    once: bool,
}

pub(super) async fn serve(arguments: ServeArguments) -> Result<ExitCode, CommandError> {
    let ServeArguments { dir, pipelines, address, running_max, once } = arguments;
    let unusable = |error: &dyn std::fmt::Display| {
        CommandError::Usage(format!("cannot use the directory {}: {error}", dir.display()))
    };
    let executor = Executor::open(&dir, Arc::new(Unwatched)).map_err(|error| unusable(&error))?;
    let _lock = lock(&dir)?;
    if let Some(folder) = &pipelines {
        publish(&executor, folder).await?;
    }
    let [landing, work, _] = BUCKETS.map(|bucket| dir.join(bucket));
    // A port that nobody is told of takes nobody's.
    let address = if once { SocketAddr::from(([127, 0, 0, 1], 0)) } else { address };
    let server = Server::bind(executor, &landing, address, running_max.map(usize::from))
        .await
        .map_err(|error| CommandError::Usage(format!("cannot listen on {address}: {error}")))?;
    if once {
        let is_success = server.drain().await.map_err(|error| CommandError::Failed(error.to_string()))?;
        return Ok(if is_success { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    println!("jobs      http://{}/jobs (described at /openapi.json)", server.address()?);
    println!("files     put them into {}", landing.display());
    println!("pipelines {}", work.join("pipelines").display());
    server.serve().await.map_err(|error| CommandError::Failed(error.to_string()))?;
    Ok(ExitCode::SUCCESS)
}

/// Two servers would run each file twice. The lock goes with the process, however it ends.
fn lock(directory: &Path) -> Result<File, CommandError> {
    let path = directory.join(".serving");
    let file = File::create(&path)
        .map_err(|error| CommandError::Usage(format!("cannot write {}: {error}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(error) => {
            let message = format!("cannot serve {}: another server does ({error})", directory.display());
            Err(CommandError::Usage(message))
        }
    }
}

/// Puts the specs of a folder among those of the deployment, if all are right.
async fn publish(executor: &Executor, folder: &Path) -> Result<(), CommandError> {
    let unreadable = |error| CommandError::Usage(format!("cannot read {}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(CommandError::Usage(format!("there are no specs (*.yaml, *.yml) in {}", folder.display())));
    }
    let (mut specs, mut wrong) = (Vec::new(), Vec::new());
    for file in files {
        match read_spec(&file).await {
            Ok(spec) => specs.push(spec),
            Err(CommandError::Usage(message) | CommandError::Failed(message)) => wrong.push(message),
        }
    }
    if !wrong.is_empty() {
        return Err(CommandError::Usage(wrong.join("\n")));
    }
    for spec in specs {
        publish_spec(executor, &spec).await?;
    }
    Ok(())
}
