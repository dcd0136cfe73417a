use stepwell_pipeline::ErrorKind;

use super::{Origin, RECEIVED_TOO_OFTEN};

/// What an error of a dead letter means, and what a person can do. Of an error kind it is another matter than in a run's
/// notice: nothing was started yet, so there is no execution to redrive.
pub(super) fn of(origin: Origin, error: &str, refusal: Option<&str>) -> (String, String) {
    let (meaning, advice) = match error.parse() {
        Ok(kind) => of_kind(kind),
        Err(()) => of_service(origin, error),
    };
    let advice = match (origin, refusal) {
        (Origin::Stream, Some(_)) => "mend what the function's log names, then read the records that the message names \
                                      from the stream, for as long as it retains them, by a second event source mapping \
                                      that begins AT_TIMESTAMP; then delete the message"
            .to_owned(),
        (_, Some(_)) => format!("{advice}; a redrive is refused, so delete the message in the end"),
        _ => advice.to_owned(),
    };
    (meaning.to_owned(), advice)
}

fn of_kind(kind: ErrorKind) -> (&'static str, &'static str) {
    match kind {
        ErrorKind::NoPipeline => {
            ("no pipeline's `match` fits the object's key", "push a spec whose `match` fits, or mend one; then redrive")
        }
        ErrorKind::InvalidSpec => {
            ("a spec that the object may be meant for is wrong", "mend the spec and push it; then redrive")
        }
        ErrorKind::InvalidInput => (
            "the message has a shape that trigger does not know, or asks for what cannot be",
            "see what sends such messages to the queue; a redrive helps only after an update of trigger, so delete it \
             otherwise",
        ),
        ErrorKind::SourceMissing => (
            "a bucket or an object that is needed does not exist",
            "if it was deleted on purpose, delete the message; else bring it back, then redrive",
        ),
        ErrorKind::SourceChanged => {
            ("the object is another version by now", "the newer version's upload had an event of its own: delete it")
        }
        ErrorKind::AccessDenied => {
            ("trigger's role may not do what the message names", "give the role that permission; then redrive")
        }
        ErrorKind::Conflict => ("somebody else changed what trigger was about to change", "redrive"),
        kind if kind.is_transient() => ("a service did not answer, or asked for fewer requests", "redrive"),
        ErrorKind::UnreadableSource | ErrorKind::SchemaMismatch => {
            ("the object's content is not what the pipeline reads", "mend the file and upload it again, then delete it")
        }
        _ => ("this looks like a defect of Stepwell", "report it with this message; redrive once it is mended"),
    }
}

fn of_service(origin: Origin, error: &str) -> (&'static str, &'static str) {
    match (origin, error) {
        (_, RECEIVED_TOO_OFTEN) => (
            "each delivery ended in a passing fault, a timeout or a crash of trigger, until SQS gave up",
            "look at trigger's log at the time; once what it names is over, redrive",
        ),
        (Origin::EventBridge | Origin::Scheduler, "NO_PERMISSIONS" | "AccessDeniedException") => (
            "the target did not allow the delivery",
            "mend the queue's or the function's policy, or the schedule's role; then redrive",
        ),
        (Origin::EventBridge | Origin::Scheduler, _) => {
            ("the event could not be delivered to its target", "see the message, mend what it names, then redrive")
        }
        (_, "FunctionThrottled") => ("the function had no concurrency left", "raise its concurrency; then redrive"),
        (Origin::Lambda | Origin::Stream, _) => {
            ("the function failed as often as Lambda tries", "look at the function's log, mend the cause, then redrive")
        }
        _ => (
            "nobody says why it is here; it may have been sent by hand, or moved by a redrive in the console",
            "look at its body; if it is an event, redrive",
        ),
    }
}

#[cfg(test)]
mod tests;
