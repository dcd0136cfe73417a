use std::{process::ExitCode, sync::Arc};

use clap::Args;
use indicatif::HumanCount;
use serde_json::json;
use stepwell_aws::{S3Links, S3Stores, SfnExecutions, SqsQueue, sdk};
use stepwell_pipeline::{
    progress::Unwatched,
    queue::Queue,
    stage::{Buckets, StageContext},
};
use stepwell_trigger::{
    Ports,
    backfill::{Backfill, BackfillRequest, Counts, Ended, Survey, SystemClock, moment, run, survey},
};

use super::{
    CommandError,
    deployed::{Settings, optional, told},
};
use crate::progress::Position;

#[derive(Debug, Args)]
pub(super) struct BackfillArguments {
    /// Where the objects are. The prefix is any beginning of keys, not only a folder.
    #[arg(value_name = "s3://BUCKET/PREFIX", value_parser = location, required_unless_present = "id")]
    objects: Option<(String, String)>,
    /// The pipeline that loads them.
    #[arg(long, required_unless_present = "id")]
    pipeline: Option<String>,
    /// Only objects that were last modified at this moment (RFC 3339) or on this day (UTC), or later.
    #[arg(long, value_name = "TIME", value_parser = checked_moment)]
    from: Option<String>,
    /// Only objects that were last modified before this moment or day.
    #[arg(long, value_name = "TIME", value_parser = checked_moment)]
    to: Option<String>,
    /// The most executions started per second; 25 by default.
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// Also loads again what an earlier spec of the pipeline has loaded.
    #[arg(long)]
    again: bool,
    /// What the backfill is called, to go on with it or to go over the same objects once more. By default derived from
    /// the other arguments, so that the same command goes on where it was stopped.
    #[arg(long)]
    id: Option<String>,
    /// Shows what would be done, and does nothing.
    #[arg(long)]
    dry_run: bool,
    /// Lets the deployment do it: sends the request to the events queue.
    #[arg(long, conflicts_with = "dry_run")]
    detach: bool,
    /// Prints one JSON document instead of text.
    #[arg(long)]
    json: bool,
    /// The state machine's ARN; else STATE_MACHINE_ARN.
    #[arg(long, value_name = "ARN")]
    state_machine: Option<String>,
    /// The work bucket; else WORK_BUCKET.
    #[arg(long, value_name = "BUCKET")]
    work_bucket: Option<String>,
    /// The lake bucket; else LAKE_BUCKET.
    #[arg(long, value_name = "BUCKET")]
    lake_bucket: Option<String>,
    /// The URL of the events queue, for --detach; else EVENTS_QUEUE_URL.
    #[arg(long, value_name = "URL")]
    events_queue: Option<String>,
    /// How many executions may run at the same time, as the deployment is set; else RUNNING_MAX.
    #[arg(long, value_name = "EXECUTIONS")]
    running_max: Option<String>,
}

pub(super) async fn backfill(arguments: BackfillArguments) -> Result<ExitCode, CommandError> {
    let request = request(&arguments);
    if arguments.detach {
        return detach(arguments, &request).await;
    }
    let is_json = arguments.json;
    let is_dry_run = arguments.dry_run;
    let ports = ports(arguments, &request.bucket).await?;
    let position = Position::new(is_json);
    let clock = SystemClock::new();
    if is_dry_run {
        let found = survey(&ports, &clock, &position, &request).await.map_err(told)?;
        position.clear();
        show_survey(&found, is_json);
        return Ok(ExitCode::SUCCESS);
    }
    let ended = tokio::select! {
        ended = run(&ports, &clock, &position, &request) => ended,
        _ = tokio::signal::ctrl_c() => {
            position.clear();
            return Err(CommandError::Failed("stopped; the same command goes on at the last checkpoint".to_owned()));
        }
    };
    position.clear();
    let (state, ended) = ended.map_err(told)?;
    let was_done = ended == Ended::Done && !position.has_moved();
    show(&state, was_done, is_json);
    Ok(ExitCode::SUCCESS)
}

fn request(arguments: &BackfillArguments) -> BackfillRequest {
    let (bucket, prefix) = arguments.objects.clone().unwrap_or_default();
    BackfillRequest {
        id: arguments.id.clone(),
        round: None,
        bucket,
        prefix,
        pipeline: arguments.pipeline.clone().unwrap_or_default(),
        from: arguments.from.clone(),
        to: arguments.to.clone(),
        rate: arguments.rate,
        again: arguments.again,
    }
}

