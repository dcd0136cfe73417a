use stepwell_pipeline::execution::ExecutionState::Running;

use super::*;
use crate::job::{
    api::JobState,
    world::{ID, START_MS, World, at_ms, object_job, succeeded, upload_job},
};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Marks the job to be looked at at a moment, and lets a tick come then.
async fn tick_at(world: &World, since_start_ms: i64) {
    let due = at_ms(since_start_ms - 1);
    document::mark_open(&world.ports, ID, due).await.expect("a marker");
    tick(&world.ports, at_ms(since_start_ms)).await.expect("a tick");
}

#[tokio::test]
async fn a_job_is_stuck_only_after_its_time_or_where_its_execution_is_gone() {
    let started_ms = START_MS + HOUR_MS;
    for (is_started, is_running, since_start_ms, cause) in [
        // It waits for its turn.
        (false, false, MINUTE_MS, None),
        (false, false, 72 * HOUR_MS, None),
        (false, false, 72 * HOUR_MS + 1, Some("waits for its turn since 72 hours")),
        (false, false, 200 * HOUR_MS, Some("waits for its turn since 200 hours")),
        // It runs, as was known before or not.
        (true, true, 2 * HOUR_MS, None),
        (false, true, 26 * HOUR_MS, None),
        (true, true, 26 * HOUR_MS, None),
        (true, true, 26 * HOUR_MS + 1, Some("runs since 25 hours")),
        (false, true, 100 * HOUR_MS, Some("runs since 99 hours")),
        // It ran.
        (true, false, 2 * HOUR_MS, Some("is gone")),
    ] {
        let case = format!("{is_started} {is_running} {since_start_ms}");
        let world = World::new().await;
        let known_ms = is_started.then_some(started_ms.cast_unsigned());
        world.keep(Job { started_ms: known_ms, ..object_job() }).await;
        if is_running {
            world.executions.say(Running, started_ms, None);
        }
        tick_at(&world, since_start_ms).await;
        let job = world.job(ID).await;
        let letters = world.queue.take_buried();
        match cause {
            Some(cause) => {
                let error = job.error.expect("an error");
                let expected = format!("the execution all-job-{ID} {cause}");
                assert_eq!((job.state, error.error.as_str()), (JobState::Failed, "JobStuck"), "{case}");
                assert_eq!((error.cause, job.ended_ms), (expected.clone(), Some(START_MS + since_start_ms)), "{case}");
                let [(body, told)] = &letters[..] else { panic!("{case}: {letters:?}") };
                assert_eq!(
                    (body, &told.message),
                    (&json!({ "job": ID }).to_string(), &format!("job {ID}: {expected}"))
                );
                assert_eq!((told.error.as_str(), told.pipeline.as_deref()), ("JobStuck", Some("all")));
                assert_eq!(world.markers().await, Vec::<String>::new());
            }
            None => {
                let state = if is_running { JobState::Processing } else { JobState::Pending };
                assert_eq!((job.state, job.error, letters), (state, None, vec![]), "{case}");
                let again_ms = START_MS + since_start_ms + 30 * MINUTE_MS;
                assert_eq!(world.markers().await, [format!("{again_ms}-{ID}")], "{case}");
            }
        }
    }
}

#[tokio::test]
async fn an_upload_that_is_found_is_run_as_it_is_then() {
    let world = World::new().await;
    let job = upload_job();
    let upload = job.upload.clone().expect("an upload").object;
    world.keep(job).await;
    let etag = world.land(&upload.key).await;
    tick_at(&world, 76 * MINUTE_MS).await;
    let expected = RunRequest {
        bucket: upload.bucket,
        key: upload.key,
        etag,
        size: Some(4),
        pipeline: Some("all".to_owned()),
        reason: Some(format!("job {ID}")),
        ..RunRequest::default()
    };
    assert_eq!(world.executions.request(), expected);
    assert_eq!(world.job(ID).await.request, Some(expected));
}

#[tokio::test]
async fn a_missing_upload_is_no_reason_to_ask_for_an_execution() {
    let world = World::new().await;
    world.keep(upload_job()).await;
    tick_at(&world, 76 * MINUTE_MS).await;
    let error = world.job(ID).await.error.expect("an error");
    let cause = format!("s3://landing/uploads/{ID}/a.csv was not uploaded by 2026-01-01T01:00:00.000Z");
    assert_eq!((error.error, error.cause), ("UploadMissing".to_owned(), cause));
    assert_eq!(world.executions.looks(), 0);
}

#[tokio::test]
async fn a_job_that_came_to_something_meanwhile_does_not_fail() {
    let taken = || Job { request: object_job().request, ..upload_job() };
    for (before, meanwhile, error) in [
        (upload_job(), taken(), "UploadMissing"),
        (upload_job(), Job { state: JobState::Done, ..taken() }, "UploadMissing"),
        (object_job(), Job { state: JobState::Done, ..object_job() }, "JobStuck"),
        (object_job(), object_job().failed("States.Timeout", "it took too long", START_MS), "JobStuck"),
    ] {
        let world = World::new().await;
        let seen = world.keep(before).await;
        assert!(document::replace(&world.ports, &seen, &meanwhile).await.expect("a write"));
        let seen = fail(&world.ports, seen, error, "cause".to_owned(), at_ms(HOUR_MS)).await.expect("a look");
        assert_eq!((&seen.job, &world.job(ID).await), (&meanwhile, &meanwhile), "{error}");
    }
}

#[tokio::test]
async fn one_letter_tells_of_a_failure_however_often_its_job_is_looked_at() {
    let world = World::new().await;
    world.keep(upload_job()).await;
    for minutes in [76, 77, 200] {
        // As if the marker could not be removed.
        tick_at(&world, minutes * MINUTE_MS).await;
    }
    assert_eq!(world.queue.take_buried().len(), 1);
    assert!(!world.job(ID).await.alarm_owed);
}

#[tokio::test]
async fn an_alarm_that_is_still_owed_is_made_up_for_by_the_next_tick() {
    let world = World::new().await;
    let failed = object_job().failed("JobStuck", "it is gone", START_MS);
    world.keep(Job { alarm_owed: true, ..failed.clone() }).await;
    world.executions.say(succeeded(), START_MS, Some(START_MS));
    tick_at(&world, HOUR_MS).await;
    assert_eq!(world.queue.take_buried().len(), 1);
    assert_eq!(world.job(ID).await, failed);
}
