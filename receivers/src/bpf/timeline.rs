//! Ticks, aligned to the wall clock, over the monotonic clock that the kernel stamps events with.
//!
//! Epoch = monotonic + offset. A wall clock that was set forward is followed after the next pass; one that was set back is approached
//! by at most a tenth of the interval per pass. So ticks never repeat and never go back, and passes are never far apart.

use std::time::Duration;

use longwave_pipeline::model::UnixNanos;

/// Both clocks at one moment, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// CLOCK_MONOTONIC.
    pub mono: u64,
    /// CLOCK_REALTIME.
    pub wall: u64,
}

/// Which tick is next, and what time it was when the kernel saw something.
#[derive(Clone, Debug)]
pub struct Timeline {
    interval: u64,
    offset: i64,
    /// The next pass's tick.
    scheduled: u64,
    /// The last pass's tick; before the first, the start.
    passed: u64,
}

/// Smaller differences come from reading two clocks one after the other: NTP's slewing moves both alike.
const JITTER: i64 = 100_000;

// === impl Timeline ===

impl Timeline {
    /// Ticks at the multiples of `interval` (at least one nanosecond) from `now` on.
    pub fn new(interval: Duration, now: Reading) -> Self {
        let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        let offset = difference(now.wall, now.mono);
        Self { interval, offset, scheduled: following(now.wall, interval), passed: now.wall }
    }

    /// When the monotonic clock read `mono`.
    pub fn epoch(&self, mono: u64) -> UnixNanos {
        UnixNanos(mono.saturating_add_signed(self.offset))
    }

    /// The next pass's tick.
    pub fn tick(&self) -> UnixNanos {
        UnixNanos(self.scheduled)
    }

    /// How long until the next pass is due.
    pub fn wait(&self, mono_now: u64) -> Duration {
        Duration::from_nanos(self.scheduled.saturating_sub(self.epoch(mono_now).0))
    }

    /// The window's end of an event: windows are `[start, end)`. Never in a window that was closed.
    pub fn event_tick(&self, mono: u64) -> UnixNanos {
        UnixNanos(following(self.epoch(mono).0.max(self.passed), self.interval))
    }

    /// The pass of [`Self::tick`] is over: adjusts to the wall clock and schedules the next. Ticks that went by meanwhile are left out.
    pub fn complete(&mut self, now: Reading) {
        self.passed = self.scheduled;
        self.adjust(now);
        let now = self.epoch(now.mono).0;
        let from_now = now.checked_next_multiple_of(self.interval).unwrap_or(now);
        self.scheduled = following(self.passed, self.interval).max(from_now);
    }

    /// The tick of a pass that is not due: now, or just after the last pass.
    pub fn last_tick(&self, mono_now: u64) -> UnixNanos {
        UnixNanos(self.epoch(mono_now).0.max(self.passed.saturating_add(1)))
    }

    fn adjust(&mut self, now: Reading) {
        let step = difference(now.wall, now.mono).saturating_sub(self.offset);
        if step >= JITTER {
            self.offset = self.offset.saturating_add(step);
        } else if step <= -JITTER {
            let most = i64::try_from(self.interval / 10).unwrap_or(i64::MAX);
            self.offset = self.offset.saturating_add(step.max(-most));
        }
    }
}

// === impl Reading ===

impl Reading {
    /// Both clocks now. The wall clock is read between two readings of the other; the closest of a few tries counts.
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

/// CLOCK_MONOTONIC in nanoseconds: what `bpf_ktime_get_ns` reads.
pub fn monotonic() -> u64 {
    nanos(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic))
}

fn nanos(time: rustix::time::Timespec) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000)
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// The first multiple of `interval` after `time`.
fn following(time: u64, interval: u64) -> u64 {
    (time / interval).saturating_add(1).saturating_mul(interval)
}

fn difference(a: u64, b: u64) -> i64 {
    i64::try_from(i128::from(a) - i128::from(b)).unwrap_or(0)
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
