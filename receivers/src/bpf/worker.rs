//! The receiver's thread: waits, drains, and at each tick runs the pass.
//!
//! Per tick: the pass (updates), idle records, everything that changed meanwhile (opens, ends), then the watermark. So at the watermark
//! every record of the windows up to its tick has been sent.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longwave_pipeline::UnixNanos;

use super::kernel::{PassError, Transition};
use super::sink::Sink;
use super::source::Source;
use super::stats::Stats;
use super::timeline::{Reading, Timeline, monotonic};
use super::tracker::{RECENT, Tracker};

/// Transitions wake the thread only when there are many: the others are drained at least so often.
const LONGEST_WAIT: Duration = Duration::from_millis(200);

/// Passes in a row that may fail.
const MAX_FAILURES: u32 = 3;

/// Everything that the thread works with.
pub struct Worker<K, S> {
    source: K,
    tracker: Tracker<S>,
    timeline: Timeline,
    stats: Arc<Stats>,
    failures: u32,
    samples_lost: u64,
    recent_turned: Instant,
    has_sampled: bool,
}

// === impl Worker ===

impl<K: Source, S: Sink> Worker<K, S> {
    /// Ready to run.
    pub fn new(source: K, tracker: Tracker<S>, timeline: Timeline, stats: Arc<Stats>) -> Self {
        Self {
            source,
            tracker,
            timeline,
            stats,
            failures: 0,
            samples_lost: 0,
            recent_turned: Instant::now(),
            has_sampled: false,
        }
    }

    /// Works until `stop` is readable, then takes a last pass. Gives the sink back.
    ///
    /// # Errors
    /// The kernel refused several passes in a row.
    pub fn run(mut self, stop: BorrowedFd<'_>) -> Result<S, PassError> {
        // The listeners that seeding found come first: they tell whose the first connections are.
        self.drain(None);
        loop {
            let wait = self.timeline.wait(monotonic()).min(LONGEST_WAIT);
            let stopping = self.source.wait(stop, wait);
            self.drain(None);
            if stopping {
                let tick = self.timeline.last_tick(monotonic());
                self.pass(tick, true)?;
                return Ok(self.tracker.into_sink());
            }
            if self.timeline.wait(monotonic()).is_zero() {
                self.pass(self.timeline.tick(), false)?;
                self.timeline.complete(Reading::now());
            }
            // A connection that closed while it was seeded may have left an entry: the first pass reports it as vanished.
            if self.has_sampled && self.recent_turned.elapsed() >= RECENT {
                self.tracker.turn_recent();
                self.recent_turned = Instant::now();
            }
        }
    }

    fn pass(&mut self, tick: UnixNanos, last: bool) -> Result<(), PassError> {
        let (tracker, timeline) = (&mut self.tracker, &self.timeline);
        tracker.begin_pass(tick, last);
        let start = Instant::now();
        let result = self.source.pass(&mut |event| tracker.sample(event, timeline));
        let losses = self.source.losses();
        let lost = losses.sample_ring_full + losses.sample_raced + losses.malformed + losses.stuck_drains;
        let complete = result.is_ok() && lost == self.samples_lost;
        self.samples_lost = lost;
        tracker.idle(complete, monotonic(), timeline);
        // In a last pass everything belongs to the last window.
        self.drain(last.then_some(tick));
        self.tracker.end_pass(tick, last);
        self.has_sampled = true;
        let duration = start.elapsed();
        self.stats.update(|stats| {
            stats.pass = duration;
            stats.passes += 1;
            stats.tracked = self.tracker.tracked() as u64;
            stats.losses = losses;
            stats.programs = self.source.program_stats();
            stats.discards = self.tracker.discards();
        });
        match result {
            Ok(report) => {
                self.failures = 0;
                tracing::debug!(
                    tick = tick.0,
                    events = report.events,
                    runs = report.runs,
                    visited = report.visited,
                    ?duration,
                    tracked = self.tracker.tracked(),
                    "pass"
                );
                Ok(())
            }
            Err(error) if last || self.failures + 1 < MAX_FAILURES => {
                self.failures += 1;
                tracing::warn!(
                    "a sampling pass of the bpf receiver failed; what it missed comes with later records: {error}"
                );
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Takes in all transitions that are there. `tick`: all of them belong there.
    fn drain(&mut self, tick: Option<UnixNanos>) {
        let (tracker, timeline) = (&mut self.tracker, &self.timeline);
        self.source.drain_transitions(&mut |transition| match transition {
            Transition::Connection(event) => {
                let tick = tick.unwrap_or_else(|| timeline.event_tick(event.observed_ns));
                tracker.transition(event, tick, timeline);
            }
            Transition::Listen(event) => tracker.listen(event),
        });
        tracker.flush();
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
