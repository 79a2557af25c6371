//! Where windows may start and end: at multiples of the interval since the Unix epoch.

use longwave_pipeline::model::UnixNanos;

/// The grid of one interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Boundaries {
    interval: u64,
}

// === impl Boundaries ===

impl Boundaries {
    /// An interval in nanoseconds; 0 is taken for 1.
    pub fn every(interval: u64) -> Self {
        Self { interval: interval.max(1) }
    }

    /// The last boundary at or before `time`.
    pub fn floor(self, time: UnixNanos) -> UnixNanos {
        UnixNanos(time.0 - time.0 % self.interval)
    }

    /// The last boundary before `time`: the start of the window that ends at `time` or holds it.
    pub fn before(self, time: UnixNanos) -> UnixNanos {
        self.floor(UnixNanos(time.0.saturating_sub(1)))
    }

    /// The first boundary after `time`.
    pub fn after(self, time: UnixNanos) -> UnixNanos {
        UnixNanos(self.floor(time).0.saturating_add(self.interval))
    }
}
