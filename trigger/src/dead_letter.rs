//! Dead letters: what they say, what can be done about them, and sending them once more.
//!
//! Several services put messages into a dead-letter queue, each in its own form: `trigger` itself, SQS after too many
//! deliveries, EventBridge and its scheduler, and Lambda, for events and for batches of a stream.

mod advice;
mod redrive;
mod survey;

use std::fmt;

use serde::Serialize;
use serde_json::Value;
use stepwell_pipeline::dead_letter::DeadLetter;

pub use redrive::{Redriven, redrive};
pub use survey::{Filter, Group, LETTERS_MAX, Letters, survey};

use crate::{envelope, pathway::Pathway};

/// The error of messages that SQS moved: what went wrong is in the function's log only.
pub const RECEIVED_TOO_OFTEN: &str = "ReceivedTooOften";
/// The error of messages that say nothing of why they are where they are.
pub const UNKNOWN: &str = "Unknown";

/// Who put a message into the dead-letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// `trigger`, since the message can never be handled.
    Trigger,
    /// SQS, since the message was received too often.
    Sqs,
    /// A rule of EventBridge, since its target could not be reached.
    EventBridge,
    /// A schedule of EventBridge Scheduler, since its target could not be reached.
    Scheduler,
    /// Lambda, since the function failed with an event that came asynchronously, or a topic could not deliver.
    Lambda,
    /// Lambda, since the function failed with a batch of a stream.
    Stream,
    /// Nobody knows.
    Unknown,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trigger => "trigger: it can never be handled as it is",
            Self::Sqs => "SQS: it was received too often without being handled",
            Self::EventBridge => "EventBridge: the rule's target could not be reached",
            Self::Scheduler => "EventBridge Scheduler: the schedule's target could not be reached",
            Self::Lambda => "Lambda or SNS: it was tried as often as is allowed",
            Self::Stream => "Lambda: a batch of a stream was tried as often as is allowed",
            Self::Unknown => "somebody who did not say why",
        })
    }
}

/// Whether a message can be sent once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Redrive {
    /// This is sent to the events queue.
    Send(String),
    /// It cannot, and why.
    Refuse(String),
}

/// A dead letter, understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Understood {
    /// Who put it there.
    pub origin: Origin,
    /// The error's name: an error kind, or what a service calls it.
    pub error: String,
    /// What the error said.
    pub message: String,
    /// The pipeline, where one is known.
    pub pipeline: Option<String>,
    /// What the message is about: objects, as URLs, or what else it asks for.
    pub about: Vec<String>,
    /// What the error means.
    pub meaning: String,
    /// What a person can do.
    pub advice: String,
    /// Whether it can be sent once more.
    pub redrive: Redrive,
}

/// Why a message is there and what it carries, as its form tells.
struct Wrapped {
    origin: Origin,
    error: String,
    message: String,
    /// Why its payload cannot go to the events queue.
    refusal: Option<String>,
    /// What was to be delivered.
    payload: String,
    /// What it is about, where the payload does not say it.
    about: Option<String>,
}

/// Understands a dead letter. `events_queue` is the name of the queue that it would be sent to, where that is known.
pub fn understand(letter: &DeadLetter, events_queue: Option<&str>) -> Understood {
    let wrapped = unwrapped(letter, events_queue);
    let event = envelope::parsed(&wrapped.payload).ok();
    let is_json = event.is_some();
    // What SNS wrapped may be several events; `trigger` opens them, too.
    let events = event.map(envelope::opened).unwrap_or_default();
    let pathways: Vec<Pathway> = events.iter().flatten().filter_map(|event| Pathway::of(event).ok()).collect();
    let (about, of_pathway) = match wrapped.about {
        Some(about) => (vec![about], None),
        None => about(&pathways, is_json),
    };
    let refusal = wrapped.refusal.or_else(|| match pathways[..] {
        [Pathway::Tick(_)] => Some("the next tick has done, or will do, what this one should have".to_owned()),
        _ => None,
    });
    let (meaning, advice) = advice::of(wrapped.origin, &wrapped.error, refusal.as_deref());
    Understood {
        origin: wrapped.origin,
        error: wrapped.error,
        message: wrapped.message,
        pipeline: letter.attributes.get("pipeline").cloned().or(of_pathway),
        about,
        meaning,
        advice,
        redrive: refusal.map_or(Redrive::Send(wrapped.payload), Redrive::Refuse),
    }
}

