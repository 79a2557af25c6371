//! Runs the receiver's thread: it waits, drains transitions, and runs a pass at each tick.
//!
//! At each tick it sends the updates of the pass, the idle records, the opens and closes so far, and then the watermark. So before the
//! watermark every record of the windows up to its tick is sent.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longwave_config::GoDuration;
use longwave_ebpf_abi::kind;
use longwave_pipeline::component::ReceiverProgress;
use longwave_pipeline::model::UnixNanos;

use super::holder_walks::HolderWalks;
use super::sink::Sink;
use super::source::{Source, Transition};
use super::telemetry::Stats;
use super::timeline::{Clock, Timeline};
use super::tracker::{GONE_ROTATION, STRIDE, Tracker};

/// Transitions wake the thread only if there are many. The others are drained after this time.
const LONGEST_WAIT: Duration = Duration::from_millis(200);

/// Number of consecutive failed passes after which the receiver stops.
const MAX_FAILURES: u32 = 3;

/// Reads a source and passes its events to the tracker.
pub struct Worker<K, S, C> {
    source: K,
    tracker: Tracker<S>,
    timeline: Timeline,
    clock: C,
    stats: Arc<Stats>,
    progress: ReceiverProgress,
    /// Fault of the kernel side after the last pass, which was logged.
    fault: Option<String>,
    failures: u32,
    samples_lost: u64,
    gone_rotated: Instant,
    has_sampled: bool,
    holder_walks: HolderWalks,
}

// === impl Worker ===

impl<K: Source, S: Sink, C: Clock> Worker<K, S, C> {
    /// Creates the worker. [`Self::run`] starts it.
    pub fn new(
        source: K,
        tracker: Tracker<S>,
        timeline: Timeline,
        clock: C,
        stats: Arc<Stats>,
        progress: ReceiverProgress,
        holder_walks: HolderWalks,
    ) -> Self {
        // From the start, self-telemetry has every counter.
        stats.update(|stats| {
            stats.counts = source.counts();
            stats.programs = source.program_stats();
        });
        Self {
            source,
            tracker,
            timeline,
            clock,
            stats,
            progress,
            fault: None,
            failures: 0,
            samples_lost: 0,
            gone_rotated: Instant::now(),
            has_sampled: false,
            holder_walks,
        }
    }

    /// Runs until `stop` is readable, then runs a last pass and returns the sink.
    ///
    /// # Errors
    /// Returns the last error if [`MAX_FAILURES`] consecutive passes failed.
    pub fn run(mut self, stop: BorrowedFd<'_>) -> Result<S, K::PassError> {
        // The listeners that seeding found come first: they are the owners of the first connections.
        self.drain(None);
        loop {
            let wait = self.timeline.wait(self.clock.monotonic()).min(LONGEST_WAIT);
            let stopping = self.source.wait(stop, wait);
            let step = self.timeline.follow(self.clock.read());
            self.report_step(step);
            self.drain(None);
            if stopping {
                let tick = self.timeline.last_tick(self.clock.monotonic());
                self.pass(tick, true)?;
                return Ok(self.tracker.into_sink());
            }
            if self.timeline.wait(self.clock.monotonic()).is_zero() {
                self.pass(self.timeline.tick(), false)?;
                let step = self.timeline.complete(self.clock.read());
                self.report_step(step);
                self.look_up_holders();
            }
            // Before the first pass, closes must stay stored: a connection that closed during seeding may have left an entry in the
            // kernel's table, which the first pass reports as vanished.
            if self.has_sampled && self.gone_rotated.elapsed() >= GONE_ROTATION {
                self.tracker.rotate_gone();
                self.gone_rotated = Instant::now();
            }
        }
    }

