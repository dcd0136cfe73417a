//! The dead letters of a deployment: looked at, explained, and sent once more.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
};

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use indicatif::HumanCount;
use serde_json::json;
use stepwell_aws::{SqsDeadLetters, SqsQueue, sdk};
use stepwell_pipeline::{
    dead_letter::{DeadLetter, DeadLetters},
    spec::nearest,
};
use stepwell_trigger::{
    backfill::SystemClock,
    dead_letter::{Filter, Group, LETTERS_MAX, Letters, Redrive, Redriven, Understood, redrive, survey, understand},
};

use super::{
    CommandError,
    deployed::{Settings, optional, told},
};
use crate::progress::Position;

#[derive(Debug, Subcommand)]
pub(super) enum DlqCommand {
    /// Counts the dead letters by error and pipeline. They stay as they are.
    List(Which),
    /// Explains one dead letter: its error, what it is about, and what can be done.
    Explain(ExplainArguments),
    /// Sends dead letters to the events queue again, after showing which.
    Redrive(RedriveArguments),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// The URL of the dead-letter queue; else DEAD_EVENTS_QUEUE_URL.
    #[arg(long, value_name = "URL")]
    queue: Option<String>,
    /// The URL of the events queue; else EVENTS_QUEUE_URL.
    #[arg(long, value_name = "URL")]
    events_queue: Option<String>,
    /// Only those of this error.
    #[arg(long, value_name = "NAME")]
    error: Option<String>,
    /// Only those of this pipeline.
    #[arg(long)]
    pipeline: Option<String>,
    /// Prints one JSON document instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    /// The message's id, or enough of its beginning; else the first that is found.
    id: Option<String>,
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
pub(super) struct RedriveArguments {
    #[command(flatten)]
    which: Which,
    /// Asks nothing.
    #[arg(long)]
    yes: bool,
    /// The most messages sent per second.
    #[arg(long, value_name = "PER_SECOND", default_value_t = 25.0, value_parser = positive)]
    rate: f64,
}

/// The two queues.
struct Queues {
    client: aws_sdk_sqs::Client,
    dead: SqsDeadLetters,
    events_url: Option<String>,
}

impl Queues {
    async fn open(which: &Which) -> Result<Self, CommandError> {
        let mut settings = Settings::default();
        let url = settings.required(which.queue.clone(), "--queue", "DEAD_EVENTS_QUEUE_URL");
        settings.finish()?;
        let client = aws_sdk_sqs::Client::new(&sdk::config().await);
        let dead = SqsDeadLetters::new(client.clone(), url);
        Ok(Self { client, dead, events_url: optional(which.events_queue.clone(), "EVENTS_QUEUE_URL") })
    }

