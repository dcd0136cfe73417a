use serde_json::{Value, json};
use stepwell_pipeline::{
    batch::BatchName,
    failure::Failure,
    handoff,
    notice::{Notice, Outcome},
    request::RunRequest,
    run::Run,
    stage::StageContext,
    store::ObjectRef,
};

use crate::{
    advice::advice,
    figures::{counts, long_name, short_name, table},
};

/// The run that failed, unless it failed before there was one.
pub(crate) fn run(failure: &Failure) -> Option<Run> {
    failure.input.get("run").and_then(|run| handoff::parse(run).ok())
}

/// The notice of a run that failed.
pub(crate) fn notice(context: &StageContext, failure: &Failure, run: Option<&Run>) -> Notice {
    let request: Option<RunRequest> = handoff::parse(&failure.input).ok();
    let object = run.map(Run::source_ref).or(request.as_ref().map(|asked| ObjectRef::new(&asked.bucket, &asked.key)));
    let pipeline = run.map(|run| run.pipeline.clone()).or(request.and_then(|request| request.pipeline));
    let batch = object.as_ref().and_then(|object| BatchName::of(object, &context.buckets.work));
    let pipeline = pipeline.or(batch.map(|batch| batch.pipeline.to_owned()));
    let name = &failure.error.error;
    let message = failure.error.message();
    let who = pipeline.as_deref().unwrap_or("a run");
    let what = object
        .as_ref()
        .map_or_else(|| "an input that names no object".to_owned(), |object| long_name(object, &context.buckets));
    let subject = match &object {
        Some(object) => format!("{who} failed in {}: {name}: {}", failure.stage, short_name(object, &context.buckets)),
        None => format!("{who} failed in {}: {name}", failure.stage),
    };
    let mut text = format!("{who} failed in {} on {what}.\n\n{name}: {message}\n\n", failure.stage);
    text.push_str(&format!("What to do: {}\n\n", advice(name, failure.stage, &context.buckets, batch.is_some())));
    let count = |field: &str| failure.input.get(field).and_then(Value::as_u64);
    text.push_str(&table(&[
        (
            "Records",
            counts(&[
                (count("records_read"), "read"),
                (count("records_rejected"), "rejected"),
                (count("records_filtered"), "filtered"),
                (count("records_out"), "transformed"),
            ]),
        ),
        ("Execution", failure.execution.name.clone()),
        ("", failure.execution.id.clone()),
        ("Run", run.map(|run| run.id.clone()).unwrap_or_default()),
        ("Files", run.map(|run| ObjectRef::new(&context.buckets.work, run.prefix()).to_string()).unwrap_or_default()),
    ]));
    let detail = json!({
        "outcome": Outcome::Failed,
        "stage": failure.stage,
        "error": { "name": name, "message": message },
        "execution": failure.execution,
        "input": without_error(&failure.input),
    });
    Notice { outcome: Outcome::Failed, pipeline, subject, text, detail }
}

/// The stage's input as the stage had it, without the error that the Catch put there.
fn without_error(input: &Value) -> Value {
    let mut input = input.clone();
    if let Some(fields) = input.as_object_mut() {
        fields.remove("error");
    }
    input
}
