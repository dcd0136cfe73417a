use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::CommandError;
use crate::up::Place;

#[derive(Debug, Args)]
pub(super) struct DownArguments {
    /// The directory that `stepwell up` was given.
    #[arg(long, value_name = "DIRECTORY", default_value = ".stepwell")]
    dir: PathBuf,
    /// Leaves the Python environment there, so that the next `stepwell up` need not install it.
    #[arg(long)]
    keep_environment: bool,
}

pub(super) fn down(arguments: &DownArguments) -> Result<ExitCode, CommandError> {
    let Some(place) = Place::find(&arguments.dir)? else {
        println!("nothing is up in {}", arguments.dir.display());
        return Ok(ExitCode::SUCCESS);
    };
    let group = place.group();
    let was_running = group.is_running()?;
    group.end()?;
    let what = if was_running { "ministack and its functions have ended" } else { "nothing was running" };
    if arguments.keep_environment {
        place.clear()?;
        println!("{what}; {} is kept", place.environment().display());
    } else {
        place.remove()?;
        println!("{what}; everything is removed");
    }
    Ok(ExitCode::SUCCESS)
}
