use super::*;
use crate::job::world::{ID, START_MS, World, at_ms, failed, object_job, succeeded, upload_job};

const MINUTE_MS: i64 = 60_000;

fn path() -> String {
    format!("/jobs/{ID}")
}

#[tokio::test]
async fn a_job_says_at_each_step_when_it_was_made_and_ended_and_where_its_result_is() {
    let world = World::new().await;
    world.keep(object_job()).await;
    let pending = world.get(&path()).await;
    assert_eq!((pending.text("state"), pending.text("created_at")), ("PENDING", "2026-01-01T00:00:00.000Z"));
    assert_eq!((&pending.body["ended_at"], &pending.body["links"]), (&Value::Null, &json!({ "self": path() })));

    let started_ms = START_MS + MINUTE_MS;
    world.executions.say(ExecutionState::Running, started_ms, None);
    at_ms(2 * MINUTE_MS);
    let processing = world.get(&path()).await;
    assert_eq!((processing.status, processing.text("state")), (200, "PROCESSING"));
    assert_eq!((&processing.body["ended_at"], &processing.body["links"]), (&Value::Null, &json!({ "self": path() })));
    assert_eq!(world.job(ID).await.started_ms.map(u64::cast_signed), Some(started_ms));

    world.executions.say(succeeded(), started_ms, Some(started_ms + 1_234));
    at_ms(3 * MINUTE_MS);
    let done = world.get(&path()).await;
    assert_eq!((done.text("state"), done.text("ended_at")), ("DONE", "2026-01-01T00:01:01.234Z"));
    let result = format!("{}/result", path());
    assert_eq!(done.body["links"], json!({ "self": path(), "result": result }));
    let links = world.get(&result).await;
    assert_eq!((links.status, links.text("expires_at")), (200, "2026-01-01T00:18:00.000Z"));
}

#[tokio::test]
async fn what_is_known_is_told_while_nobody_can_look_and_what_never_can_be_told_is_a_fault() {
    for (kind, status, retry_after) in [
        (ErrorKind::Throttled, 200, json!("15")),
        (ErrorKind::TargetUnavailable, 200, json!("15")),
        (ErrorKind::AccessDenied, 500, Value::Null),
    ] {
        let world = World::new().await;
        world.keep(Job { state: JobState::Processing, ..object_job() }).await;
        world.executions.fail(kind);
        let answer = world.get(&path()).await;
        assert_eq!((answer.status, &answer.headers["retry-after"]), (status, &retry_after), "{kind}");
        let told = if status == 200 { answer.text("state") } else { answer.text("title") };
        assert_eq!(told, if status == 200 { "PROCESSING" } else { kind.name() });
    }
}

#[tokio::test]
async fn what_has_ended_stays_as_it_is_unless_it_was_made_good() {
    let ended = Some(START_MS + 1);
    let stuck = || object_job().failed("JobStuck", "it is gone", START_MS + 1);
    let done = || Job { state: JobState::Done, ended_ms: ended, ..object_job() };
    let processing = || Job { state: JobState::Processing, started_ms: Some(START_MS.cast_unsigned()), ..object_job() };
    let started_ms = Some(START_MS.cast_unsigned());
    for (before, found, after) in [
        (done(), ExecutionState::Running, done()),
        (done(), failed("States.Timeout"), done()),
        (stuck(), ExecutionState::Running, stuck()),
        (stuck(), failed("States.Timeout"), stuck()),
        (processing(), ExecutionState::Running, processing()),
        (object_job(), ExecutionState::Running, processing()),
        (
            processing(),
            failed("States.Timeout"),
            processing().failed("States.Timeout", "States.Timeout happened", START_MS + 2),
        ),
        (
            Job { alarm_owed: true, ..stuck() },
            succeeded(),
            Job { state: JobState::Done, started_ms, ended_ms: Some(START_MS + 2), ..object_job() },
        ),
    ] {
        let world = World::new().await;
        let seen = world.keep(before).await;
        let ended_ms = (found != ExecutionState::Running).then_some(START_MS + 2);
        world.executions.say(found.clone(), START_MS, ended_ms);
        let (seen, _) = observe(&world.ports, seen).await.expect("a look");
        assert_eq!(seen.job, world.job(ID).await);
        let told = Job { records: None, result: None, ..seen.job };
        assert_eq!(told, after, "{found:?}");
    }
}

#[tokio::test]
async fn executions_that_have_nothing_to_tell_are_not_asked_for() {
    for job in [upload_job(), Job { state: JobState::Done, ..object_job() }] {
        let world = World::new().await;
        world.keep(job).await;
        look_again(&world.ports, ID).await.expect("a look");
        world.get(&path()).await;
        assert_eq!(world.executions.looks(), 0);
    }
}

#[tokio::test]
async fn an_upload_has_a_link_while_a_whole_second_is_left() {
    let world = World::new().await;
    world.keep(upload_job()).await;
    let hour_ms = 60 * MINUTE_MS;
    for (since_start_ms, seconds) in
        [(0, Some(3600)), (1, Some(3599)), (hour_ms - 1000, Some(1)), (hour_ms - 999, None), (hour_ms, None)]
    {
        at_ms(since_start_ms);
        let job = world.get(&path()).await;
        let url =
            seconds.map(|seconds| json!(format!("memory://landing/uploads/{ID}/a.csv?method=PUT&seconds={seconds}")));
        assert_eq!(job.body["upload"]["url"], url.unwrap_or_default(), "after {since_start_ms} ms");
        let expires_at = seconds.map(|_| json!("2026-01-01T01:00:00.000Z")).unwrap_or_default();
        assert_eq!(job.body["upload"]["expires_at"], expires_at);
    }
}
