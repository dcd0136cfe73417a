//! Shows on the terminal how far a run is.

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use stepwell_pipeline::{progress::Progress, stage::Stage};

/// One line for each stage on standard error: moving on a terminal, else written when the stage ends.
#[derive(Debug)]
pub(crate) struct Lines {
    moving: bool,
    stages: Mutex<BTreeMap<&'static str, Line>>,
}

#[derive(Debug)]
struct Line {
    bar: ProgressBar,
    started: Instant,
    bytes: u64,
    records: u64,
}

impl Lines {
    pub(crate) fn new() -> Self {
        Self { moving: std::io::stderr().is_terminal(), stages: Mutex::new(BTreeMap::new()) }
    }
}

impl Line {
    fn text(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = if seconds > 0.0 { self.bytes as f64 / seconds } else { 0.0 };
        format!(
            "{:>10} {:>14} records {:>7.2} s {:>10}/s",
            HumanBytes(self.bytes).to_string(),
            HumanCount(self.records).to_string(),
            seconds,
            HumanBytes(rate as u64).to_string()
        )
    }
}

impl Progress for Lines {
    fn started(&self, stage: Stage, bytes: Option<u64>) {
        let target = if self.moving { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(bytes, target).with_prefix(stage.name());
        if let Ok(style) = ProgressStyle::with_template("  {prefix:<10} [{bar:24}] {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        let line = Line { bar, started: Instant::now(), bytes: 0, records: 0 };
        self.stages.lock().unwrap_or_else(PoisonError::into_inner).insert(stage.name(), line);
    }

    fn advanced(&self, stage: Stage, bytes: u64, records: u64) {
        if let Some(line) = self.stages.lock().unwrap_or_else(PoisonError::into_inner).get_mut(stage.name()) {
            line.bytes += bytes;
            line.records += records;
            line.bar.set_position(line.bytes);
            line.bar.set_message(line.text());
        }
    }

    fn finished(&self, stage: Stage, resumed: bool) {
        if let Some(line) = self.stages.lock().unwrap_or_else(PoisonError::into_inner).remove(stage.name()) {
            line.bar.finish_and_clear();
            let text = if resumed { "done by an earlier execution".to_owned() } else { line.text() };
            eprintln!("  {:<10} {text}", stage.name());
        }
    }
}

/// One line for a backfill on standard error, moving on a terminal; else nothing until it is done.
#[cfg(feature = "aws")]
#[derive(Debug)]
pub(crate) struct Position {
    bar: ProgressBar,
    begun: Instant,
    /// The executions that were started before, and whether anything moved.
    first: Mutex<Option<u64>>,
}

#[cfg(feature = "aws")]
impl Position {
    pub(crate) fn new(is_hidden: bool) -> Self {
        let moving = !is_hidden && std::io::stderr().is_terminal();
        let target = if moving { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg}") {
            bar.set_style(style);
        }
        Self { bar, begun: Instant::now(), first: Mutex::new(None) }
    }

    /// Whether the backfill got any further.
    pub(crate) fn has_moved(&self) -> bool {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Says so many words instead.
    pub(crate) fn say(&self, message: String) {
        self.bar.set_message(message);
        self.bar.tick();
    }

    /// Removes the line.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(feature = "aws")]
impl stepwell_trigger::backfill::Watch for Position {
    fn advanced(&self, state: &stepwell_trigger::backfill::Backfill, rate: f64) {
        let counts = &state.counts;
        let first = *self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(counts.started);
        let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
        let per_second = (counts.started - first) as f64 / seconds;
        let throttled = if rate > 0.0 && rate < state.rate { ", slowed down by the service" } else { "" };
        self.say(format!(
            "{} listed  {} skipped  {} started  {per_second:.1}/s{throttled}  {}",
            HumanCount(counts.listed),
            HumanCount(counts.skipped()),
            HumanCount(counts.started),
            state.after.as_deref().unwrap_or_default()
        ));
    }
}
