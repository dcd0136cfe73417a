//! What people are told, and how a failed execution ends or goes on.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};
use stepwell_notify::{NotifyError, handler};
use stepwell_pipeline::{
    ErrorKind, StageError,
    handoff::{Commit, Loaded},
    manifest::{BatchSummary, RejectFiles, Report, Timing, Timings},
    notice::{Notice, Notifier, Outcome},
    progress::Unwatched,
    reject::{ReasonCount, Reject, RejectCode},
    run::{Run, Source},
    stage::{Buckets, StageContext},
    store::{self, MemoryStores, ObjectRef},
};

#[derive(Debug, Default)]
struct Published {
    notices: Mutex<Vec<Notice>>,
    refuse: Option<ErrorKind>,
}

#[async_trait]
impl Notifier for Published {
    async fn publish(&self, notice: &Notice) -> Result<(), StageError> {
        if let Some(kind) = self.refuse {
            return Err(StageError::new(kind, "refused"));
        }
        self.notices.lock().unwrap().push(notice.clone());
        Ok(())
    }
}

impl Published {
    fn only(&self) -> Notice {
        let notices = self.notices.lock().unwrap();
        assert_eq!(notices.len(), 1);
        notices[0].clone()
    }
}

fn context() -> StageContext {
    StageContext::new(
        Arc::new(MemoryStores::default()),
        Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() },
        Arc::new(Unwatched),
    )
}

fn run() -> Run {
    let source = Source {
        bucket: "landing".into(),
        key: "flights/2013 ü.csv".into(),
        version: None,
        etag: "e".into(),
        size: 1,
        modified_ms: 0,
        sequencer: None,
    };
    Run::new("flights", "d1", source)
}

fn loaded(commit: Commit) -> Loaded {
    Loaded {
        run: run(),
        table: ObjectRef::new("lake", "flights/"),
        commit,
        manifest: "flights/_stepwell/c.json".into(),
        report: run().prefix() + "report.json",
        records_read: 336_776,
        records_rejected: 12,
        records_filtered: Some(8_255),
        records_loaded: 328_509,
        bytes_loaded: 4_100_000,
    }
}

fn report() -> Report {
    let sample = Reject {
        object: "s3://landing/flights/2013 ü.csv".into(),
        line: 7,
        byte_offset: 99,
        column: Some("dep_time".into()),
        code: RejectCode::InvalidValue,
        message: "`x` is no int16".into(),
        value: Some("x".into()),
    };
    let reason =
        |records| ReasonCount { column: sample.column.clone(), code: sample.code, records, sample: sample.clone() };
    let loaded = loaded(Commit::Committed);
    Report {
        generation: 0,
        run: run(),
        batch: None,
        table: loaded.table.to_string(),
        records_read: loaded.records_read,
        records_rejected: loaded.records_rejected,
        records_in: 336_764,
        records_out: loaded.records_loaded,
        records_filtered: loaded.records_filtered,
        records_duplicate: None,
        records_loaded: loaded.records_loaded,
        bytes_read: 1,
        bytes_loaded: loaded.bytes_loaded,
        commit: loaded.commit,
        files: Vec::new(),
        rejects: Some(RejectFiles {
            records: "runs/r/rejects.csv".into(),
            reasons: "runs/r/reasons.ndjson".into(),
            further: Vec::new(),
        }),
        reasons: [5, 3, 2, 1].map(reason).to_vec(),
        profile: Vec::new(),
        timings: Timings { extract: Timing::default(), transform: Timing::default(), load: Timing::default() },
        cost: None,
        code_version: "0".into(),
    }
}

async fn pin(context: &StageContext, on: &str) {
    let spec = format!(
        "pipeline: flights\nsource: {{ match: \"flights/*\" }}\nschema:\n  - {{ name: a, type: int8 }}\n\
         load: {{ target: parquet, path: lake/flights/ }}\nnotify: {{ on: [{on}] }}\n"
    );
    store::put(&*context.stores, &ObjectRef::new("work", run().spec_key()), spec).await.expect("written");
}

