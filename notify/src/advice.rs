use stepwell_pipeline::{
    ErrorKind,
    spec::PIPELINES_PREFIX,
    stage::{Buckets, Stage},
};

/// What a person can do about an error, in the words of the Step Functions console's buttons.
///
/// A redrive keeps the execution's input and, once `Extract` is done, the spec that it pinned; whatever needs
/// another of either needs a new execution. Finished stages are repeated by neither.
pub(crate) fn advice(error: &str, stage: Stage, buckets: &Buckets, is_batch: bool) -> String {
    let specs = format!("s3://{}/{PIPELINES_PREFIX}", buckets.work);
    let with_mended_spec = match stage {
        Stage::Extract => "then press Redrive or start a New execution with the same input.",
        Stage::Transform | Stage::Load => {
            "then start a New execution with the same input; a Redrive keeps the old spec."
        }
    };
    let Ok(kind) = error.parse() else { return of_other(error).to_owned() };
    match kind {
        ErrorKind::StoreUnavailable | ErrorKind::Throttled | ErrorKind::TargetUnavailable => {
            "the service did not recover while the stage was repeated. Press Redrive when it has.".to_owned()
        }
        ErrorKind::OutOfTime => {
            "give the function more memory, which also gives it more CPU, or more time; then press Redrive.".to_owned()
        }
        ErrorKind::InvalidInput => "put right what the message names, then start a New execution; with a corrected \
                                    input, if that was what is wrong."
            .to_owned(),
        ErrorKind::InvalidSpec => format!("mend the spec under {specs}, {with_mended_spec}"),
        ErrorKind::NoPipeline => {
            format!("put a spec whose `match` fits the key under {specs}, or mend one; {with_mended_spec}")
        }
        ErrorKind::SourceMissing if is_batch => {
            "if a member is gone, bring that version of it back and press Redrive, or list the batch anew without it, \
             which starts a run of its own."
                .to_owned()
        }
        ErrorKind::SourceChanged if is_batch => {
            "nothing, if the batch was listed anew since: its newer list starts a run of its own. If not, list it anew."
                .to_owned()
        }
        ErrorKind::SourceMissing => {
            "if a file is missing, upload it again, which starts a run of its own; if a bucket is, create it and press \
             Redrive."
                .to_owned()
        }
        ErrorKind::SourceChanged => {
            "nothing, if the new version of the file was loaded: its upload started a run of its own. If not, start a \
             New execution with bucket and key alone."
                .to_owned()
        }
        ErrorKind::AccessDenied => {
            "give the function's role the permission that the message names; then press Redrive.".to_owned()
        }
        ErrorKind::UnreadableSource | ErrorKind::SchemaMismatch | ErrorKind::TooManyRejects if is_batch => format!(
            "mend the members that the message names, upload them again and list the batch anew; or mend the spec under \
             {specs}, {with_mended_spec}"
        ),
        ErrorKind::UnreadableSource | ErrorKind::SchemaMismatch => format!(
            "mend the file and upload it again, which starts a run of its own. If the file is right, mend the spec \
             under {specs}, {with_mended_spec}"
        ),
        ErrorKind::TooManyRejects => format!(
            "mend the file and upload it again, which starts a run of its own. If so many rejects are to be borne, raise \
             `rejects.tolerate` in the spec under {specs}, {with_mended_spec}"
        ),
        ErrorKind::TransformFailed => format!("mend the SQL of the spec under {specs}, {with_mended_spec}"),
        ErrorKind::Conflict => "another run committed the same file meanwhile. Press Redrive.".to_owned(),
        ErrorKind::ReconciliationFailed | ErrorKind::Internal => {
            "this looks like a defect of Stepwell; report it with this notice. Press Redrive once it is mended."
                .to_owned()
        }
    }
}

/// Errors that the service gives when a function ends without an error of its own.
pub(crate) fn of_other(error: &str) -> &'static str {
    match error {
        "States.Timeout" | "Sandbox.Timedout" => {
            "the function did not answer in time. Give it more memory, which also gives it more CPU, or more time; then \
             press Redrive."
        }
        "Lambda.Unknown" | "Runtime.ExitError" | "Runtime.OutOfMemory" => {
            "the function ended without an answer, often for lack of memory; its log says more. Mend that, then press \
             Redrive."
        }
        error if error.starts_with("Lambda.") || error.starts_with("Runtime.") => {
            "the function could not be called or started; see the message and the function's log. Mend that, then \
             press Redrive."
        }
        _ => "see the message and the execution's history. Mend the cause, then press Redrive.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: &str, stage: Stage) -> String {
        let buckets = Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() };
        advice(error, stage, &buckets, false)
    }

    #[test]
    fn a_redrive_is_advised_only_where_it_can_help() {
        for kind in ErrorKind::ALL {
            let advice = of(kind.name(), Stage::Load);
            let redrive = advice.contains("press Redrive") || advice.contains("Press Redrive");
            assert!(redrive || advice.contains("New execution"), "{kind}: {advice}");
            if kind.is_transient() {
                assert!(redrive, "{kind}: {advice}");
            }
        }
        assert!(!of("InvalidInput", Stage::Extract).contains("Redrive"));
        assert!(of("TransformFailed", Stage::Transform).contains("a Redrive keeps the old spec"));
        assert!(of("SchemaMismatch", Stage::Extract).contains("press Redrive or start a New execution"));
    }

    #[test]
    fn errors_of_the_service_have_advice_too() {
        for error in ["States.Timeout", "Lambda.Unknown", "Lambda.ServiceException", "States.DataLimitExceeded"] {
            assert!(of(error, Stage::Extract).contains("ress Redrive"), "{error}");
        }
    }
}
