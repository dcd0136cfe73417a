use super::*;

/// Words of what an error kind means, and of what can be done about it.
fn words(kind: ErrorKind) -> (&'static str, &'static str) {
    match kind {
        ErrorKind::StoreUnavailable | ErrorKind::Throttled | ErrorKind::TargetUnavailable | ErrorKind::OutOfTime => {
            ("did not answer, or asked for fewer requests", "redrive")
        }
        ErrorKind::InvalidInput => ("a shape that trigger does not know", "only after an update of trigger"),
        ErrorKind::InvalidSpec => ("a spec that the object may be meant for is wrong", "mend the spec"),
        ErrorKind::NoPipeline => ("no pipeline's `match` fits", "push a spec whose `match` fits"),
        ErrorKind::SourceMissing => ("does not exist", "if it was deleted on purpose, delete the message"),
        ErrorKind::SourceChanged => ("another version by now", "had an event of its own: delete it"),
        ErrorKind::AccessDenied => ("trigger's role", "give the role that permission"),
        ErrorKind::UnreadableSource | ErrorKind::SchemaMismatch => ("not what the pipeline reads", "mend the file"),
        ErrorKind::Conflict => ("somebody else changed", "redrive"),
        ErrorKind::TooManyRejects
        | ErrorKind::TransformFailed
        | ErrorKind::ReconciliationFailed
        | ErrorKind::Internal => ("a defect of Stepwell", "report it"),
    }
}

#[test]
fn every_error_kind_is_explained_whoever_names_it() {
    for kind in ErrorKind::ALL {
        for origin in [Origin::Trigger, Origin::Lambda] {
            let (meaning, advice) = of(origin, kind.name(), None);
            let (meaning_words, advice_words) = words(*kind);
            assert!(meaning.contains(meaning_words), "{kind}: {meaning}");
            assert!(advice.contains(advice_words), "{kind}: {advice}");
        }
    }
}

#[test]
fn what_services_say_is_explained_by_who_says_it() {
    for (origin, error, meaning_words, advice_words) in [
        (Origin::Sqs, RECEIVED_TOO_OFTEN, "until SQS gave up", "look at trigger's log"),
        (Origin::EventBridge, "NO_PERMISSIONS", "did not allow the delivery", "the queue's or the function's policy"),
        (Origin::Scheduler, "AccessDeniedException", "did not allow the delivery", "the schedule's role"),
        (Origin::EventBridge, "SDK_CLIENT_ERROR", "could not be delivered to its target", "see the message"),
        (Origin::Scheduler, "QueueDoesNotExist", "could not be delivered to its target", "see the message"),
        (Origin::Lambda, "FunctionThrottled", "no concurrency left", "raise its concurrency"),
        (Origin::Lambda, "FunctionError", "failed as often as Lambda tries", "the function's log"),
        (Origin::Stream, "FunctionError", "failed as often as Lambda tries", "the function's log"),
        (Origin::Unknown, "Unknown", "nobody says why it is here", "look at its body"),
    ] {
        let (meaning, advice) = of(origin, error, None);
        assert!(meaning.contains(meaning_words), "{origin:?} {error}: {meaning}");
        assert!(advice.contains(advice_words), "{origin:?} {error}: {advice}");
    }
}

#[test]
fn whoever_cannot_redrive_a_message_is_told_what_to_do_with_it() {
    for (origin, refused) in [
        (Origin::Trigger, "then redrive; a redrive is refused, so delete the message in the end"),
        (Origin::Scheduler, "then redrive; a redrive is refused, so delete the message in the end"),
        (Origin::Stream, "that begins AT_TIMESTAMP; then delete the message"),
    ] {
        let (_, advice) = of(origin, "AccessDenied", Some("it cannot"));
        assert!(advice.ends_with(refused), "{origin:?}: {advice}");
        let (_, advice) = of(origin, "AccessDenied", None);
        assert!(advice.ends_with("then redrive"), "{origin:?}: {advice}");
    }
}
