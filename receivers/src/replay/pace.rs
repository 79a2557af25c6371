//! Computes when a recorded moment is due.

use std::time::Duration;

use longwave_pipeline::model::UnixNanos;
use tokio::time::Instant;

use super::config::Speed;

/// Maps recorded times to times of the replay.
pub(super) struct Pace {
    speed: Speed,
    /// A moment of the recording, and when it was replayed.
    origin: Option<(UnixNanos, Instant)>,
}

// === impl Pace ===

impl Pace {
    pub(super) fn new(speed: Speed) -> Self {
        Self { speed, origin: None }
    }

    /// Begins another recording, whose first moment is due immediately.
    pub(super) fn restart(&mut self) {
        self.origin = None;
    }

    /// Returns when to replay what was recorded at `time`; `None` if immediately.
    pub(super) fn due(&mut self, time: UnixNanos, now: Instant) -> Option<Instant> {
        if self.speed == Speed::Fast {
            return None;
        }
        let (recorded, played) = *self.origin.get_or_insert((time, now));
        let due = played.checked_add(Duration::from_nanos(time.0.saturating_sub(recorded.0)))?;
        (due > now).then_some(due)
    }
}
