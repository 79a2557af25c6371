//! Reads the host's clocks.

use rustix::time::{ClockId, clock_gettime};

/// Reads the host's clocks. Tests use others.
pub trait Clock {
    /// Returns CLOCK_MONOTONIC in nanoseconds, as `bpf_ktime_get_ns` does.
    fn monotonic(&self) -> u64;
    /// Reads both clocks.
    fn read(&self) -> Reading;
}

/// The clocks of this host.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

/// Both clocks at one moment, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// CLOCK_MONOTONIC.
    pub mono: u64,
    /// CLOCK_REALTIME.
    pub wall: u64,
    /// Largest difference between the moments of the two values.
    pub uncertainty: u64,
}

// === impl SystemClock ===

impl Clock for SystemClock {
    fn monotonic(&self) -> u64 {
        nanos(ClockId::Monotonic)
    }

    fn read(&self) -> Reading {
        Reading::now()
    }
}

// === impl Reading ===

impl Reading {
    /// Reads both clocks. Each of five tries reads the wall clock between two readings of the monotonic clock. Returns the try in which
    /// these are closest.
    pub fn now() -> Self {
        let mut best = Self { mono: 0, wall: 0, uncertainty: u64::MAX };
        for _ in 0..5 {
            let before = nanos(ClockId::Monotonic);
            let wall = nanos(ClockId::Realtime);
            let uncertainty = nanos(ClockId::Monotonic).saturating_sub(before) / 2;
            if uncertainty < best.uncertainty {
                best = Self { mono: before + uncertainty, wall, uncertainty };
            }
        }
        best
    }
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    u64::try_from(time.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000)
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}
