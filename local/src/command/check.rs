mod definition;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde::Serialize;
use stepwell_pipeline::spec::{CheckedSpec, SpecError, SpecErrors};
use stepwell_statemachine::lint::Finding;

use super::CommandError;

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Specs (.yaml, .yml), definitions of state machines (.asl.json, .asl, .json), or folders of them.
    #[arg(required = true, value_name = "FILE OR FOLDER")]
    files: Vec<PathBuf>,
    /// Prints one JSON document instead of text.
    #[arg(long)]
    json: bool,
}

/// What was found in one file.
#[derive(Serialize)]
struct Checked {
    file: String,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Outcome {
    Spec {
        #[serde(skip_serializing_if = "Option::is_none")]
        pipeline: Option<String>,
        #[serde(skip)]
        summary: String,
        findings: Vec<SpecFinding>,
    },
    StateMachine {
        findings: Vec<Finding>,
    },
}

#[derive(Serialize)]
struct SpecFinding {
    severity: &'static str,
    /// 0 where it is not known.
    line: u64,
    message: String,
}

impl Checked {
    fn is_wrong(&self) -> bool {
        match &self.outcome {
            Outcome::Spec { findings, .. } => !findings.is_empty(),
            Outcome::StateMachine { findings } => definition::is_wrong(findings),
        }
    }
}

pub(super) async fn check(arguments: CheckArguments) -> Result<ExitCode, CommandError> {
    let mut checked = Vec::new();
    for file in definition::files(&arguments.files)? {
        let name = file.display().to_string();
        let outcome = match definition::is_definition(&file) {
            true => Outcome::StateMachine { findings: definition::findings(&file).await? },
            false => spec(&file).await?,
        };
        checked.push(Checked { file: name, outcome });
    }
    if arguments.json {
        println!("{:#}", serde_json::json!({ "files": checked }));
        let wrong = checked.iter().any(Checked::is_wrong);
        return Ok(if wrong { ExitCode::from(2) } else { ExitCode::SUCCESS });
    }
    let mut wrong = Vec::new();
    for Checked { file, outcome } in &checked {
        match outcome {
            Outcome::Spec { summary, findings, .. } if findings.is_empty() => println!("{file}: {summary}"),
            Outcome::Spec { findings, .. } => wrong.extend(findings.iter().map(|finding| {
                let SpecFinding { line, message, .. } = finding;
                SpecError { file: file.clone(), line: *line, message: message.clone() }.to_string()
            })),
            Outcome::StateMachine { findings } => {
                let text = definition::text(file, findings);
                if definition::is_wrong(findings) { wrong.push(text) } else { println!("{text}") }
            }
        }
    }
    if wrong.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(CommandError::Usage(wrong.join("\n"))) }
}

async fn spec(file: &Path) -> Result<Outcome, CommandError> {
    let text = spec_text(file).await?;
    Ok(match whole(file, &text).await {
        Ok(spec) => Outcome::Spec {
            pipeline: Some(spec.name().to_owned()),
            summary: format!(
                "pipeline `{}` is valid: {} columns, table {}",
                spec.name(),
                spec.columns.len(),
                spec.spec.load.path.value
            ),
            findings: Vec::new(),
        },
        Err(errors) => {
            let findings = errors
                .0
                .into_iter()
                .map(|SpecError { line, message, .. }| SpecFinding { severity: "error", line, message })
                .collect();
            Outcome::Spec { pipeline: None, summary: String::new(), findings }
        }
    })
}

/// Reads a spec and checks the whole of it, its SQL included.
pub(super) async fn read_spec(file: &Path) -> Result<CheckedSpec, CommandError> {
    let text = spec_text(file).await?;
    whole(file, &text).await.map_err(|errors| CommandError::Usage(errors.to_string()))
}

async fn spec_text(file: &Path) -> Result<String, CommandError> {
    tokio::fs::read_to_string(file)
        .await
        .map_err(|error| CommandError::Usage(format!("cannot read the spec {}: {error}", file.display())))
}

async fn whole(file: &Path, text: &str) -> Result<CheckedSpec, SpecErrors> {
    let name = file.display();
    let spec = CheckedSpec::parse(&name.to_string(), text)?;
    stepwell_extract::check(&spec)?;
    if stepwell_transform::check(&spec, None).await? == stepwell_transform::Checked::Parsed {
        eprintln!("{name}: the SQL was parsed only, since its reference tables are not at hand");
    }
    Ok(spec)
}
