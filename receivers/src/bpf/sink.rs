//! Where records go.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use longwave_pipeline::runtime::{Delivered, RecordOutput};
use longwave_pipeline::{ConnectionRecord, PassEnd};
use tokio::runtime::Handle;

use super::tracker::BATCH;

/// Takes records in batches.
pub trait Sink {
    /// Offers updates: all pipelines take them, or none does and their content comes again later.
    fn offer(&mut self, records: Vec<ConnectionRecord>) -> Delivered;
    /// Gives events that do not come again.
    fn give(&mut self, records: Vec<ConnectionRecord>);
    /// Sends the watermark.
    fn pass_end(&mut self, pass_end: PassEnd);
    /// A new pass begins: it may wait for the pipelines again. After the `last` one no record comes for what finds no room.
    fn begin_pass(&mut self, _last: bool) {}
    /// Called often: what waits for room may go.
    fn relieve(&mut self) {}
}

/// The pipelines, from a thread of ours. A burst waits rather than being dropped:
///
/// - Events that find no room are held here, in order, until there is room, up to [`MAX_HELD`]; the watermark waits behind them.
/// - Updates, which heal, are refused while events are held.
/// - In each interval the thread itself waits only for so long that neither the next pass nor the kernel's rings suffer.
pub struct Pipelines {
    output: RecordOutput,
    executor: Handle,
    held: Held,
    held_end: Option<PassEnd>,
    patience: Duration,
    left: Duration,
    longest_wait: Duration,
}

/// Events that wait for room, in their order and in batches, so that sending some never moves the others.
#[derive(Default)]
struct Held {
    batches: VecDeque<Vec<ConnectionRecord>>,
    records: usize,
}

/// Events that may wait for room: a second of 30,000 connections, opened and closed.
const MAX_HELD: usize = 65_536;

/// The longest single wait: a pipeline that is stuck must not keep the others waiting for all of the patience at once.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// How long the last pass may wait in all: less than what exporters get to deliver the rest.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

// === impl Held ===

impl Held {
    fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Puts them behind the others; small batches are put together.
    fn push(&mut self, mut records: Vec<ConnectionRecord>) {
        self.records += records.len();
        match self.batches.back_mut() {
            Some(last) if last.len() + records.len() <= BATCH => last.append(&mut records),
            _ if records.is_empty() => {}
            _ => self.batches.push_back(records),
        }
    }

    /// Takes the oldest batch.
    fn pop(&mut self) -> Option<Vec<ConnectionRecord>> {
        let batch = self.batches.pop_front()?;
        self.records -= batch.len();
        Some(batch)
    }

    /// Takes all, as one batch.
    fn take(&mut self) -> Vec<ConnectionRecord> {
        std::mem::take(self).batches.into_iter().flatten().collect()
    }
}

// === impl Pipelines ===

impl Pipelines {
    /// `patience`: how long may be waited from one pass to the next.
    pub fn new(output: RecordOutput, executor: Handle, patience: Duration) -> Self {
        Self {
            output,
            executor,
            held: Held::default(),
            held_end: None,
            patience,
            left: patience,
            longest_wait: LONGEST_WAIT,
        }
    }

    /// The output, to be flushed.
    pub fn into_output(self) -> RecordOutput {
        self.output
    }

    /// Sends what is held, as far as there is room. True if nothing is held any more.
    fn catch_up(&mut self) -> bool {
        while self.output.has_room()
            && let Some(batch) = self.held.pop()
        {
            self.output.give_events(batch);
        }
        if self.held.is_empty()
            && self.output.has_room()
            && let Some(pass_end) = self.held_end.take()
        {
            self.output.pass_end(pass_end);
        }
        self.held.is_empty()
    }

    /// Waits for room as long as patience lasts, and sends what is held. True if nothing is held any more.
    fn wait_and_catch_up(&mut self) -> bool {
        while !self.catch_up() {
            if self.left.is_zero() {
                return false;
            }
            self.wait_for_room();
        }
        true
    }

    fn wait_for_room(&mut self) {
        if self.left.is_zero() {
            return;
        }
        let start = Instant::now();
        // Whether there is room or the time is over: what does not fit is refused and counted.
        let _ = self.executor.block_on(async {
            tokio::time::timeout(self.left.min(self.longest_wait), self.output.room()).await
        });
        self.left = self.left.saturating_sub(start.elapsed());
    }
}

impl Sink for Pipelines {
    fn offer(&mut self, records: Vec<ConnectionRecord>) -> Delivered {
        if !self.catch_up() {
            self.wait_for_room();
            if !self.catch_up() {
                self.output.defer_updates(&records);
                return Delivered::None;
            }
        }
        if !self.output.has_room() {
            self.wait_for_room();
        }
        self.output.offer_updates(records)
    }

    fn give(&mut self, records: Vec<ConnectionRecord>) {
        if self.catch_up() && self.output.has_room() {
            return self.output.give_events(records);
        }
        self.held.push(records);
        if self.held.records > MAX_HELD && !self.wait_and_catch_up() {
            // No room within the patience: where there is none, they are dropped and counted.
            self.output.give_events(self.held.take());
        }
    }

    fn pass_end(&mut self, pass_end: PassEnd) {
        if pass_end.last {
            if !self.wait_and_catch_up() {
                self.output.give_events(self.held.take());
            }
            // Without room it waits in the output, which is flushed after the last pass.
            return self.output.pass_end(pass_end);
        }
        self.held_end = Some(pass_end);
        self.catch_up();
    }

    fn begin_pass(&mut self, last: bool) {
        (self.left, self.longest_wait) =
            if last { (LAST_PATIENCE, LAST_PATIENCE) } else { (self.patience, LONGEST_WAIT) };
    }

    fn relieve(&mut self) {
        self.catch_up();
    }
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
