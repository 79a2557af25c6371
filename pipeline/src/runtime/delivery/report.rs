//! [`DeliveryReport`]: logs failures, drops and recoveries of one exporter's deliveries of one signal. There is one line when deliveries begin
//! to fail, at most one a minute with counts, and one when they succeed again. The counters of self-telemetry have every failure and drop.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longwave_config::{GoDuration, Signal};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::component::{DropReason, one_line};

/// Minimum time between two lines of a kind.
const EVERY: Duration = Duration::from_secs(60);

pub(super) struct DeliveryReport {
    exporter: String,
    signal: Signal,
    state: Mutex<ReportState>,
    /// Whether the last attempt failed.
    is_down: watch::Sender<bool>,
    /// Whether nothing is logged any more.
    is_silent: AtomicBool,
}

/// What is not logged yet.
#[derive(Debug, Default)]
struct ReportState {
    /// Present while attempts fail.
    outage: Option<Outage>,
    failed_attempts: u64,
    dropped: BTreeMap<DropReason, u64>,
    /// No line about failures before this time.
    quiet_until: Option<Instant>,
    /// No line about drops without failures before this time.
    drops_quiet_until: Option<Instant>,
    rejected: Throttled,
    warned: Throttled,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    /// Whether a line about it was logged.
    is_logged: bool,
}

/// Counts events between two lines of a kind.
#[derive(Debug, Default)]
struct Throttled {
    count: u64,
    quiet_until: Option<Instant>,
}

/// A line of the log.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// Deliveries begin to fail.
    Down { error: String },
    /// Deliveries have failed for a while.
    StillDown { error: String, outage: Duration, failed_attempts: u64, dropped: String },
    /// Deliveries succeed again.
    Up { outage: Duration, failed_attempts: u64, dropped: String },
    /// Data was dropped, though the server can be reached.
    Dropped { dropped: String, error: String },
    /// The server rejected items of requests that it accepted.
    Rejected { items: u64, message: String },
    /// The server accepted requests and sent a warning.
    Warned { responses: u64, message: String },
}

// === impl DeliveryReport ===

impl DeliveryReport {
    pub(super) fn new(exporter: &str, signal: Signal) -> Self {
        let state = Mutex::default();
        let (is_down, is_silent) = (watch::Sender::new(false), AtomicBool::new(false));
        Self { exporter: exporter.to_owned(), signal, state, is_down, is_silent }
    }

    /// Ends the logging, because the user has ended the program that reads the output.
    pub(super) fn silence(&self) {
        self.is_silent.store(true, Ordering::Relaxed);
    }

    /// An attempt failed and another one may follow.
    pub(super) fn failed(&self, error: &str) {
        let line = self.state().failed(Instant::now(), error);
        self.is_down.send_replace(true);
        self.log(line);
    }

    /// The server responded that it accepted a request.
    pub(super) fn succeeded(&self) {
        let line = self.state().succeeded(Instant::now());
        self.is_down.send_if_modified(std::mem::take);
        self.log(line);
    }

    /// Items were dropped.
    pub(super) fn dropped(&self, reason: DropReason, items: u64, error: &str) {
        let line = self.state().dropped(Instant::now(), reason, items, error);
        self.log(line);
    }

    /// The server rejected items of a request that it accepted, or sent a warning if there are none.
    pub(super) fn answered(&self, rejected_items: u64, message: Option<&str>) {
        let line = self.state().answered(Instant::now(), rejected_items, message);
        self.log(line);
    }

    /// Logs what is not logged yet, after the last delivery. The counters can no longer be read when the process has ended.
    pub(super) fn finish(&self) {
        let lines = self.state().finish();
        lines.into_iter().for_each(|line| self.log(Some(line)));
    }

    /// Resolves while attempts fail.
    pub(super) async fn down(&self) {
        // An error would mean that the sender was dropped, but `self` has it.
        let _ = self.is_down.subscribe().wait_for(|is_down| *is_down).await;
    }