async fn ports(arguments: BackfillArguments, bucket: &str) -> Result<Ports, CommandError> {
    let mut settings = Settings::default();
    let state_machine = settings.required(arguments.state_machine, "--state-machine", "STATE_MACHINE_ARN");
    let buckets = Buckets {
        landing: bucket.to_owned(),
        work: settings.required(arguments.work_bucket, "--work-bucket", "WORK_BUCKET"),
        lake: settings.required(arguments.lake_bucket, "--lake-bucket", "LAKE_BUCKET"),
    };
    settings.finish()?;
    let running_max = optional(arguments.running_max, "RUNNING_MAX").map(|max| {
        let parsed = max.parse::<usize>();
        parsed.map_err(|_| CommandError::Usage(format!("--running-max is no number: {max}")))
    });
    let running_max = running_max.transpose()?.filter(|max| *max > 0);
    let events_url = optional(arguments.events_queue, "EVENTS_QUEUE_URL").unwrap_or_default();
    let config = sdk::config().await;
    let stores = Arc::new(S3Stores::new(sdk::s3_client(&config)));
    Ok(Ports {
        context: StageContext::new(stores, buckets, Arc::new(Unwatched)),
        executions: Arc::new(SfnExecutions::new(aws_sdk_sfn::Client::new(&config), state_machine)),
        events_queue: events_url.rsplit('/').next().unwrap_or_default().to_owned(),
        queue: Arc::new(SqsQueue::new(aws_sdk_sqs::Client::new(&config), events_url, String::new())),
        links: Arc::new(S3Links::new(sdk::s3_client(&config))),
        // It reads no messages.
        receives_max: 1,
        running_max,
    })
}

async fn detach(arguments: BackfillArguments, request: &BackfillRequest) -> Result<ExitCode, CommandError> {
    let id = request.backfill_id().map_err(told)?;
    let mut settings = Settings::default();
    let url = settings.required(arguments.events_queue, "--events-queue", "EVENTS_QUEUE_URL");
    settings.finish()?;
    let queue = SqsQueue::new(aws_sdk_sqs::Client::new(&sdk::config().await), url, String::new());
    queue.send(&json!({ "backfill": request }).to_string(), 0).await.map_err(told)?;
    if arguments.json {
        println!("{:#}", json!({ "id": id }));
    } else {
        println!("sent; how far it is stands in backfills/{id}.json of the work bucket");
    }
    Ok(ExitCode::SUCCESS)
}

fn show(state: &Backfill, was_done: bool, is_json: bool) {
    if is_json {
        println!("{:#}", json!(state));
        return;
    }
    let counts = &state.counts;
    if was_done {
        println!(
            "the backfill {} is done already, since {}; to go over it once more, name another --id",
            state.id, state.saved_at
        );
    }
    println!(
        "{}: {} listed, {} started, {}",
        state.id,
        HumanCount(counts.listed),
        HumanCount(counts.started),
        skipped(counts)
    );
}

fn show_survey(found: &Survey, is_json: bool) {
    if is_json {
        println!("{:#}", json!(found));
        return;
    }
    let state = &found.backfill;
    if state.done {
        show(state, true, false);
        return;
    }
    if let Some(after) = &found.after {
        println!("the backfill {} has begun and would go on after {after}", state.id);
    }
    let started = state.counts.started - found.counts_so_far.started;
    let seconds = started as f64 / state.rate;
    println!(
        "{} of {} objects would be started, in {} at {} per second at most; {}",
        HumanCount(started),
        HumanCount(state.counts.listed - found.counts_so_far.listed),
        humantime::format_duration(std::time::Duration::from_secs(seconds.ceil() as u64)),
        state.rate,
        skipped(&state.counts)
    );
    for key in &found.first_keys {
        println!("  s3://{}/{key}", state.bucket);
    }
    let more = started.saturating_sub(found.first_keys.len() as u64);
    if more > 0 {
        println!("  and {} more", HumanCount(more));
    }
}

fn skipped(counts: &Counts) -> String {
    let reasons = [
        (counts.committed, "committed already"),
        (counts.unfit, "not fitting `match`"),
        (counts.empty, "empty"),
        (counts.outside, "outside the time"),
    ];
    let reasons: Vec<_> = reasons
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, reason)| format!("{} {reason}", HumanCount(*count)))
        .collect();
    match &reasons[..] {
        [] => "none skipped".to_owned(),
        reasons => format!("{} skipped ({})", HumanCount(counts.skipped()), reasons.join(", ")),
    }
}

fn location(url: &str) -> Result<(String, String), String> {
    let rest = url.strip_prefix("s3://").ok_or("it begins with s3://")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err("it names no bucket".to_owned());
    }
    Ok((bucket.to_owned(), prefix.to_owned()))
}

fn checked_moment(text: &str) -> Result<String, String> {
    moment(text).map(|_| text.to_owned())
}