    fn pass(&mut self, tick: UnixNanos, last: bool) -> Result<(), K::PassError> {
        let (tracker, timeline) = (&mut self.tracker, &self.timeline);
        tracker.begin_pass(tick, last);
        let start = Instant::now();
        // Samples are processed in strides. Other transitions keep their place among them.
        let mut samples = Vec::with_capacity(STRIDE);
        let result = self.source.pass(&mut |transition| {
            let sample = match transition {
                Transition::Connection(event) if event.kind == kind::SAMPLE => Some(event),
                _ => None,
            };
            samples.extend(sample);
            if sample.is_none() || samples.len() == STRIDE {
                tracker.observe_samples(&samples, tick, timeline);
                samples.clear();
            }
            if sample.is_none() {
                process(tracker, timeline, Some(tick), transition);
            }
        });
        tracker.observe_samples(&samples, tick, timeline);
        let counts = self.source.counts();
        let complete = result.is_ok() && counts.lost_samples == self.samples_lost;
        self.samples_lost = counts.lost_samples;
        tracker.idle(complete, self.clock.monotonic(), timeline);
        // After the last pass there is no later window.
        self.drain(last.then_some(tick));
        self.tracker.end_pass(tick, last);
        self.has_sampled = true;
        let duration = start.elapsed();
        self.stats.record_pass(duration);
        self.stats.update(|stats| {
            stats.passes += 1;
            stats.tracked = self.tracker.tracked() as u64;
            stats.counts = counts;
            stats.programs = self.source.program_stats();
            stats.discards = self.tracker.discards();
            stats.window_lead = self.timeline.lead();
        });
        let fault = self.source.fault();
        self.log_fault(fault.as_ref());
        let failure = result.as_ref().err().map(|error| format!("the last pass failed: {error}"));
        self.progress.pass_ended(failure.or(fault));
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
                    "{}: a pass failed: the next records contain what it missed: {error}",
                    self.progress.name()
                );
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Walks the descriptors of all processes, if a connection has reached `holder_age` and its owner is only supposed.
    fn look_up_holders(&mut self) {
        let began = self.clock.monotonic();
        let Some(aged) = self.holder_walks.due(began) else { return };
        if !self.tracker.has_supposed_owner(aged.clone()) {
            return self.holder_walks.skip(&aged);
        }
        let (tracker, timeline) = (&mut self.tracker, &self.timeline);
        tracker.begin_walk();
        let result =
            self.source.look_up_holders(&mut |transition| process(tracker, timeline, None, transition));
        tracker.flush();
        let ended = self.clock.monotonic();
        self.holder_walks.complete(result.is_ok().then_some(&aged), began, ended);
        self.stats.update(|stats| {
            stats.holder_walks += 1;
            stats.holder_walk_failures += u64::from(result.is_err());
            stats.holder_walk_time += Duration::from_nanos(ended - began);
        });
        if let Err(error) = result {
            tracing::debug!("owners of accepted connections stay those of their listeners: {error}");
        }
    }

    /// Logs a fault of the kernel side once. Only a restart repairs it.
    fn log_fault(&mut self, fault: Option<&String>) {
        if let Some(fault) = fault.filter(|fault| self.fault.as_ref() != Some(*fault)) {
            let name = self.progress.name();
            tracing::error!("{name} does not see all connections: restart longwave: {fault}");
        }
        self.fault = fault.cloned();
    }

    /// Counts and logs a step of the wall clock.
    fn report_step(&mut self, step: Option<i64>) {
        let Some(step) = step else { return };
        self.stats.update(|stats| {
            stats.clock_steps[usize::from(step < 0)] += 1;
            stats.window_lead = self.timeline.lead();
        });
        tracing::warn!("{}", step_text(step, &self.timeline));
    }

    /// Drains all transitions. `tick` is the end of their window. `None`: it follows from the time of each.
    fn drain(&mut self, tick: Option<UnixNanos>) {
        let (tracker, timeline) = (&mut self.tracker, &self.timeline);
        self.source.drain_transitions(&mut |transition| process(tracker, timeline, tick, transition));
        tracker.flush();
    }
}

/// Passes a transition to the tracker. `tick` is the end of its window. `None`: it follows from the time of the transition.
fn process<S: Sink>(
    tracker: &mut Tracker<S>,
    timeline: &Timeline,
    tick: Option<UnixNanos>,
    transition: Transition<'_>,
) {
    match transition {
        Transition::Connection(event) => {
            let tick = tick.unwrap_or_else(|| timeline.event_tick(event.observed_ns));
            tracker.observe(event, tick, timeline);
        }
        Transition::Listen(event) => tracker.listen(event),
    }
}

/// Returns the log message for a step of the wall clock in nanoseconds.
fn step_text(step: i64, timeline: &Timeline) -> String {
    // In whole milliseconds, because readings of the clocks are not more precise.
    let rounded = |duration: Duration| {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        GoDuration::from(Duration::from_millis(micros.saturating_add(500) / 1_000))
    };
    let size = rounded(Duration::from_nanos(step.unsigned_abs()));
    if step > 0 {
        return format!(
            "the wall clock was set forward by {size}, or the host was suspended: the times of records follow it immediately, and the next \
             window contains the skipped time"
        );
    }
    if !timeline.is_far_ahead() {
        return format!(
            "the wall clock was set back by {size}: the times of records follow it immediately, and the next window stays open for {size} longer"
        );
    }
    let lead = rounded(timeline.lead());
    format!(
        "the wall clock was set back by {size}: the times of records follow it immediately. Windows never overlap, so their times are {lead} \
         ahead of the clock and approach it by a tenth of the interval per pass. To correct them immediately, restart Longwave"
    )
}

#[cfg(test)]
mod tests;