    fn state(&self) -> MutexGuard<'_, ReportState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self, line: Option<Line>) {
        let (exporter, signal) = (&self.exporter, self.signal);
        match line.filter(|_| !self.is_silent.load(Ordering::Relaxed)) {
            None => {}
            Some(Line::Down { error }) => tracing::warn!(
                exporter,
                %signal,
                error,
                "sending fails (later failures are reported once a minute)"
            ),
            Some(Line::StillDown { error, outage, failed_attempts, dropped }) => {
                tracing::warn!(exporter, %signal, error, outage = %shown(outage), failed_attempts, dropped, "sending still fails");
            }
            Some(Line::Up { outage, failed_attempts, dropped }) => {
                tracing::info!(exporter, %signal, outage = %shown(outage), failed_attempts, dropped, "sending succeeds again");
            }
            Some(Line::Dropped { dropped, error }) => {
                tracing::warn!(exporter, %signal, dropped, error, "dropped data");
            }
            Some(Line::Rejected { items, message }) => {
                tracing::warn!(exporter, %signal, rejected_items = items, reason = message, "the server rejected a part of the data");
            }
            Some(Line::Warned { responses, message }) => {
                tracing::warn!(exporter, %signal, responses, warning = message, "the server accepted all data, and sent a warning");
            }
        }
    }
}

fn shown(duration: Duration) -> GoDuration {
    GoDuration::from(Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
}

// === impl ReportState ===

impl ReportState {
    fn failed(&mut self, now: Instant, error: &str) -> Option<Line> {
        self.failed_attempts += 1;
        let outage = self.outage.get_or_insert(Outage { since: now, is_logged: false });
        if self.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        self.quiet_until = Some(now + EVERY);
        let error = error.to_owned();
        let (since, was_logged) = (outage.since, std::mem::replace(&mut outage.is_logged, true));
        // If a line was suppressed since the last one, the counts are logged as well.
        if !was_logged && self.dropped.is_empty() && self.failed_attempts == 1 {
            self.failed_attempts = 0;
            return Some(Line::Down { error });
        }
        Some(self.still_down(now - since, error))
    }

    fn succeeded(&mut self, now: Instant) -> Option<Line> {
        let outage = self.outage.take().filter(|outage| outage.is_logged)?;
        self.quiet_until = Some(now + EVERY);
        let failed_attempts = std::mem::take(&mut self.failed_attempts);
        Some(Line::Up { outage: now - outage.since, failed_attempts, dropped: self.take_dropped() })
    }

    fn dropped(&mut self, now: Instant, reason: DropReason, items: u64, error: &str) -> Option<Line> {
        *self.dropped.entry(reason).or_default() += items;
        let quiet_until =
            if self.outage.is_some() { &mut self.quiet_until } else { &mut self.drops_quiet_until };
        if quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        *quiet_until = Some(now + EVERY);
        let error = error.to_owned();
        let since = self.outage.as_mut().map(|outage| {
            outage.is_logged = true;
            outage.since
        });
        Some(match since {
            Some(since) => self.still_down(now - since, error),
            None => Line::Dropped { dropped: self.take_dropped(), error },
        })
    }

    fn answered(&mut self, now: Instant, rejected: u64, message: Option<&str>) -> Option<Line> {
        let message = message.map(one_line);
        match (rejected, message) {
            (0, None) => None,
            (0, Some(message)) => {
                self.warned.add(now, 1).map(|responses| Line::Warned { responses, message })
            }
            (_, message) => {
                let message = message.unwrap_or_else(|| "none given".to_owned());
                self.rejected.add(now, rejected).map(|items| Line::Rejected { items, message })
            }
        }
    }

    fn finish(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        if !self.dropped.is_empty() {
            lines.push(Line::Dropped {
                dropped: self.take_dropped(),
                error: "more of what was logged before".to_owned(),
            });
        }
        let more = || "more of the same since the last such line".to_owned();
        match std::mem::take(&mut self.rejected.count) {
            0 => {}
            items => lines.push(Line::Rejected { items, message: more() }),
        }
        match std::mem::take(&mut self.warned.count) {
            0 => {}
            responses => lines.push(Line::Warned { responses, message: more() }),
        }
        lines
    }

    fn still_down(&mut self, outage: Duration, error: String) -> Line {
        let failed_attempts = std::mem::take(&mut self.failed_attempts);
        Line::StillDown { error, outage, failed_attempts, dropped: self.take_dropped() }
    }

    /// Returns the number of items by reason, such as `12 queue_full, 3 retries_exhausted`.
    fn take_dropped(&mut self) -> String {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped.is_empty() {
            return "0".to_owned();
        }
        let counts: Vec<String> = dropped.iter().map(|(reason, items)| format!("{items} {reason}")).collect();
        counts.join(", ")
    }
}

// === impl Throttled ===

impl Throttled {
    /// Counts events. Returns their number since the last line if a line is due.
    fn add(&mut self, now: Instant, events: u64) -> Option<u64> {
        self.count += events;
        if self.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        self.quiet_until = Some(now + EVERY);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests;