/// What the events are about, and the pipeline that they name.
fn about(pathways: &[Pathway], is_json: bool) -> (Vec<String>, Option<String>) {
    if pathways.is_empty() {
        let what = if is_json { "an event of a shape that trigger does not know" } else { "a message that is no JSON" };
        return (vec![what.to_owned()], None);
    }
    let pipeline = pathways.iter().find_map(|pathway| match pathway {
        Pathway::Backfill(request) => Some(request.pipeline.clone()).filter(|pipeline| !pipeline.is_empty()),
        Pathway::Occurrence(request) => Some(request.pipeline.clone()),
        Pathway::Start(waiting) => waiting.request.pipeline.clone(),
        _ => None,
    });
    (pathways.iter().flat_map(subjects).collect(), pipeline)
}

fn subjects(pathway: &Pathway) -> Vec<String> {
    match pathway {
        Pathway::Uploads(uploads) => {
            uploads.iter().flatten().map(|upload| format!("s3://{}/{}", upload.bucket, upload.key)).collect()
        }
        Pathway::Tick(moment) => vec![format!("the tick of {}", moment.to_rfc3339())],
        Pathway::Ended(name) => vec![format!("the end of the execution {name}")],
        Pathway::Start(waiting) => vec![format!("the start of the execution {}", waiting.name)],
        Pathway::Occurrence(request) => {
            vec![format!("the batch of {} that `{}` is scheduled for", request.occurrence, request.pipeline)]
        }
        Pathway::Backfill(request) => vec![match &request.id {
            Some(id) => format!("the backfill {id}"),
            None => format!("a backfill of s3://{}/{}", request.bucket, request.prefix),
        }],
        Pathway::Job(id) => vec![format!("the job {id}")],
        Pathway::Nothing => Vec::new(),
    }
}

fn unwrapped(letter: &DeadLetter, events_queue: Option<&str>) -> Wrapped {
    let attribute = |name: &str| letter.attributes.get(name).map(String::as_str);
    let with = |origin: Origin, error: &str, message: &str| Wrapped {
        origin,
        error: error.to_owned(),
        message: message.to_owned(),
        refusal: None,
        payload: letter.body.clone(),
        about: None,
    };
    if let Some(error) = attribute("error") {
        return with(Origin::Trigger, error, attribute("message").unwrap_or_default());
    }
    if let (Some(error), Some(target)) = (attribute("ERROR_CODE"), attribute("TARGET_ARN")) {
        let origin = if attribute("SCHEDULE_ARN").is_some() { Origin::Scheduler } else { Origin::EventBridge };
        let refusal = if attribute("IS_PAYLOAD_TRUNCATED") == Some("true") {
            Some("the scheduler kept only a part of it".to_owned())
        } else {
            of_other_target(target, events_queue)
        };
        return Wrapped { refusal, ..with(origin, error, attribute("ERROR_MESSAGE").unwrap_or_default()) };
    }
    if let Some(code) = attribute("ErrorCode") {
        let about = notice(&letter.body).map(|subject| format!("the notice `{subject}`"));
        let refusal = about.is_some().then(|| "it is for people, and trigger is sent what is in the queue".to_owned());
        let wrapped = with(Origin::Lambda, &of_status(code), attribute("ErrorMessage").unwrap_or_default());
        return Wrapped { refusal, about, ..wrapped };
    }
    let body: Option<Value> = serde_json::from_str(&letter.body).ok();
    if let Some(record) = body.filter(|body| body.pointer("/requestContext/condition").is_some()) {
        return from_invocation_record(&record, &letter.body);
    }
    if let Some(source) = &letter.source_queue_arn {
        let times = letter.receives;
        let message = format!("received {times} times and never handled; the log of trigger says why");
        return Wrapped {
            refusal: of_other_target(source, events_queue),
            ..with(Origin::Sqs, RECEIVED_TOO_OFTEN, &message)
        };
    }
    with(Origin::Unknown, UNKNOWN, "the message has no attributes that tell why it is here")
}

