use serde_json::json;
use stepwell_pipeline::{
    StageError,
    figures::{bytes, thousands},
    handoff::{Commit, Loaded},
    manifest::Report,
    notice::{Notice, Outcome},
    stage::StageContext,
    store::{self, ObjectRef},
};

use crate::figures::{counts, file_name, table};

/// How many reasons a notice lists; the report has them all.
const REASONS: usize = 3;

/// The notice of a run that succeeded.
pub(crate) async fn notice(context: &StageContext, loaded: &Loaded) -> Result<Notice, StageError> {
    let in_work = |key: &str| ObjectRef::new(&context.buckets.work, key).to_string();
    let report_ref = ObjectRef::new(&context.buckets.work, &loaded.report);
    let report: Option<Report> = store::get_json(&*context.stores, &report_ref).await?;
    let source = loaded.run.source_ref();
    let pipeline = &loaded.run.pipeline;
    let (subject, headline) = match loaded.commit {
        Commit::Committed => (
            format!("{pipeline} succeeded: {}", file_name(&source)),
            format!("{pipeline} loaded {} records from {source}.", thousands(loaded.records_loaded)),
        ),
        Commit::AlreadyCommitted => (
            format!("{pipeline} succeeded: {} was loaded before", file_name(&source)),
            format!("{pipeline} had loaded {source} before; nothing changed."),
        ),
        Commit::Superseded => (
            format!("{pipeline} succeeded: {} is superseded", file_name(&source)),
            format!("A newer version of {source} is in the table of {pipeline}; nothing changed."),
        ),
    };
    let rejects = report.as_ref().and_then(|report| report.rejects.as_ref());
    let mut text = format!("{headline}\n\n");
    text.push_str(&table(&[
        (
            "Records",
            counts(&[
                (Some(loaded.records_read), "read"),
                (Some(loaded.records_rejected), "rejected"),
                (loaded.records_filtered, "filtered"),
                (Some(loaded.records_loaded), "loaded"),
            ]),
        ),
        ("Size", bytes(loaded.bytes_loaded)),
        ("Table", loaded.table.to_string()),
        ("Report", report_ref.to_string()),
        ("Rejects", rejects.map(|files| in_work(&files.records)).unwrap_or_default()),
        ("Reasons", rejects.map(|files| in_work(&files.reasons)).unwrap_or_default()),
        ("Run", loaded.run.id.clone()),
    ]));
    if let Some(report) = report.as_ref().filter(|report| !report.reasons.is_empty()) {
        text.push_str("\nCommonest reasons of the rejects:\n");
        for reason in report.reasons.iter().take(REASONS) {
            let column = reason.column.as_deref().map(|column| format!(" in {column}")).unwrap_or_default();
            text.push_str(&format!(
                "- {} × {}{column}, first on line {}: {}\n",
                thousands(reason.records),
                reason.code.name(),
                reason.sample.line,
                reason.sample.message
            ));
        }
    }
    let detail = json!({ "outcome": Outcome::Succeeded, "loaded": loaded });
    Ok(Notice { outcome: Outcome::Succeeded, pipeline: Some(pipeline.clone()), subject, text, detail })
}
