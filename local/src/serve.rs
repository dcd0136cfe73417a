//! A deployment that stays up: what arrives in the landing folder is run, and jobs are taken over HTTP. Events, the queue,
//! the tick and the executions are as on AWS, and `trigger` handles them.

mod executions;
mod gateway;
mod links;
mod queue;
mod server;
mod watch;

use std::{
    error::Error,
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::Utc;
use serde_json::{Value, json};
use stepwell_pipeline::{
    ErrorKind,
    queue::{DeathCause, Queue},
};
use stepwell_trigger::Ports;
use tokio::{net::TcpListener, task::JoinSet};

use self::{
    executions::LocalExecutions,
    links::LocalLinks,
    queue::{LocalQueue, Waiting},
    watch::Watch,
};
use crate::executor::Executor;

/// The name of the events queue.
const EVENTS_QUEUE: &str = "events";
/// So often a message is delivered before it goes to the dead letters, as the SAM template has it.
const RECEIVES_MAX: u32 = 5;
/// The most messages that are delivered together.
const BATCH_MESSAGES: usize = 10;
/// How often the landing folder is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often time passes for `trigger`; on AWS each minute.
const TICK: Duration = Duration::from_secs(5);
/// How often it is looked for messages that are due.
const POLL: Duration = Duration::from_millis(50);
/// With `--once`, messages that are due later than this are left.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that listens, and does nothing yet.
pub(crate) struct Server {
    ports: Ports,
    executions: Arc<LocalExecutions>,
    queue: Arc<LocalQueue>,
    links: Arc<LocalLinks>,
    watch: Watch,
    listener: TcpListener,
}

impl Server {
    /// Binds the address.
    ///
    /// # Errors
    /// What the network says, or the clock of links.
    pub(crate) async fn bind(
        executor: Executor,
        landing: &Path,
        address: SocketAddr,
        running_max: Option<usize>,
    ) -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind(address).await?;
        let links = Arc::new(LocalLinks::new(listener.local_addr()?));
        let executor = Arc::new(executor);
        let queue = Arc::new(LocalQueue::new(executor.context().clone()));
        let executions = Arc::new(LocalExecutions::new(executor.clone(), queue.clone()));
        let ports = Ports {
            context: executor.context().clone(),
            executions: executions.clone(),
            queue: queue.clone(),
            links: links.clone(),
            events_queue: EVENTS_QUEUE.to_owned(),
            receives_max: 5,
            running_max,
        };
        let watch = Watch::new(landing.to_owned(), executor);
        Ok(Self { ports, executions, queue, links, watch, listener })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Runs what is in the landing folder, and ends when nothing is left to do. Gives whether all of it succeeded.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) async fn drain(mut self) -> Result<bool, Box<dyn Error>> {
        self.executions.resume().await?;
        // What is written at this moment stands still between two looks, or is not whole.
        for _ in 0..2 {
            self.queue.push_all(self.watch.look().await?);
            tokio::time::sleep(LOOK).await;
        }
        // What came may be enough for a batch, which the next tick starts.
        loop {
            tick(&self.ports, &self.queue).await;
            if !self.has_work() {
                break;
            }
            while self.has_work() {
                deliver(&self.ports, &self.queue).await;
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(self.executions.failed() == 0 && self.queue.buried.load(Ordering::Relaxed) == 0)
    }

    fn has_work(&self) -> bool {
        self.executions.running() > 0 || self.queue.is_due_within(PATIENCE)
    }

    /// Serves until it is interrupted, then lets the executions that run come to their end.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) async fn serve(self) -> Result<(), Box<dyn Error>> {
        self.executions.resume().await?;
        let Self { ports, executions, queue, links, watch, listener } = self;
        let mut loops = JoinSet::new();
        loops.spawn(server::accept(listener, ports.clone(), links));
        loops.spawn(keep_looking(watch, queue.clone()));
        let ticking = (ports.clone(), queue.clone());
        loops.spawn(async move {
            let mut interval = tokio::time::interval(TICK);
            loop {
                interval.tick().await;
                tick(&ticking.0, &ticking.1).await;
            }
        });
        let delivering = (ports.clone(), queue.clone());
        loops.spawn(async move {
            loop {
                deliver(&delivering.0, &delivering.1).await;
                tokio::time::sleep(POLL).await;
            }
        });
        interrupted().await?;
        loops.shutdown().await;
        if executions.running() > 0 {
            eprintln!("{} executions still run; interrupt again to leave them", executions.running());
        }
        tokio::select! {
            () = finish(&ports, &executions, &queue) => {}
            again = interrupted() => again?,
        }
        Ok(())
    }
}

/// Waits until a terminal interrupts the process, or what supervises it ends it.
async fn interrupted() -> io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminated.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// Waits for the executions that run, and has their ends noted.
async fn finish(ports: &Ports, executions: &LocalExecutions, queue: &LocalQueue) {
    while executions.running() > 0 {
        tokio::time::sleep(POLL).await;
    }
    // Others may wait for the place of those that ended: they begin when the server does again.
    executions.close();
    deliver(ports, queue).await;
}

async fn keep_looking(mut watch: Watch, queue: Arc<LocalQueue>) {
    let mut interval = tokio::time::interval(LOOK);
    loop {
        interval.tick().await;
        match watch.look().await {
            Ok(events) => queue.push_all(events),
            Err(error) => eprintln!("cannot look at the landing folder: {error}"),
        }
    }
}

/// Tells `trigger` that time has passed.
async fn tick(ports: &Ports, queue: &LocalQueue) {
    let event = json!({ "tick": Utc::now().to_rfc3339() });
    if let Err(error) = stepwell_trigger::handler(ports, event.clone()).await {
        eprintln!("tick failed: {}: {}", error.kind(), error.report());
        // Transient faults are the next tick's; the others are told.
        if !error.kind().is_transient() {
            let cause = DeathCause { error: error.kind().name().to_owned(), message: error.report(), pipeline: None };
            bury(queue, &event.to_string(), &cause).await;
        }
    }
}

/// Delivers the messages that are due, those that fail again and later.
async fn deliver(ports: &Ports, queue: &LocalQueue) {
    loop {
        let batch = queue.take_due(BATCH_MESSAGES);
        if batch.is_empty() {
            return;
        }
        let records: Vec<Value> = batch.iter().enumerate().map(|(number, message)| record(number, message)).collect();
        let failed = match stepwell_trigger::handler(ports, json!({ "Records": records })).await {
            Ok(answer) => answer["batchItemFailures"].as_array().cloned().unwrap_or_default(),
            Err(error) => {
                eprintln!("messages cannot be handled: {}", error.report());
                records.iter().map(|record| json!({ "itemIdentifier": record["messageId"] })).collect()
            }
        };
        let failed: Vec<&str> = failed.iter().filter_map(|failure| failure["itemIdentifier"].as_str()).collect();
        for (number, message) in batch.into_iter().enumerate() {
            if !failed.contains(&number.to_string().as_str()) {
                continue;
            }
            if message.receives < RECEIVES_MAX {
                queue.push_again(message);
            } else {
                let cause = DeathCause {
                    error: ErrorKind::TargetUnavailable.name().to_owned(),
                    message: format!("it failed {RECEIVES_MAX} times"),
                    pipeline: None,
                };
                bury(queue, &message.body, &cause).await;
            }
        }
    }
}

async fn bury(queue: &LocalQueue, body: &str, cause: &DeathCause) {
    if let Err(error) = queue.bury(body, cause).await {
        eprintln!("cannot keep a dead letter: {}: {body}", error.report());
    }
}

/// A message as Lambda delivers it (Lambda Developer Guide, "Using Lambda with Amazon SQS").
fn record(number: usize, message: &Waiting) -> Value {
    json!({
        "messageId": number.to_string(),
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:local:000000000000:{EVENTS_QUEUE}"),
        "body": message.body,
        "attributes": { "ApproximateReceiveCount": message.receives.to_string() },
    })
}
