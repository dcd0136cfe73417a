//! `stepwell`: runs pipelines on this machine.

use std::process::ExitCode;

use clap::Parser;
use stepwell_local::command::Arguments;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("STEPWELL_LOG").unwrap_or_else(|_| "off".into()))
        .with_writer(std::io::stderr)
        .init();
    arguments.execute().await
}