/// What Lambda sends to an on-failure destination (Lambda Developer Guide, "Capturing records of Lambda asynchronous
/// invocations" and "Retain discarded batch records for a Kinesis Data Streams event source").
fn from_invocation_record(record: &Value, body: &str) -> Wrapped {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
    let condition = text("/requestContext/condition").unwrap_or_default();
    let error = text("/responsePayload/errorType").unwrap_or(match condition {
        "" => UNKNOWN,
        _ if record.pointer("/responseContext/functionError").is_some() => "FunctionError",
        other => other,
    });
    let said = text("/responsePayload/errorMessage").unwrap_or("the record does not hold what the function said");
    let message = format!("{said} ({condition})");
    if let Some(batch) = ["KinesisBatchInfo", "DDBStreamBatchInfo"].iter().find_map(|name| record.get(name)) {
        let field = |name: &str| batch.get(name).and_then(Value::as_str).unwrap_or("?");
        let about = format!(
            "{} records of {} of {}, from sequence number {} to {}",
            batch.get("batchSize").and_then(Value::as_u64).unwrap_or_default(),
            field("shardId"),
            field("streamArn"),
            field("startSequenceNumber"),
            field("endSequenceNumber"),
        );
        return Wrapped {
            origin: Origin::Stream,
            error: error.to_owned(),
            message,
            refusal: Some("it names records of a stream and does not hold them".to_owned()),
            payload: body.to_owned(),
            about: Some(about),
        };
    }
    let payload = record.get("requestPayload").map(Value::to_string);
    let of_notify = text("/requestPayload/input/action").is_some();
    let refusal = match payload {
        None => Some("it does not hold the event".to_owned()),
        Some(_) if of_notify => Some("it was for notify, and trigger is sent what is in the queue".to_owned()),
        Some(_) => None,
    };
    let about = of_notify.then(|| {
        let execution = text("/requestPayload/execution_id").unwrap_or("?");
        format!("the end of the execution {execution}, which may not have been told")
    });
    let payload = payload.unwrap_or_else(|| body.to_owned());
    Wrapped { origin: Origin::Lambda, error: error.to_owned(), message, refusal, payload, about }
}

/// The subject of a notice to people that SNS could not deliver; none of an event, whose message is JSON.
fn notice(body: &str) -> Option<String> {
    let envelope: Value = serde_json::from_str(body).ok()?;
    let text = |name: &str| envelope.get(name).and_then(Value::as_str);
    let is_text = text("Message").is_some_and(|message| serde_json::from_str::<Value>(message).is_err());
    (text("Type") == Some("Notification") && is_text).then(|| text("Subject").unwrap_or_default().to_owned())
}

/// The error of an HTTP status that Lambda or SNS gives (Lambda Developer Guide, "Adding a dead-letter queue").
fn of_status(code: &str) -> String {
    match code {
        "200" => "FunctionError".to_owned(),
        "429" => "FunctionThrottled".to_owned(),
        code => format!("Status{code}"),
    }
}

fn of_other_target(arn: &str, events_queue: Option<&str>) -> Option<String> {
    let events_queue = events_queue?;
    let name = arn.rsplit(':').next().unwrap_or_default();
    let is_it = name == events_queue && arn.split(':').nth(2) == Some("sqs");
    (!is_it).then(|| format!("it was for {arn}, which is not the events queue {events_queue}"))
}

#[cfg(test)]
mod tests;
