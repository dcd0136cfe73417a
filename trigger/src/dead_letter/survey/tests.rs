use std::sync::Mutex;

use stepwell_pipeline::dead_letter::MemoryDeadLetters;

use super::*;
use crate::dead_letter::tests::{letter, queue_of};

const TICK: &str = r#"{"tick": "2026-01-01T00:00:00Z"}"#;
const JOB: &str = r#"{"job": "1"}"#;

fn dead_letter(id: &str, body: &str, error: &str, pipeline: Option<&str>, sent_ms: u64) -> DeadLetter {
    let attributes = [("error", error), ("message", id)].into_iter();
    let attributes: Vec<_> = attributes.chain(pipeline.map(|pipeline| ("pipeline", pipeline))).collect();
    DeadLetter { id: id.into(), sent_ms, ..letter(body, &attributes) }
}

#[test]
fn a_filter_chooses_by_error_pipeline_and_the_beginning_of_the_id() {
    let letters = [
        dead_letter("1a", JOB, "NoPipeline", None, 1),
        dead_letter("1b", JOB, "InvalidInput", Some("sales"), 1),
        dead_letter("2a", JOB, "InvalidInput", Some("refunds"), 1),
        dead_letter("2b", JOB, "Throttled", Some("refunds,sales"), 1),
    ];
    for (error, pipeline, id, expected) in [
        (None, None, None, &["1a", "1b", "2a", "2b"][..]),
        (Some("InvalidInput"), None, None, &["1b", "2a"]),
        (Some("Invalid"), None, None, &[]),
        (None, Some("sales"), None, &["1b", "2b"]),
        (None, Some("refunds"), None, &["2a", "2b"]),
        (None, Some("refunds,sales"), None, &["2b"]),
        (None, Some("sale"), None, &[]),
        (None, None, Some("2"), &["2a", "2b"]),
        (None, None, Some("a"), &[]),
        (Some("InvalidInput"), Some("sales"), Some("1"), &["1b"]),
        (Some("InvalidInput"), Some("sales"), Some("2"), &[]),
    ] {
        let filter = Filter {
            error: error.map(str::to_owned),
            pipeline: pipeline.map(str::to_owned),
            id: id.map(str::to_owned),
        };
        let taken = letters.iter().filter(|letter| filter.takes(letter, &understand(letter, None)));
        let taken: Vec<&str> = taken.map(|letter| letter.id.as_str()).collect();
        assert_eq!(taken, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_group_counts_what_can_be_redriven_and_shows_its_oldest() {
    let queue = MemoryDeadLetters::default();
    for (id, body, sent_ms) in [("a", JOB, 30), ("b", TICK, 20), ("c", JOB, 10), ("d", JOB, 40)] {
        queue.put(dead_letter(id, body, "InvalidInput", Some("sales"), sent_ms));
    }
    let groups = survey(&queue, None, &Filter::default(), &|_| {}).await.expect("looked at");
    let expected = Group {
        error: "InvalidInput".into(),
        pipeline: Some("sales".into()),
        count: 4,
        redrivable: 3,
        oldest_ms: 10,
        message: "c".into(),
        example: "the job 1".into(),
        example_id: "c".into(),
    };
    assert_eq!(groups, [expected]);
}

#[tokio::test]
async fn a_survey_tells_how_many_it_has_looked_at() {
    let looked = Mutex::new(Vec::new());
    let filter = Filter { error: Some("none such".into()), ..Filter::default() };
    let told = |count| looked.lock().expect("unpoisoned").push(count);
    assert_eq!(survey(&queue_of(25), None, &filter, &told).await.expect("looked at"), []);
    assert_eq!(*looked.lock().expect("unpoisoned"), [10, 20, 25]);
}