fn success(commit: Commit) -> Value {
    json!({"action": "notify_success", "loaded": loaded(commit)})
}

fn failure(stage: &str, error: &str, cause: &str, input: &Value) -> Value {
    let mut input = input.clone();
    input["error"] = json!({"Error": error, "Cause": cause});
    json!({
        "stage": stage,
        "error": {"Error": error, "Cause": cause},
        "input": input,
        "execution": {"Id": "arn:aws:states:eu-west-1:1:execution:etl:n1", "Name": "n1", "RedriveCount": 1},
    })
}

fn extracted() -> Value {
    json!({"run": run(), "manifest": "m", "records_read": 1000, "records_rejected": 5, "bytes_read": 1})
}

fn own(error: NotifyError) -> StageError {
    match error {
        NotifyError::Own(error) => error,
        NotifyError::Original { .. } => unreachable!("{error}"),
    }
}

#[tokio::test]
async fn a_success_is_told_with_figures_and_places() {
    let (context, notifier) = (context(), Published::default());
    pin(&context, "succeeded").await;
    let report_ref = ObjectRef::new("work", run().prefix() + "report.json");
    store::put_json(&*context.stores, &report_ref, &report()).await.expect("written");
    let output = handler(&context, &notifier, success(Commit::Committed)).await.expect("told");
    assert_eq!(output, json!({"notified": true}));
    let notice = notifier.only();
    assert_eq!((notice.outcome, notice.pipeline.as_deref()), (Outcome::Succeeded, Some("flights")));
    assert_eq!(notice.subject, "flights succeeded: 2013 ü.csv");
    let expected = format!(
        "flights loaded 328,509 records from s3://landing/flights/2013 ü.csv.\n\n\
         Records:   336,776 read, 12 rejected, 8,255 filtered, 328,509 loaded\n\
         Size:      4.1 MB\n\
         Table:     s3://lake/flights/\n\
         Report:    {report_ref}\n\
         Rejects:   s3://work/runs/r/rejects.csv\n\
         Reasons:   s3://work/runs/r/reasons.ndjson\n\
         Run:       {}\n\n\
         Commonest reasons of the rejects:\n\
         - 5 × invalid_value in dep_time, first on line 7: `x` is no int16\n\
         - 3 × invalid_value in dep_time, first on line 7: `x` is no int16\n\
         - 2 × invalid_value in dep_time, first on line 7: `x` is no int16\n",
        run().id
    );
    assert_eq!(notice.text, expected);
    assert_eq!(notice.detail["loaded"]["records_loaded"], 328_509);
}

#[tokio::test]
async fn a_success_that_changed_nothing_says_so() {
    for (commit, words) in
        [(Commit::AlreadyCommitted, "had loaded"), (Commit::Superseded, "A newer version of s3://landing/flights/")]
    {
        let notifier = Published::default();
        handler(&context(), &notifier, success(commit)).await.expect("told");
        let text = notifier.only().text;
        assert!(text.contains(words) && text.contains("nothing changed"), "{text}");
    }
}

#[tokio::test]
async fn only_wanted_outcomes_are_told() {
    let failed = json!({"action": "notify_failure", "failure": failure("Transform", "Internal", "", &extracted())});
    for (on, input, notified) in [
        ("succeeded", success(Commit::Committed), true),
        ("failed", success(Commit::Committed), false),
        ("", success(Commit::Committed), false),
        ("failed", failed.clone(), true),
        ("succeeded", failed.clone(), false),
        ("succeeded, failed", failed, true),
    ] {
        let (context, notifier) = (context(), Published::default());
        pin(&context, on).await;
        let output = handler(&context, &notifier, input).await.expect("handled");
        assert_eq!(output["notified"], notified, "{on}");
        assert_eq!(output.get("reason").is_some(), !notified, "{on}");
        assert_eq!(notifier.notices.lock().unwrap().len(), usize::from(notified), "{on}");
    }
}

