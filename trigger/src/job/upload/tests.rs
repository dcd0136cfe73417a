use super::*;
use crate::job::{
    tests::Log,
    world::{ID, World, upload_job},
};

fn created(sequencer: &str, etag: &str) -> RunRequest {
    RunRequest {
        bucket: "landing".to_owned(),
        key: format!("{UPLOADS}{ID}/a.csv"),
        version: Some(format!("version of {etag}")),
        etag: Some(etag.to_owned()),
        size: Some(4),
        sequencer: Some(sequencer.to_owned()),
        ..RunRequest::default()
    }
}

#[tokio::test]
async fn the_first_event_says_what_is_run_and_later_uploads_are_told_of() {
    let world = World::new().await;
    world.keep(upload_job()).await;
    let log = Log::default();
    let _writes = log.clone().write();
    let first = created("01", "e1");
    let expected = RunRequest { pipeline: Some("all".to_owned()), reason: Some(format!("job {ID}")), ..first.clone() };
    // The same event twice, the same bytes again, other bytes.
    for (event, is_left) in
        [(&first, false), (&first, false), (&created("02", "e1"), true), (&created("03", "e2"), true)]
    {
        let name = claim(&world.ports, event).await.expect("a claim");
        assert_eq!(name, Some(format!("all-job-{ID}")));
        assert_eq!(world.executions.request(), expected);
        let told = log.take().into_iter().filter(|line| line.contains("upload left as it is")).count();
        assert_eq!(told, usize::from(is_left), "{event:?}");
    }
}
