//! How many executions run at the same time.
//!
//! Where that is limited, an execution runs only while it holds a slot. A request is written down first (`waiting`), then
//! one conditional write gives it a slot (`document`), then it is started. A slot is given up only once its execution is
//! known to have ended. Whatever breaks off between two of these steps is finished by somebody else: executions are
//! named after what they do, so that starting one again changes nothing.

mod document;
mod waiting;

use document::Slots;
use stepwell_pipeline::{
    StageError,
    execution::{ExecutionState, Started},
    queue::DeathCause,
    request::RunRequest,
};
use tracing::{error, info, warn};
use waiting::Ticket;
pub(crate) use waiting::Waiting;

use crate::Ports;

/// How often one message or tick tries to change the slots while others change them too.
const ATTEMPTS_MAX: usize = 10;
/// How many times one message gives slots away.
const PASSES_MAX: usize = 4;
/// How many executions get their slots in one write, so that an invocation has the time to start them all.
const ADMITTED_MAX: usize = 25;
/// How many executions a tick starts once there is no limit any more.
const DRAINED_MAX: usize = 1_000;
/// How many executions a tick looks at: one a second on average, of the 15 a second that accounts have (Step Functions
/// Developer Guide, "Quotas related to API action throttling"), which jobs need too.
const LOOKS_MAX: usize = 60;
/// A slot held for shorter needs no look: whoever took it is about to start the execution, or it just runs.
const LOOK_AFTER_MS: u64 = 60_000;
/// After that long an execution that nobody knows, and that no request waits for, was started more than 90 days ago or
/// of another state machine.
const FORGET_AFTER_MS: u64 = 3_600_000;

/// Starts an execution as soon as fewer than the most allowed run: now, or when another ends.
///
/// # Errors
/// What the service or the store says; then a repetition is needed, and does no harm.
pub(crate) async fn start(ports: &Ports, name: &str, request: &RunRequest) -> Result<(), StageError> {
    let Some(max) = ports.running_max else { return call(ports, name, request).await.map(|_| ()) };
    let own = Waiting { name: name.to_owned(), request: request.clone() };
    let ticket = waiting::keep(ports, &own).await?;
    match settle(ports, max, Vec::new(), Some((own, ticket)), PASSES_MAX).await {
        Err(error) if error.kind().is_transient() => {
            warn!(execution = name, error = error.report(), "execution waits for the next tick");
            Ok(())
        }
        settled => settled,
    }
}

/// Executions ended: gives their slots to those that wait longest. One that holds no slot changes nothing.
///
/// # Errors
/// What the store says; then a repetition is needed, and does no harm.
pub(crate) async fn ended(ports: &Ports, executions: &[String]) -> Result<(), StageError> {
    match ports.running_max {
        Some(max) => settle(ports, max, executions.to_vec(), None, PASSES_MAX).await,
        None => Ok(()),
    }
}

/// Looks whether executions ended without anybody saying so, starts those that hold a slot and were not started, and
/// gives free slots to those that wait.
///
/// # Errors
/// What the store says; the next tick does what this one could not.
pub(crate) async fn tick(ports: &Ports) -> Result<(), StageError> {
    match ports.running_max {
        Some(max) => {
            let ended = look(ports).await?;
            settle(ports, max, ended, None, usize::MAX).await
        }
        None => drain(ports).await,
    }
}

