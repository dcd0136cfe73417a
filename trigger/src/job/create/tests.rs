use super::*;
use crate::job::world::{VERSION, World, at_ms};

#[tokio::test]
async fn names_and_keys_may_be_as_long_as_they_can_be() {
    let world = World::new().await;
    let key = |letter: &str, letters: usize| format!("in/{}", letter.repeat(letters - 3));
    let object = |key: &str| json!({ "bucket": "landing", "key": key });
    let name = |letter: &str, letters: usize| json!({ "filename": letter.repeat(letters), "pipeline": "all" });
    for (body, status, detail) in [
        (name("n", 200), 202, ""),
        (name("ü", 200), 202, ""),
        (name("n", 201), 400, "1 to 200"),
        (object(&key("k", 1024)), 202, ""),
        (object(&key("k", 1025)), 400, "more than 1,024 characters"),
        // In bytes: 1,025, more than that, and as many as so many characters can have.
        (object(&format!("{}ü", key("k", 1023))), 422, "no key has more than 1,024 bytes"),
        (object(&key("ü", 600)), 422, "no key has more than 1,024 bytes"),
        (object(&key("😀", 1024)), 422, "no key has more than 1,024 bytes"),
        (object(&key("😀", 1025)), 400, "more than 1,024 characters"),
    ] {
        if let Some(key) = body["key"].as_str() {
            world.land(key).await;
        }
        let answer = world.post(&body).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert!(answer.text("detail").contains(detail), "{body}: {answer:?}");
    }
}

#[tokio::test]
async fn an_idempotency_key_has_255_bytes_at_most_without_its_quotes() {
    let world = World::new().await;
    let body = json!({ "filename": "a.csv" });
    let longest = "k".repeat(255);
    let first = world.post_with(&[("idempotency-key", &longest)], &body).await;
    let again = world.post_with(&[("idempotency-key", &format!("\"{longest}\""))], &body).await;
    assert_eq!((first.status, again.status), (202, 202), "{first:?}, {again:?}");
    assert_eq!(first.text("id"), again.text("id"));
    for longer in ["k".repeat(256), "ü".repeat(128), format!("\"{}\"", "k".repeat(256))] {
        let refused = world.post_with(&[("idempotency-key", &longer)], &body).await;
        assert_eq!((refused.status, refused.text("title")), (400, "InvalidInput"));
    }
}

#[tokio::test]
async fn a_job_runs_the_version_that_was_named_else_the_newest_by_its_entity_tag() {
    for version in [None, Some(VERSION)] {
        let world = World::new().await;
        let etag = world.land("in/a.csv").await;
        let body = match version {
            Some(version) => json!({ "bucket": "landing", "key": "in/a.csv", "version": version }),
            None => json!({ "bucket": "landing", "key": "in/a.csv" }),
        };
        let job = world.post(&body).await;
        assert_eq!(job.status, 202, "{job:?}");
        let expected = RunRequest {
            bucket: "landing".to_owned(),
            key: "in/a.csv".to_owned(),
            version: version.map(str::to_owned),
            etag: etag.filter(|_| version.is_none()),
            pipeline: Some("all".to_owned()),
            reason: Some(format!("job {}", job.text("id"))),
            ..RunRequest::default()
        };
        assert_eq!(world.executions.request(), expected);
        assert_eq!(job.body["object"], body);
        // The object may be large: nothing but its head is asked for.
        let is_head = true;
        assert_eq!(
            world.take_gets("in/"),
            [
                // The test's own look for the entity tag.
                ("in/a.csv".to_owned(), is_head, None),
                ("in/a.csv".to_owned(), is_head, version.map(str::to_owned)),
            ]
        );
    }
    let world = World::new().await;
    world.land("in/a.csv").await;
    let gone = world.post(&json!({ "bucket": "landing", "key": "in/a.csv", "version": "v0" })).await;
    assert_eq!((gone.status, gone.text("title")), (422, "SourceMissing"));
    assert!(gone.text("detail").contains("in the version v0"), "{gone:?}");
}

#[tokio::test]
async fn what_dies_before_the_job_is_written_goes_on_under_the_id_that_its_key_has() {
    let world = World::new().await;
    world.land("in/a.csv").await;
    let key = [("idempotency-key", "k")];
    let body = json!({ "bucket": "landing", "key": "in/a.csv" });
    let first = world.post_with(&key, &body).await;
    let document = ObjectRef::new("work", format!("jobs/documents/{}.json", first.text("id")));
    store::delete(&world.stores, &document).await.expect("deleted");
    at_ms(60_000);
    let again = world.post_with(&key, &body).await;
    assert_eq!((again.text("id"), again.text("created_at")), (first.text("id"), first.text("created_at")));
    // The same name and input as before: to the state machine it is the same start.
    let job = world.job(first.text("id")).await;
    assert_eq!(job.request, Some(world.executions.request()));
}
