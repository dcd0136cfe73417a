//! Tells how runs ended.

use std::process::ExitCode;

use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};
use stepwell_pipeline::{
    failure::CaughtError,
    figures::usd,
    handoff::{self, Commit, Loaded},
    manifest::Report,
    price,
    store::{self, ObjectRef},
    usage::Usage,
};
use stepwell_statemachine::{Execution, Status};

use crate::{command::CommandError, executor::Executor};

/// An execution that has ended.
pub(crate) struct Ended {
    pub(crate) execution: Execution,
    /// The run, unless the object was missing.
    pub(crate) run_id: Option<String>,
    pub(crate) key: String,
    pub(crate) seconds: f64,
}

/// Prints a summary of each, and gives the exit code of all.
///
/// # Errors
/// A report that cannot be read.
pub(crate) async fn print(executor: &Executor, ended: &[Ended], as_json: bool) -> Result<ExitCode, CommandError> {
    let mut documents = Vec::with_capacity(ended.len());
    let mut all_succeeded = true;
    for one in ended {
        all_succeeded &= one.execution.status == Status::Succeeded;
        let (document, text) = match loaded(one) {
            Some(loaded) => succeeded(executor, one, &loaded).await?,
            None => failed(one),
        };
        if !as_json {
            println!("{text}");
        }
        documents.push(document);
    }
    if as_json {
        println!("{:#}", json!({ "runs": documents }));
    }
    Ok(if all_succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tells of one in a line.
pub(crate) fn line(ended: &Ended) -> String {
    let Some(loaded) = loaded(ended) else {
        let (_, text) = failed(ended);
        return text;
    };
    let records = |count: u64| HumanCount(count).to_string();
    let mut line = format!("{} → {}: ", ended.key, loaded.table);
    match loaded.commit {
        Commit::Superseded => line.push_str("nothing loaded, a newer version of the object is in the table"),
        _ => line.push_str(&format!("{} records loaded", records(loaded.records_loaded))),
    }
    if loaded.records_rejected > 0 {
        line.push_str(&format!(", {} rejected", records(loaded.records_rejected)));
    }
    if let Some(filtered) = loaded.records_filtered.filter(|filtered| *filtered > 0) {
        line.push_str(&format!(", {} filtered", records(filtered)));
    }
    if loaded.commit == Commit::AlreadyCommitted {
        line.push_str(", by an earlier execution");
    }
    line.push_str(&format!(", {:.2} s", ended.seconds));
    line
}

fn loaded(ended: &Ended) -> Option<Loaded> {
    let output = ended.execution.output.as_ref().filter(|_| ended.execution.status == Status::Succeeded)?;
    handoff::parse(output).ok()
}

/// What the execution used, as its last stage told.
fn usage(ended: &Ended) -> Option<Usage> {
    handoff::parse(ended.execution.output.as_ref()?.get("usage")?).ok()
}

async fn succeeded(executor: &Executor, ended: &Ended, loaded: &Loaded) -> Result<(Value, String), CommandError> {
    let stores = executor.stores();
    let report_ref = ObjectRef::new(&executor.context().buckets.work, &loaded.report);
    let report: Report = store::get_json(stores, &report_ref)
        .await?
        .ok_or_else(|| CommandError::Failed(format!("{report_ref} is gone")))?;
    let report_file = stores.file(&report_ref)?;
    let table = stores.file(&loaded.table)?;
    let rejects = report.rejects.as_ref().map(|files| {
        let file = |key: &String| stores.file(&ObjectRef::new(&executor.context().buckets.work, key));
        Ok::<_, stepwell_pipeline::StageError>((file(&files.records)?, file(&files.reasons)?))
    });
    let rejects = rejects.transpose()?;
    let document = json!({
        "status": "succeeded",
        "run": loaded.run.id,
        "key": ended.key,
        "commit": loaded.commit,
        "table": table,
        "report": report_file,
        "rejects": rejects.as_ref().map(|(records, reasons)| json!({ "records": records, "reasons": reasons })),
        "records_read": loaded.records_read,
        "records_rejected": loaded.records_rejected,
        "records_filtered": loaded.records_filtered,
        "records_loaded": loaded.records_loaded,
        "bytes_read": report.bytes_read,
        "bytes_loaded": loaded.bytes_loaded,
        "files": report.files.len(),
        "reasons": report.reasons,
        "seconds": ended.seconds,
        "usage": usage(ended),
    });
    let mut lines = vec![format!("{} → {}", ended.key, table.display())];
    let mut line = |name: &str, text: String| lines.push(format!("  {name:<9} {text}"));
    let records = |count: u64| format!("{:>11} records", HumanCount(count).to_string());
    line("read", format!("{} ({})", records(loaded.records_read), HumanBytes(report.bytes_read)));
    line("rejected", records(loaded.records_rejected));
    for reason in report.reasons.iter().take(3) {
        let column = reason.column.as_ref().map(|column| format!(" in `{column}`")).unwrap_or_default();
        let value = reason.sample.value.as_ref().map(|value| format!(": {value:?}")).unwrap_or_default();
        let (count, code, line_number) = (HumanCount(reason.records), reason.code.name(), reason.sample.line);
        line("", format!("  {count} × {code}{column}, as on line {line_number}{value}"));
    }
    if let Some((records, reasons)) = &rejects {
        line("", format!("  kept in {} and {}", records.display(), reasons.display()));
    }
    if let Some(filtered) = loaded.records_filtered {
        line("filtered", records(filtered));
    }
    let count = match report.files.len() {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    };
    let files = format!("{} in {count} ({})", records(loaded.records_loaded), HumanBytes(loaded.bytes_loaded));
    match loaded.commit {
        Commit::Committed => line("loaded", files),
        Commit::AlreadyCommitted => line("loaded", format!("{files}, by an earlier execution; nothing was changed")),
        Commit::Superseded => line("loaded", "nothing: a newer version of the object is in the table".to_owned()),
    }
    line("report", report_file.display().to_string());
    line("time", format!("{:>11.2} s", ended.seconds));
    if let Some(usage) = usage(ended) {
        line("cost", format!("{:>11} on AWS in {}, estimated", usd(usage.cost_usd()), price::region()));
    }
    Ok((document, lines.join("\n")))
}

fn failed(ended: &Ended) -> (Value, String) {
    let Execution { error, cause, status, .. } = &ended.execution;
    let caught = CaughtError { error: error.clone().unwrap_or_default(), cause: cause.clone().unwrap_or_default() };
    let stage =
        ended.execution.stopped_at.as_ref().and_then(|stopped| stopped.input.get("stage")).and_then(Value::as_str);
    let message = caught.message();
    let document = json!({
        "status": if *status == Status::TimedOut { "timed_out" } else { "failed" },
        "run": ended.run_id,
        "key": ended.key,
        "stage": stage,
        "error": caught.error,
        "message": message,
        "seconds": ended.seconds,
    });
    let mut text =
        format!("{} failed in {}: {}\n  {message}", ended.key, stage.unwrap_or("the state machine"), caught.error);
    if let Some(run_id) = &ended.run_id {
        text.push_str(&format!(
            "\n  once it is mended: stepwell replay {run_id}   (with --spec PIPELINE.YAML if the spec was mended)"
        ));
    }
    (document, text)
}
