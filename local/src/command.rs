//! The commands and what they are given.

#[cfg(feature = "aws")]
mod backfill;
mod check;
#[cfg(feature = "aws")]
mod deployed;
#[cfg(feature = "aws")]
mod dlq;
mod down;
mod infer;
mod replay;
mod run;
mod serve;
mod up;

use std::{path::PathBuf, process::ExitCode, sync::LazyLock};

use clap::{Args, Parser, Subcommand};

pub(crate) use self::run::carry_out;

/// Runs ETL pipelines on this machine, through the same state machine and stages as on AWS.
#[derive(Debug, Parser)]
#[command(name = "stepwell", version = version(), after_help = "Exit codes: 0 done, 1 a run failed, 2 bad usage or a wrong spec.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// The version, and the commit where the build was told it: see docs/releasing.md.
fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| match option_env!("STEPWELL_COMMIT") {
        Some(commit) => format!("{} ({commit})", env!("CARGO_PKG_VERSION")),
        None => env!("CARGO_PKG_VERSION").to_owned(),
    });
    &VERSION
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs files through a pipeline.
    Run(run::RunArguments),
    /// Checks specs, their SQL included, and definitions of state machines, without running anything.
    Check(check::CheckArguments),
    /// Writes a first spec for a file, to be corrected by a person.
    Infer(infer::InferArguments),
    /// Runs a run again: finished stages are not repeated.
    Replay(replay::ReplayArguments),
    /// Loads objects on AWS that are there already, no faster than a rate.
    #[cfg(feature = "aws")]
    Backfill(backfill::BackfillArguments),
    /// Looks at the dead letters of a deployment on AWS, and redrives them.
    #[cfg(feature = "aws")]
    #[command(subcommand)]
    Dlq(dlq::DlqCommand),
    /// Watches a landing folder and runs what arrives, and takes jobs over HTTP.
    Serve(serve::ServeArguments),
    /// Builds the functions and deploys them with the template on ministack, on this machine.
    Up(up::UpArguments),
    /// Ends what `up` started, and removes everything that it made.
    Down(down::DownArguments),
    /// Prints the OpenAPI document of the jobs API.
    Openapi,
    /// Prints the JSON Schema of pipeline specs, for editors.
    Schema,
}

#[derive(Debug, Args)]
struct Place {
    /// Where buckets are folders: `landing`, `work` and `lake`.
    #[arg(long, value_name = "DIRECTORY", default_value = ".stepwell")]
    dir: PathBuf,
    /// Prints one JSON document instead of text.
    #[arg(long)]
    json: bool,
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// What was asked for cannot be done: exit code 2.
    Usage(String),
    /// It was tried and went wrong: exit code 1.
    Failed(String),
}

impl<E: std::error::Error> From<E> for CommandError {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            source = cause.source();
        }
        Self::Failed(message)
    }
}

impl Arguments {
    /// Carries the command out and tells how it went by the exit code.
    pub async fn execute(self) -> ExitCode {
        let result = match self.command {
            Command::Run(arguments) => run::run(arguments).await,
            Command::Check(arguments) => check::check(arguments).await,
            Command::Infer(arguments) => infer::run(&arguments).await,
            Command::Replay(arguments) => replay::replay(arguments).await,
            #[cfg(feature = "aws")]
            Command::Backfill(arguments) => backfill::backfill(arguments).await,
            #[cfg(feature = "aws")]
            Command::Dlq(command) => dlq::dlq(command).await,
            Command::Serve(arguments) => serve::serve(arguments).await,
            Command::Up(arguments) => up::up(arguments).await,
            Command::Down(arguments) => down::down(&arguments),
            Command::Openapi => {
                println!("{:#}", stepwell_trigger::openapi());
                Ok(ExitCode::SUCCESS)
            }
            Command::Schema => {
                println!("{:#}", stepwell_pipeline::spec::json_schema());
                Ok(ExitCode::SUCCESS)
            }
        };
        match result {
            Ok(code) => code,
            Err(CommandError::Usage(message)) => {
                eprintln!("error: {message}");
                ExitCode::from(2)
            }
            Err(CommandError::Failed(message)) => {
                eprintln!("error: {message}");
                ExitCode::FAILURE
            }
        }
    }
}
