use serde_json::json;
use stepwell_pipeline::{
    StageError,
    figures::{bytes, thousands},
    handoff::{Commit, Loaded},
    manifest::{RejectFiles, Report},
    notice::{Notice, Outcome},
    stage::StageContext,
    store::{self, ObjectRef},
};

use crate::figures::{counts, long_name, short_name, table};

/// How many reasons a notice lists; the report has them all.
const REASONS: usize = 3;

/// The notice of a run that succeeded.
pub(crate) async fn notice(context: &StageContext, loaded: &Loaded) -> Result<Notice, StageError> {
    let in_work = |key: &str| ObjectRef::new(&context.buckets.work, key).to_string();
    let report_ref = ObjectRef::new(&context.buckets.work, &loaded.report);
    let report: Option<Report> = store::get_json(&*context.stores, &report_ref).await?;
    let source_ref = loaded.run.source_ref();
    let (short, long) = (short_name(&source_ref, &context.buckets), long_name(&source_ref, &context.buckets));
    let batch = report.as_ref().and_then(|report| report.batch.as_ref());
    let pipeline = &loaded.run.pipeline;
    let (subject, headline) = match loaded.commit {
        Commit::Committed => (
            format!("{pipeline} succeeded: {short}"),
            format!("{pipeline} loaded {} records from {long}.", thousands(loaded.records_loaded)),
        ),
        Commit::AlreadyCommitted => (
            format!("{pipeline} succeeded: {short} was loaded before"),
            format!("{pipeline} had loaded {long} before; nothing changed."),
        ),
        Commit::Superseded => (
            format!("{pipeline} succeeded: {short} is superseded"),
            format!("A newer version of {long} is in the table of {pipeline}; nothing changed."),
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
        ("Members", batch.map(|batch| thousands(batch.members)).unwrap_or_default()),
        ("Rejects", rejects.map(|files| in_work(&files.records)).unwrap_or_default()),
        ("", rejects.map(further).unwrap_or_default()),
        ("Reasons", rejects.map(|files| in_work(&files.reasons)).unwrap_or_default()),
        ("Run", loaded.run.id.clone()),
    ]));
    if let Some(report) = report.as_ref().filter(|report| !report.reasons.is_empty()) {
        text.push_str("\nCommonest reasons of the rejects:\n");
        for reason in report.reasons.iter().take(REASONS) {
            let column = reason.column.as_deref().map(|column| format!(" in {column}")).unwrap_or_default();
            text.push_str(&format!(
                "- {} × {}{column}, first on {}: {}\n",
                thousands(reason.records),
                reason.code.name(),
                reason.place(&loaded.run),
                reason.sample.message
            ));
        }
    }
    let detail = json!({ "outcome": Outcome::Succeeded, "loaded": loaded });
    Ok(Notice { outcome: Outcome::Succeeded, pipeline: Some(pipeline.clone()), subject, text, detail })
}

/// The files of rejects beside the first, where the source's files have several headers or formats.
fn further(files: &RejectFiles) -> String {
    match files.further.len() {
        0 => String::new(),
        1 => "and one more file beside it, of another header or format".to_owned(),
        more => format!("and {} more files beside it, of other headers or formats", thousands(more as u64)),
    }
}
