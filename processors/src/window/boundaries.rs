//! [`Boundaries`]: the times at which windows start and end. They are the multiples of the interval since the Unix epoch.

use longwave_pipeline::model::UnixNanos;

/// The boundaries of one interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Boundaries {
    interval: u64,
}

// === impl Boundaries ===

impl Boundaries {
    /// Creates the boundaries of an interval in nanoseconds; 0 is replaced by 1.
    pub fn every(interval: u64) -> Self {
        Self { interval: interval.max(1) }
    }

    /// Returns the last boundary at or before `time`.
    pub fn floor(self, time: UnixNanos) -> UnixNanos {
        UnixNanos(time.0 - time.0 % self.interval)
    }

    /// Returns the last boundary before `time`: the start of the window that ends at `time` or contains it.
    pub fn before(self, time: UnixNanos) -> UnixNanos {
        self.floor(UnixNanos(time.0.saturating_sub(1)))
    }

    /// Returns the first boundary after `time`.
    pub fn after(self, time: UnixNanos) -> UnixNanos {
        UnixNanos(self.floor(time).0.saturating_add(self.interval))
    }
}
