//! Schedules ticks, aligned to the wall clock, and converts the monotonic time of the kernel's events to the epoch.
//!
//! Epoch = monotonic + offset. When the wall clock is set forward, the offset follows after the next pass. When it is set back, the offset
//! follows by at most a tenth of the interval per pass. So ticks never repeat or go back, and passes are never far apart.

use std::time::Duration;

use longwave_pipeline::model::UnixNanos;

/// Both clocks at one moment, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// CLOCK_MONOTONIC.
    pub mono: u64,
    /// CLOCK_REALTIME.
    pub wall: u64,
}

/// The schedule of ticks, and the offset between the clocks.
#[derive(Clone, Debug)]
pub struct Timeline {
    interval: u64,
    offset: i64,
    /// Tick of the next pass.
    scheduled: u64,
    /// Tick of the last pass. Before the first pass, the time of the start.
    passed: u64,
}

/// Smallest step of the wall clock that is followed, in nanoseconds. Smaller ones come from reading two clocks one after the other. NTP's
/// slewing changes both clocks alike.
const JITTER: i64 = 100_000;

// === impl Timeline ===

impl Timeline {
    /// Schedules ticks at the multiples of `interval` (at least one nanosecond) after `now`.
    pub fn new(interval: Duration, now: Reading) -> Self {
        let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        let offset = difference(now.wall, now.mono);
        Self { interval, offset, scheduled: following(now.wall, interval), passed: now.wall }
    }

    /// Returns the time at which the monotonic clock was `mono`.
    pub fn epoch(&self, mono: u64) -> UnixNanos {
        UnixNanos(mono.saturating_add_signed(self.offset))
    }

    /// Returns the tick of the next pass.
    pub fn tick(&self) -> UnixNanos {
        UnixNanos(self.scheduled)
    }

    /// Returns how long it is until the next pass is due.
    pub fn wait(&self, mono_now: u64) -> Duration {
        Duration::from_nanos(self.scheduled.saturating_sub(self.epoch(mono_now).0))
    }

    /// Returns the end of the window `[start, end)` that an event belongs to. The watermark has not reached that end.
    pub fn event_tick(&self, mono: u64) -> UnixNanos {
        UnixNanos(following(self.epoch(mono).0.max(self.passed), self.interval))
    }

    /// Ends the pass of [`Self::tick`]: adjusts the offset to the wall clock and schedules the next tick. Ticks that were due during the
    /// pass are skipped.
    pub fn complete(&mut self, now: Reading) {
        self.passed = self.scheduled;
        self.adjust(now);
        let now = self.epoch(now.mono).0;
        let from_now = now.checked_next_multiple_of(self.interval).unwrap_or(now);
        self.scheduled = following(self.passed, self.interval).max(from_now);
    }

    /// Returns the tick of the pass at the stop, which is not due: now, but at least 1 ns after the tick of the last pass.
    pub fn last_tick(&self, mono_now: u64) -> UnixNanos {
        UnixNanos(self.epoch(mono_now).0.max(self.passed.saturating_add(1)))
    }

    fn adjust(&mut self, now: Reading) {
        let step = difference(now.wall, now.mono).saturating_sub(self.offset);
        if step >= JITTER {
            self.offset = self.offset.saturating_add(step);
        } else if step <= -JITTER {
            let max_step = i64::try_from(self.interval / 10).unwrap_or(i64::MAX);
            self.offset = self.offset.saturating_add(step.max(-max_step));
        }
    }
}

// === impl Reading ===

impl Reading {
    /// Reads both clocks. Each of five tries reads the wall clock between two readings of the monotonic clock. Returns the try in which
    /// these are closest.
    pub fn now() -> Self {
        let mut best = (u64::MAX, Self { mono: 0, wall: 0 });
        for _ in 0..5 {
            let before = monotonic();
            let wall = nanos(rustix::time::clock_gettime(rustix::time::ClockId::Realtime));
            let after = monotonic();
            let apart = after.saturating_sub(before);
            if apart < best.0 {
                best = (apart, Self { mono: before + apart / 2, wall });
            }
        }
        best.1
    }
}

/// Returns CLOCK_MONOTONIC in nanoseconds, as `bpf_ktime_get_ns` does.
pub fn monotonic() -> u64 {
    nanos(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic))
}

fn nanos(time: rustix::time::Timespec) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000)
        + u64::try_from(time.tv_nsec).unwrap_or(0)
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
