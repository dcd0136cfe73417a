use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use stepwell_pipeline::spec::CheckedSpec;

use super::CommandError;

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// The specs to check.
    #[arg(required = true, value_name = "PIPELINE.YAML")]
    specs: Vec<PathBuf>,
}

pub(super) async fn check(arguments: CheckArguments) -> Result<ExitCode, CommandError> {
    let mut wrong = Vec::new();
    for file in &arguments.specs {
        match read_spec(file).await {
            Ok(spec) => println!(
                "{}: pipeline `{}` is valid: {} columns, table {}",
                file.display(),
                spec.name(),
                spec.columns.len(),
                spec.spec.load.path.value
            ),
            Err(CommandError::Usage(message) | CommandError::Failed(message)) => wrong.push(message),
        }
    }
    if wrong.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(CommandError::Usage(wrong.join("\n"))) }
}

/// Reads a spec and checks the whole of it, its SQL included.
pub(super) async fn read_spec(file: &Path) -> Result<CheckedSpec, CommandError> {
    let name = file.display();
    let text = tokio::fs::read_to_string(file)
        .await
        .map_err(|error| CommandError::Usage(format!("cannot read the spec {name}: {error}")))?;
    let spec =
        CheckedSpec::parse(&name.to_string(), &text).map_err(|errors| CommandError::Usage(errors.to_string()))?;
    stepwell_extract::check(&spec).map_err(|errors| CommandError::Usage(errors.to_string()))?;
    let checked =
        stepwell_transform::check(&spec, None).await.map_err(|errors| CommandError::Usage(errors.to_string()))?;
    if checked == stepwell_transform::Checked::Parsed {
        eprintln!("{name}: the SQL was parsed only, since its reference tables are not at hand");
    }
    Ok(spec)
}