#[tokio::test]
async fn a_failure_is_told_with_its_error_and_what_to_do() {
    let cause = r#"{"errorType":"TransformFailed","errorMessage":"cannot divide by zero: column delay"}"#;
    let failure = failure("Transform", "TransformFailed", cause, &extracted());
    let (context, notifier) = (context(), Published::default());
    handler(&context, &notifier, json!({"action": "notify_failure", "failure": failure})).await.expect("told");
    let notice = notifier.only();
    assert_eq!((notice.outcome, notice.pipeline.as_deref()), (Outcome::Failed, Some("flights")));
    assert_eq!(notice.subject, "flights failed in Transform: TransformFailed: 2013 ü.csv");
    let expected = format!(
        "flights failed in Transform on s3://landing/flights/2013 ü.csv.\n\n\
         TransformFailed: cannot divide by zero: column delay\n\n\
         What to do: mend the SQL of the spec under s3://work/pipelines/, then start a New execution with the same \
         input; a Redrive keeps the old spec.\n\n\
         Records:   1,000 read, 5 rejected\n\
         Execution: n1\n           arn:aws:states:eu-west-1:1:execution:etl:n1\n\
         Run:       {}\n\
         Files:     s3://work/{}\n",
        run().id,
        run().prefix()
    );
    assert_eq!(notice.text, expected);
    assert_eq!(
        notice.detail["error"],
        json!({"name": "TransformFailed", "message": "cannot divide by zero: column delay"})
    );
    assert_eq!(notice.detail["input"], extracted());
}

#[tokio::test]
async fn a_failure_before_there_is_a_run_is_always_told() {
    let request = json!({"bucket": "landing", "key": "flights/a.csv", "pipeline": "flights"});
    for (input, subject) in [
        (request, "flights failed in Extract: NoPipeline: a.csv"),
        (json!({"bucket": "landing", "key": "flights/a.csv"}), "a run failed in Extract: NoPipeline: a.csv"),
        (json!({"bukket": 7}), "a run failed in Extract: NoPipeline"),
    ] {
        let (context, notifier) = (context(), Published::default());
        pin(&context, "").await;
        let failure = failure("Extract", "NoPipeline", "plain text", &input);
        handler(&context, &notifier, json!({"action": "notify_failure", "failure": failure})).await.expect("told");
        let notice = notifier.only();
        assert_eq!(notice.subject, subject);
        assert!(notice.text.contains("NoPipeline: plain text"), "{}", notice.text);
    }
}

#[tokio::test]
async fn a_failed_batch_is_called_by_its_name_and_its_pipeline() {
    let request = json!({"bucket": "work", "key": "batches/flights/2013-01.json"});
    let (context, notifier) = (context(), Published::default());
    pin(&context, "").await;
    let failure = failure("Extract", "SourceMissing", "s3://landing/flights/a.csv is gone", &request);
    handler(&context, &notifier, json!({"action": "notify_failure", "failure": failure})).await.expect("told");
    let notice = notifier.only();
    assert_eq!(notice.pipeline.as_deref(), Some("flights"));
    assert_eq!(notice.subject, "flights failed in Extract: SourceMissing: batch 2013-01");
    let headline = "flights failed in Extract on batch 2013-01 (s3://work/batches/flights/2013-01.json).";
    assert!(notice.text.starts_with(headline), "{}", notice.text);
    assert!(notice.text.contains("list the batch anew"), "{}", notice.text);
}