    fn events_queue(&self) -> Option<&str> {
        self.events_url.as_deref().and_then(|url| url.rsplit('/').next())
    }
}

pub(super) async fn dlq(command: DlqCommand) -> Result<ExitCode, CommandError> {
    match command {
        DlqCommand::List(which) => list(&which).await,
        DlqCommand::Explain(arguments) => explain(&arguments).await,
        DlqCommand::Redrive(arguments) => again(&arguments).await,
    }
}

async fn list(which: &Which) -> Result<ExitCode, CommandError> {
    let groups = groups(&Queues::open(which).await?, which).await?;
    if which.json {
        println!("{:#}", json!(groups));
        return Ok(ExitCode::SUCCESS);
    }
    if groups.is_empty() {
        println!("there are no dead letters");
    }
    for group in &groups {
        println!("{}", line(group));
        println!("         {} ({})", group.example, group.example_id);
        println!("         {}", first_line(&group.message));
    }
    Ok(ExitCode::SUCCESS)
}

async fn explain(arguments: &ExplainArguments) -> Result<ExitCode, CommandError> {
    let which = &arguments.which;
    let queues = Queues::open(which).await?;
    let filter = Filter { id: arguments.id.clone(), ..filter(which) };
    let mut letters = Letters::new(&queues.dead);
    let found = find(&mut letters, queues.events_queue(), &filter).await;
    letters.release().await.map_err(told)?;
    let Some((letter, understood)) = found? else {
        return Err(CommandError::Usage("there is no such dead letter".to_owned()));
    };
    if which.json {
        let letter = json!({
            "id": letter.id,
            "sent_ms": letter.sent_ms,
            "receives": letter.receives,
            "attributes": letter.attributes,
            "body": letter.body,
        });
        println!("{:#}", json!({ "letter": letter, "understood": understood }));
    } else {
        print!("{}", explanation(&letter, &understood));
    }
    Ok(ExitCode::SUCCESS)
}

async fn find(
    letters: &mut Letters<'_>,
    events_queue: Option<&str>,
    filter: &Filter,
) -> Result<Option<(DeadLetter, Understood)>, CommandError> {
    loop {
        let batch = letters.next().await.map_err(told)?;
        if batch.is_empty() {
            return Ok(None);
        }
        let mut found = None;
        for (letter, receipt) in batch {
            letters.hold(receipt);
            let understood = understand(&letter, events_queue);
            if found.is_none() && filter.takes(&letter, &understood) {
                found = Some((letter, understood));
            }
        }
        if found.is_some() {
            return Ok(found);
        }
    }
}

async fn again(arguments: &RedriveArguments) -> Result<ExitCode, CommandError> {
    let which = &arguments.which;
    let queues = Queues::open(which).await?;
    let (Some(events_url), Some(events_queue)) = (&queues.events_url, queues.events_queue()) else {
        return Err(CommandError::Usage("missing: --events-queue or EVENTS_QUEUE_URL".to_owned()));
    };
    if !arguments.yes && !confirmed(&groups(&queues, which).await?)? {
        return Ok(ExitCode::SUCCESS);
    }
    let events = SqsQueue::new(queues.client.clone(), events_url, String::new());
    let position = Position::new(which.json);
    let advanced = |redriven: &Redriven| {
        let Redriven { sent, left, others } = redriven;
        position.say(format!("{} sent  {} stay", HumanCount(*sent), HumanCount(left + others)));
    };
    let clock = SystemClock::new();
    let redriven =
        redrive(&queues.dead, &events, events_queue, &filter(which), arguments.rate, &clock, &advanced).await;
    position.clear();
    let redriven = redriven.map_err(told)?;
    if which.json {
        println!("{:#}", json!(redriven));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} sent to {events_queue}", HumanCount(redriven.sent));
    if redriven.left > 0 {
        println!(
            "{} stay, since they cannot be sent, or came back at once; `stepwell dlq explain` says why",
            HumanCount(redriven.left)
        );
    }
    if redriven.others > 0 {
        println!("{} others stay", HumanCount(redriven.others));
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows what would be sent; returns whether it is to be.
fn confirmed(groups: &[Group]) -> Result<bool, CommandError> {
    let unheard = |error: io::Error| CommandError::Failed(format!("cannot ask: {error}"));
    let sum = |count: fn(&Group) -> u64| groups.iter().map(count).sum::<u64>();
    let (count, redrivable) = (sum(|group| group.count), sum(|group| group.redrivable));
    if count == 0 {
        eprintln!("there are no dead letters");
        return Ok(false);
    }
    for group in groups {
        let stay = group.count - group.redrivable;
        let stay = if stay > 0 { format!("; {} stay", HumanCount(stay)) } else { String::new() };
        eprintln!("{}{stay}", line(group));
    }
    if redrivable == 0 {
        eprintln!("none of them can be sent again; `stepwell dlq explain` says why");
        return Ok(false);
    }
    if !io::stdin().is_terminal() {
        eprintln!("{} would be redriven; do it with --yes", HumanCount(redrivable));
        return Ok(false);
    }
    eprint!("redrive {}? [y/N] ", HumanCount(redrivable));
    io::stderr().flush().map_err(unheard)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(unheard)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn filter(which: &Which) -> Filter {
    Filter { error: which.error.clone(), pipeline: which.pipeline.clone(), id: None }
}

/// The groups that are meant. An error that no dead letter has is refused, with the one that may be meant.
async fn groups(queues: &Queues, which: &Which) -> Result<Vec<Group>, CommandError> {
    let count = queues.dead.count().await.map_err(told)?;
    let position = Position::new(which.json);
    let looked = |looked: u64| position.say(format!("{} of about {} looked at", HumanCount(looked), HumanCount(count)));
    let groups = survey(&queues.dead, queues.events_queue(), &Filter::default(), &looked).await;
    position.clear();
    let groups = groups.map_err(told)?;
    if groups.iter().map(|group| group.count).sum::<u64>() >= LETTERS_MAX as u64 {
        eprintln!("of about {} dead letters, only {LETTERS_MAX} were looked at", HumanCount(count));
    }
    if let Some(error) = &which.error
        && !groups.is_empty()
        && !groups.iter().any(|group| group.error == *error)
    {
        let hint = nearest(error, groups.iter().map(|group| group.error.as_str()));
        let hint = hint.map(|hint| format!("; did you mean {hint}?")).unwrap_or_default();
        return Err(CommandError::Usage(format!("no dead letter has the error {error}{hint}")));
    }
    let is_meant = |group: &Group| {
        which.error.as_ref().is_none_or(|error| *error == group.error)
            && which.pipeline.as_ref().is_none_or(|pipeline| group.pipeline.as_ref() == Some(pipeline))
    };
    Ok(groups.into_iter().filter(is_meant).collect())
}

fn line(group: &Group) -> String {
    let pipeline = group.pipeline.as_deref().map(|pipeline| format!("  pipeline {pipeline}")).unwrap_or_default();
    let count = HumanCount(group.count).to_string();
    format!("{count:>7}  {}{pipeline}  the oldest {} old", group.error, age(group.oldest_ms, Utc::now()))
}

fn explanation(letter: &DeadLetter, understood: &Understood) -> String {
    let mut text = String::new();
    let mut say = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{name:<12} {}\n", value.replace('\n', "\n             ")));
        }
    };
    say("message", &letter.id);
    say("age", &format!("{}, received {} times", age(letter.sent_ms, Utc::now()), letter.receives));
    say("put here by", &understood.origin.to_string());
    say("error", &understood.error);
    say("", &understood.message);
    say("pipeline", understood.pipeline.as_deref().unwrap_or_default());
    say("about", &understood.about.join("\n"));
    say("meaning", &understood.meaning);
    say("what to do", &understood.advice);
    let redrive = match &understood.redrive {
        Redrive::Send(_) => "sends it to the events queue".to_owned(),
        Redrive::Refuse(why) => format!("leaves it here: {why}"),
    };
    say("redrive", &redrive);
    let body = serde_json::from_str::<serde_json::Value>(&letter.body);
    say("body", &body.map_or_else(|_| letter.body.clone(), |body| format!("{body:#}")));
    text
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// How long ago a moment was, in its two greatest units.
fn age(sent_ms: u64, now: DateTime<Utc>) -> String {
    let sent = i64::try_from(sent_ms).ok().and_then(DateTime::from_timestamp_millis).unwrap_or(now);
    let age = (now - sent).max(TimeDelta::zero());
    let (days, hours, minutes, seconds) =
        (age.num_days(), age.num_hours() % 24, age.num_minutes() % 60, age.num_seconds() % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {seconds} s"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    text.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate > 0.0).ok_or("it is a number above 0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units() {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap_or_default();
        for (seconds, text) in [(7, "7 s"), (67, "1 min 7 s"), (3_700, "1 h 1 min"), (200_000, "2 d 7 h"), (-5, "0 s")]
        {
            assert_eq!(age(u64::try_from((1_000_000 - seconds) * 1_000).unwrap_or_default(), now), text);
        }
    }
}