/// Frees the slots of executions that ended, gives what is free to those that wait longest, and starts them.
async fn settle(
    ports: &Ports,
    max: usize,
    mut ended: Vec<String>,
    mut own: Option<(Waiting, Ticket)>,
    passes: usize,
) -> Result<(), StageError> {
    let mut refused = None;
    for pass in 0..passes {
        if pass > 0 && ports.context.budget.is_spent() {
            break;
        }
        let Exchange { admitted, is_to_repeat } = exchange(ports, max, &ended, own.as_ref()).await?;
        ended = Vec::new();
        let mut is_throttled = false;
        for ticket in admitted {
            let is_own = own.as_ref().is_some_and(|(own, _)| own.name == ticket.name);
            match launch(ports, &ticket).await {
                Launched::Running => {}
                Launched::Over => ended.push(ticket.name),
                // It may have ended before its request was removed, and have given up an earlier slot.
                Launched::Unknown => ended.extend(is_over(ports, &ticket.name).await.then_some(ticket.name)),
                Launched::Refused(error) if is_own => {
                    waiting::forget(ports, &ticket).await?;
                    refused = Some(error);
                    ended.push(ticket.name);
                }
                Launched::Refused(error) => ended.extend(bury(ports, ticket, &error).await),
                Launched::Later => {
                    is_throttled = true;
                    break;
                }
            }
        }
        own = None;
        // What holds a slot now and was not started is left to a later tick, and so is what ended meanwhile.
        if is_throttled || (ended.is_empty() && !is_to_repeat) {
            break;
        }
    }
    refused.map_or(Ok(()), Err)
}

/// What one change of the slots gave.
struct Exchange {
    /// Those that are to be started: they hold slots.
    admitted: Vec<Ticket>,
    /// Whether there may be more to give away.
    is_to_repeat: bool,
}

/// Takes slots from executions that ended and gives what is free to those that wait longest.
async fn exchange(
    ports: &Ports,
    max: usize,
    ended: &[String],
    own: Option<&(Waiting, Ticket)>,
) -> Result<Exchange, StageError> {
    let mut written: Option<(Slots, Exchange)> = None;
    for _ in 0..ATTEMPTS_MAX {
        let (seen, etag) = document::read(ports).await?;
        // A write whose answer was lost may have come to pass.
        if let Some((_, exchange)) = written.take_if(|(slots, _)| *slots == seen) {
            return Ok(exchange);
        }
        let mut next = seen.clone();
        next.running.retain(|name, _| !ended.contains(name));
        let room = max.saturating_sub(next.running.len()).min(ADMITTED_MAX);
        let mut admitted = waiting::longest(ports, &next, room).await?;
        let is_to_repeat = {
            // Whoever saw no room left its request to whoever makes room, and may have written it just now.
            let is_opened = seen.running.len() >= max && next.running.len() + admitted.len() < max;
            is_opened || admitted.len() == ADMITTED_MAX
        };
        for ticket in &admitted {
            next.take(ports, ticket);
        }
        // Its message came again: whoever took the slot may have died before the start.
        if let Some((own, ticket)) = own
            && seen.running.contains_key(&own.name)
        {
            admitted.insert(0, ticket.clone());
        }
        let exchange = Exchange { admitted, is_to_repeat };
        if next == seen || document::write(ports, &next, etag).await? {
            return Ok(exchange);
        }
        written = Some((next, exchange));
    }
    Err(document::contended(ATTEMPTS_MAX))
}

/// What became of the start of an execution that holds a slot.
enum Launched {
    /// It runs.
    Running,
    /// It ended before.
    Over,
    /// Its request is gone: somebody else started it.
    Unknown,
    /// It can never be started.
    Refused(StageError),
    /// It cannot be started now, and neither could others.
    Later,
}

/// Starts an execution that waits. Its request is removed as soon as that is done.
async fn launch(ports: &Ports, ticket: &Ticket) -> Launched {
    let started = match waiting::read(ports, ticket).await {
        Ok(Some(waiting)) => call(ports, &waiting.name, &waiting.request).await,
        Ok(None) => return Launched::Unknown,
        Err(error) => Err(error),
    };
    match started {
        Ok(started) => {
            if let Err(error) = waiting::forget(ports, ticket).await {
                // It will get a slot once more, and be found to have ended.
                warn!(execution = ticket.name, error = error.report(), "cannot remove the request of an execution");
            }
            // A name that is taken need not have ended: the service says the same of one that runs with another input.
            let is_over = started == Started::AlreadyDone && is_over(ports, &ticket.name).await;
            if is_over { Launched::Over } else { Launched::Running }
        }
        Err(error) if error.kind().is_transient() => {
            warn!(execution = ticket.name, error = error.report(), "cannot start an execution now");
            Launched::Later
        }
        Err(error) => Launched::Refused(error),
    }
}