#[tokio::test]
async fn a_loaded_batch_is_told_with_its_members_and_all_its_rejects() {
    let (context, notifier) = (context(), Published::default());
    let source = Source { bucket: "work".into(), key: "batches/flights/2013-01.json".into(), ..run().source };
    let mut loaded = loaded(Commit::Committed);
    loaded.run = Run::new("flights", "d1", source);
    let summary = BatchSummary {
        name: "2013-01".into(),
        revision: 0,
        members: 1200,
        first: Vec::new(),
        list: "runs/r/batch.json".into(),
    };
    let mut report = Report { run: loaded.run.clone(), batch: Some(summary), ..report() };
    report.rejects.as_mut().expect("there are").further = vec!["runs/r/rejects-2.csv".into()];
    store::put_json(&*context.stores, &ObjectRef::new("work", &loaded.report), &report).await.expect("written");
    let request = json!({"action": "notify_success", "loaded": loaded});
    handler(&context, &notifier, request).await.expect("told");
    let notice = notifier.only();
    assert_eq!(notice.subject, "flights succeeded: batch 2013-01");
    for words in [
        "records from batch 2013-01 (s3://work/batches/flights/2013-01.json).",
        "Members:   1,200\n",
        "Rejects:   s3://work/runs/r/rejects.csv\n           and one more file beside it",
        "first on line 7 of s3://landing/flights/2013 ü.csv: `x` is no int16",
    ] {
        assert!(notice.text.contains(words), "{} lacks {words}", notice.text);
    }
}

#[tokio::test]
async fn a_run_without_a_readable_spec_is_told_of() {
    let (context, notifier) = (context(), Published::default());
    store::put(&*context.stores, &ObjectRef::new("work", run().spec_key()), "pipeline: [").await.expect("written");
    let failure = failure("Load", "Conflict", "", &extracted());
    handler(&context, &notifier, json!({"action": "notify_failure", "failure": failure})).await.expect("told");
    notifier.only();
}

#[tokio::test]
async fn a_notifier_that_refuses_is_the_error() {
    let notifier = Published { refuse: Some(ErrorKind::TargetUnavailable), ..Published::default() };
    let error = handler(&context(), &notifier, success(Commit::Committed)).await.expect_err("refused");
    assert_eq!(own(error).kind(), ErrorKind::TargetUnavailable);
}

#[tokio::test]
async fn a_failed_execution_ends_in_the_stages_own_error() {
    let cause = r#"{"errorType":"Conflict","errorMessage":"another run was quicker"}"#;
    for (error, cause, message) in [
        ("Conflict", cause, "another run was quicker"),
        ("States.Timeout", "", ""),
        ("Lambda.Unknown", "The cause could not be determined", "The cause could not be determined"),
    ] {
        let failure = failure("Load", error, cause, &extracted());
        let input = json!({"action": "fail", "failure": failure, "execution": failure["execution"]});
        let raised = handler(&context(), &Published::default(), input).await.expect_err("raised");
        assert_eq!((raised.name(), raised.message().as_str()), (error, message));
        assert!(matches!(raised, NotifyError::Original { .. }));
    }
}

#[tokio::test]
async fn a_redriven_execution_resumes_the_stage_with_its_input() {
    let failure = failure("Transform", "Internal", "", &extracted());
    let execution = json!({"Id": "arn", "Name": "n1", "RedriveCount": 2});
    let input = json!({"action": "fail", "failure": failure, "execution": execution});
    let output = handler(&context(), &Published::default(), input).await.expect("resumed");
    assert_eq!(output, json!({"stage": "Transform", "input": extracted()}));
}

#[tokio::test]
async fn engines_that_cannot_redrive_leave_the_count_out() {
    let mut failure = failure("Extract", "Internal", "", &json!({"bucket": "b", "key": "k"}));
    failure["execution"] = json!({"Id": "arn", "Name": "n1"});
    let input = json!({"action": "fail", "failure": failure, "execution": {"Id": "arn", "Name": "n1"}});
    let raised = handler(&context(), &Published::default(), input).await.expect_err("raised");
    assert_eq!(raised.name(), "Internal");
}

#[tokio::test]
async fn a_request_of_another_shape_is_invalid_input() {
    for input in [
        json!({}),
        json!({"action": "dance"}),
        json!({"action": "notify_success"}),
        json!({"action": "fail", "failure": {"stage": "Extract"}, "execution": {}}),
        json!({"bucket": "b", "key": "k"}),
    ] {
        let error = handler(&context(), &Published::default(), input.clone()).await.expect_err("refused");
        assert_eq!(own(error).kind(), ErrorKind::InvalidInput, "{input}");
    }
}
