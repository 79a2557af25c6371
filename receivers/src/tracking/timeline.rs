//! Schedules ticks, and converts the monotonic time of the kernel's events to the epoch. Follows the wall clock when it is set.
//!
//! There are two offsets from the monotonic clock to the epoch:
//! - That of records follows the wall clock as soon as a step is noticed, in both directions.
//! - That of ticks follows after the next pass. Ticks never repeat or go back, because they are the ends of windows, and windows must not
//!   overlap. After a step forward, the next tick is in the new time. After a step back of at most one interval, the next pass is late by
//!   the step. After a larger one, each pass is late by a tenth of the interval until at most one interval is left, so that passes are never
//!   far apart. Until then ticks are ahead of the wall clock.

mod clock;

use std::time::Duration;

use longwave_pipeline::model::UnixNanos;

pub use clock::{Clock, Reading, SystemClock};

/// The schedule of ticks, and the offsets between the clocks.
#[derive(Clone, Debug)]
pub struct Timeline {
    interval: u64,
    /// Wall clock minus monotonic clock, as of the last reading.
    offset: i64,
    /// The same for ticks. Larger than `offset` while ticks are ahead of the wall clock.
    tick_offset: i64,
    /// Tick of the next pass.
    scheduled: u64,
    /// Tick of the last pass. Before the first pass, the time of the start.
    passed: u64,
}

/// Smallest step of the wall clock that is followed, in nanoseconds, in addition to the uncertainty of a reading. NTP's slewing changes both
/// clocks alike.
const JITTER: u64 = 100_000;

/// Smallest step that is reported, in nanoseconds.
const MIN_REPORTED: u64 = 1_000_000;

// === impl Timeline ===

impl Timeline {
    /// Schedules ticks at the multiples of `interval` (at least one nanosecond) after `now`.
    pub fn new(interval: Duration, now: Reading) -> Self {
        let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        let offset = difference(now.wall, now.mono);
        let scheduled = following(now.wall, interval);
        Self { interval, offset, tick_offset: offset, scheduled, passed: now.wall }
    }

    /// Returns the time at which the monotonic clock was `mono`, by the wall clock as it is set now.
    pub fn epoch(&self, mono: u64) -> UnixNanos {
        UnixNanos(mono.saturating_add_signed(self.offset))
    }

    /// Returns the monotonic time at which `tick` is due.
    pub fn due(&self, tick: UnixNanos) -> u64 {
        tick.0.saturating_add_signed(self.tick_offset.saturating_neg())
    }

    /// Returns the tick of the next pass.
    pub fn tick(&self) -> UnixNanos {
        UnixNanos(self.scheduled)
    }

    /// Returns how long it is until the next pass is due.
    pub fn wait(&self, mono_now: u64) -> Duration {
        Duration::from_nanos(self.due(self.tick()).saturating_sub(mono_now))
    }

    /// Returns the end of the window `[start, end)` that an event belongs to. The watermark has not reached that end.
    pub fn event_tick(&self, mono: u64) -> UnixNanos {
        UnixNanos(following(self.tick_time(mono).max(self.passed), self.interval))
    }

    /// Returns how far ticks are ahead of the wall clock.
    pub fn lead(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.tick_offset.saturating_sub(self.offset)).unwrap_or(0))
    }

    /// Returns true if ticks are so far ahead that they approach the wall clock over several passes. Otherwise they follow in the next pass.
    pub fn is_far_ahead(&self) -> bool {
        self.lead() > Duration::from_nanos(self.interval)
    }

    /// Follows the wall clock. Returns by how many nanoseconds it was set since the last reading, forward if positive; `None` if it was not
    /// set, or by less than a millisecond.
    pub fn follow(&mut self, now: Reading) -> Option<i64> {
        let step = difference(now.wall, now.mono).saturating_sub(self.offset);
        if step.unsigned_abs() < JITTER.saturating_add(now.uncertainty) {
            return None;
        }
        self.offset = self.offset.saturating_add(step);
        (step.unsigned_abs() >= MIN_REPORTED).then_some(step)
    }

    /// Ends the pass of [`Self::tick`]: follows the wall clock and schedules the next tick. Ticks that were due during the pass are skipped.
    /// Returns what [`Self::follow`] returns.
    pub fn complete(&mut self, now: Reading) -> Option<i64> {
        let step = self.follow(now);
        self.passed = self.scheduled;
        if self.is_far_ahead() {
            let tenth = i64::try_from(self.interval / 10).unwrap_or(i64::MAX).max(1);
            self.tick_offset = self.tick_offset.saturating_sub(tenth);
        } else {
            self.tick_offset = self.offset;
        }
        let now = self.tick_time(now.mono);
        let from_now = now.checked_next_multiple_of(self.interval).unwrap_or(now);
        self.scheduled = following(self.passed, self.interval).max(from_now);
        step
    }

    /// Returns the tick of the pass at the stop, which is not due: now, but at least 1 ns after the tick of the last pass.
    pub fn last_tick(&self, mono_now: u64) -> UnixNanos {
        UnixNanos(self.tick_time(mono_now).max(self.passed.saturating_add(1)))
    }

    fn tick_time(&self, mono: u64) -> u64 {
        mono.saturating_add_signed(self.tick_offset)
    }
}

/// Returns the first multiple of `interval` after `time`.
fn following(time: u64, interval: u64) -> u64 {
    (time / interval).saturating_add(1).saturating_mul(interval)
}

fn difference(a: u64, b: u64) -> i64 {
    i64::try_from(i128::from(a) - i128::from(b)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
