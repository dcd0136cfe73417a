//! `stepwell`: runs pipelines on this machine.

use std::process::ExitCode;

use clap::Parser;
use stepwell_local::{allocator, command::Arguments};

fn main() -> ExitCode {
    allocator::restart_with_settings();
    run()
}

#[tokio::main]
async fn run() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("STEPWELL_LOG")
                .unwrap_or_else(|_| "off,stepwell_pipeline::lineage=warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    arguments.execute().await
}