async fn call(ports: &Ports, name: &str, request: &RunRequest) -> Result<Started, StageError> {
    let started = ports.executions.start(name, request).await?;
    info!(
        execution = name,
        execution_id = ports.executions.id(name),
        run_id = request.run_id(),
        pipeline = request.pipeline,
        bucket = request.bucket,
        key = request.key,
        version = request.version,
        reason = request.reason,
        already_done = started == Started::AlreadyDone,
        "execution started"
    );
    Ok(started)
}

/// Whether an execution is known to have ended; if that cannot be told now, a later tick looks again.
async fn is_over(ports: &Ports, name: &str) -> bool {
    let described = ports.executions.describe(name).await.ok().flatten();
    described.is_some_and(|described| described.state != ExecutionState::Running)
}

/// Sends a request that waited, and can never be started, to the dead letters. Gives the execution's name once the
/// request is gone.
async fn bury(ports: &Ports, ticket: Ticket, cause: &StageError) -> Option<String> {
    error!(execution = ticket.name, error = cause.report(), "execution cannot be started");
    let buried = async {
        if let Some(waiting) = waiting::read(ports, &ticket).await? {
            let body = serde_json::json!({ "start": waiting }).to_string();
            let cause = DeathCause {
                error: cause.kind().name().to_owned(),
                message: cause.report(),
                pipeline: waiting.request.pipeline,
            };
            ports.queue.bury(&body, &cause).await?;
        }
        waiting::forget(ports, &ticket).await
    };
    match buried.await {
        Ok(()) => Some(ticket.name),
        Err(error) => {
            warn!(execution = ticket.name, error = error.report(), "cannot send a request to the dead-letter queue");
            None
        }
    }
}

/// Describes executions that have held slots for long, some in each minute. Gives those that ended.
async fn look(ports: &Ports) -> Result<Vec<String>, StageError> {
    let now_ms = document::now_ms(ports);
    let (slots, _) = document::read(ports).await?;
    let old: Vec<_> = slots.running.iter().filter(|(_, slot)| slot.since_ms + LOOK_AFTER_MS <= now_ms).collect();
    let minute = usize::try_from(now_ms / 60_000).unwrap_or_default();
    let first = minute.wrapping_mul(LOOKS_MAX).checked_rem(old.len()).unwrap_or_default();
    let mut ended = Vec::new();
    for (name, slot) in old.iter().cycle().skip(first).take(LOOKS_MAX.min(old.len())) {
        if ports.context.budget.is_spent() {
            break;
        }
        let described = match ports.executions.describe(name).await {
            Ok(described) => described,
            Err(error) => {
                warn!(execution = name, error = error.report(), "cannot look at an execution");
                break;
            }
        };
        let is_over = match described {
            Some(described) => described.state != ExecutionState::Running,
            None => {
                let ticket = Ticket { asked_ms: slot.asked_ms, name: (*name).clone() };
                match launch(ports, &ticket).await {
                    Launched::Running => false,
                    Launched::Over => true,
                    Launched::Unknown => slot.since_ms + FORGET_AFTER_MS <= now_ms,
                    Launched::Refused(error) => bury(ports, ticket, &error).await.is_some(),
                    Launched::Later => break,
                }
            }
        };
        if is_over {
            ended.push((*name).clone());
        }
    }
    Ok(ended)
}

/// Starts those that wait from the time when there was a limit.
async fn drain(ports: &Ports) -> Result<(), StageError> {
    for ticket in waiting::longest(ports, &Slots::default(), DRAINED_MAX).await? {
        if ports.context.budget.is_spent() {
            break;
        }
        match launch(ports, &ticket).await {
            Launched::Running | Launched::Over | Launched::Unknown => {}
            Launched::Refused(error) => {
                bury(ports, ticket, &error).await;
            }
            Launched::Later => break,
        }
    }
    Ok(())
}
