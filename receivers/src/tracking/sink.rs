//! Sends records to the pipelines.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use longwave_pipeline::component::{Delivered, RecordOutput};
use longwave_pipeline::model::{ConnectionRecord, PassEnd};
use tokio::runtime::Handle;

use super::tracker::BATCH;

/// Takes records in batches.
pub trait Sink {
    /// Offers updates. All pipelines take them, or none does and the caller sends their content again later.
    fn offer_updates(&mut self, records: Vec<ConnectionRecord>) -> Delivered;
    /// Sends events, which are not repeated.
    fn give_events(&mut self, records: Vec<ConnectionRecord>);
    /// Sends the watermark.
    fn pass_end(&mut self, pass_end: PassEnd);
    /// Begins a pass, which renews the time that may be spent waiting. The content of a refused record of the `last` pass is lost.
    fn begin_pass(&mut self, _last: bool) {}
    /// Sends what waits, as far as there is room. Called often.
    fn send_waiting(&mut self) {}
}

/// Sends records to the pipelines from a thread outside the async runtime. A burst waits instead of being dropped:
///
/// - Events without room wait here, in order, up to [`MAX_WAITING`]. The watermark waits until they are sent.
/// - Updates are refused while events wait. Their content is in later records.
/// - The thread blocks only for a limited time per interval, so that the next pass is not late and the kernel's rings do not fill up.
/// - Updates are made faster than pipelines process them. So the thread waits for the pipelines for a short time, which bounds the memory of a
///   pass over many connections: a batch takes up to 150 KiB.
pub struct Pipelines {
    output: RecordOutput,
    executor: Handle,
    waiting: WaitingEvents,
    waiting_pass_end: Option<PassEnd>,
    /// Time to block from one pass to the next.
    budget: Duration,
    budget_left: Duration,
    longest_wait: Duration,
    /// What is left of [`PACING`] in this pass.
    pacing_left: Duration,
}

/// Events that wait for room, in order. They are stored in batches, so that sending some never moves the others.
#[derive(Default)]
struct WaitingEvents {
    batches: VecDeque<Vec<ConnectionRecord>>,
    records: usize,
}

/// Events that may wait for room: one second of 30,000 connections, opened and closed.
const MAX_WAITING: usize = 65_536;

/// Longest single wait: one stuck pipeline must not use up the whole budget of the others.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Number of batches in a channel above which updates wait for the pipeline, and the number until which they do.
const PACED_BATCHES: usize = 32;
const RESUMED_BATCHES: usize = 24;

/// Longest wait of a pass for pipelines that have room. The rings hold the events of a longer time.
const PACING: Duration = Duration::from_millis(50);

/// Budget of the last pass. It is shorter than the time that exporters have to deliver the rest.
const LAST_BUDGET: Duration = Duration::from_secs(10);

// === impl WaitingEvents ===

impl WaitingEvents {
    fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Appends records. Small batches are merged.
    fn push(&mut self, mut records: Vec<ConnectionRecord>) {
        self.records += records.len();
        match self.batches.back_mut() {
            Some(last) if last.len() + records.len() <= BATCH => last.append(&mut records),
            _ if records.is_empty() => {}
            _ => self.batches.push_back(records),
        }
    }

    /// Removes the oldest batch.
    fn pop(&mut self) -> Option<Vec<ConnectionRecord>> {
        let batch = self.batches.pop_front()?;
        self.records -= batch.len();
        Some(batch)
    }

    /// Removes everything, as one batch.
    fn take(&mut self) -> Vec<ConnectionRecord> {
        std::mem::take(self).batches.into_iter().flatten().collect()
    }
}

// === impl Pipelines ===

impl Pipelines {
    /// Creates the sink. `budget` is the time that it may block from one pass to the next.
    pub fn new(output: RecordOutput, executor: Handle, budget: Duration) -> Self {
        Self {
            output,
            executor,
            waiting: WaitingEvents::default(),
            waiting_pass_end: None,
            budget,
            budget_left: budget,
            longest_wait: LONGEST_WAIT,
            pacing_left: PACING,
        }
    }

    /// Returns the output, which the caller must flush.
    pub fn into_output(self) -> RecordOutput {
        self.output
    }

    /// Sends what waits, as far as there is room. Returns true if no event waits any more.
    fn catch_up(&mut self) -> bool {
        while self.output.has_room()
            && let Some(batch) = self.waiting.pop()
        {
            self.output.give_events(batch);
        }
        if self.waiting.is_empty()
            && self.output.has_room()
            && let Some(pass_end) = self.waiting_pass_end.take()
        {
            self.output.pass_end(pass_end);
        }
        self.waiting.is_empty()
    }

    /// Blocks until everything is sent or the budget is used up. Returns true if no event waits any more.
    fn wait_and_catch_up(&mut self) -> bool {
        while !self.catch_up() {
            if self.budget_left.is_zero() {
                return false;
            }
            self.wait_for_room();
        }
        true
    }

    fn wait_for_room(&mut self) {
        if !self.budget_left.is_zero() {
            let waited = self.wait(usize::MAX, self.budget_left.min(self.longest_wait));
            self.budget_left = self.budget_left.saturating_sub(waited);
        }
    }

    /// Waits until the pipelines have processed most of what was sent, as long as [`PACING`] allows.
    fn pace(&mut self) {
        if !self.pacing_left.is_zero() && self.output.queued() > PACED_BATCHES {
            let waited = self.wait(RESUMED_BATCHES, self.pacing_left);
            self.pacing_left = self.pacing_left.saturating_sub(waited);
        }
    }

    /// Waits until at most `queued` batches wait in each channel. Returns how long it took.
    fn wait(&self, queued: usize, at_most: Duration) -> Duration {
        let start = Instant::now();
        // The result does not matter: what does not fit is refused and counted.
        let _ =
            self.executor.block_on(async { tokio::time::timeout(at_most, self.output.room(queued)).await });
        start.elapsed()
    }
}

impl Sink for Pipelines {
    fn offer_updates(&mut self, records: Vec<ConnectionRecord>) -> Delivered {
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
        self.pace();
        self.output.offer_updates(records)
    }

    fn give_events(&mut self, records: Vec<ConnectionRecord>) {
        if self.catch_up() && self.output.has_room() {
            return self.output.give_events(records);
        }
        self.waiting.push(records);
        if self.waiting.records > MAX_WAITING && !self.wait_and_catch_up() {
            // Pipelines without room drop them and count them.
            self.output.give_events(self.waiting.take());
        }
    }

    fn pass_end(&mut self, pass_end: PassEnd) {
        if pass_end.last {
            if !self.wait_and_catch_up() {
                self.output.give_events(self.waiting.take());
            }
            // Without room the watermark waits in the output, which is flushed after the last pass.
            return self.output.pass_end(pass_end);
        }
        self.waiting_pass_end = Some(pass_end);
        self.catch_up();
    }

    fn begin_pass(&mut self, last: bool) {
        (self.budget_left, self.longest_wait) =
            if last { (LAST_BUDGET, LAST_BUDGET) } else { (self.budget, LONGEST_WAIT) };
        self.pacing_left = PACING;
    }

    fn send_waiting(&mut self) {
        self.catch_up();
    }
}

#[cfg(test)]
mod tests;
