//! Times and durations.

use std::fmt;
use std::num::NonZeroU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// A point in time, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixNanos(pub u64);

/// Displays a time in the format of RFC 3339, in UTC, with nine digits of fraction.
#[derive(Clone, Copy, Debug)]
pub struct Rfc3339(pub UnixNanos);

// === impl UnixNanos ===

impl UnixNanos {
    /// Returns the time of the wall clock, or 0 if the clock is before the epoch.
    pub fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Returns the time since `earlier`, or zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

// === impl Rfc3339 ===

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every `u64` is in jiff's range: the largest is in the year 2554.
        let time = Timestamp::from_nanosecond(self.0.0.into()).map_err(|_| fmt::Error)?;
        write!(f, "{time:.9}")
    }
}

/// Converts nanoseconds to seconds.
pub fn seconds(nanos: NonZeroU64) -> f64 {
    nanos.get() as f64 / 1e9
}

/// Converts microseconds to seconds.
pub fn micros_to_seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
