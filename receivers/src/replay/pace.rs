//! When a recorded moment is due.

use longwave_pipeline::model::UnixNanos;
use std::time::Duration;
use tokio::time::Instant;

use super::Speed;

/// Maps recorded times to now.
pub(super) struct Pace {
    speed: Speed,
    /// A moment of the recording, and when it was played.
    origin: Option<(UnixNanos, Instant)>,
}

// === impl Pace ===

impl Pace {
    pub(super) fn new(speed: Speed) -> Self {
        Self { speed, origin: None }
    }

    /// Another recording begins: its first moment is now.
    pub(super) fn restart(&mut self) {
        self.origin = None;
    }

    /// When to play what was recorded at `time`; absent if at once.
    pub(super) fn due(&mut self, time: UnixNanos, now: Instant) -> Option<Instant> {
        if self.speed == Speed::Fast {
            return None;
        }
        let (recorded, played) = *self.origin.get_or_insert((time, now));
        let due = played.checked_add(Duration::from_nanos(time.0.saturating_sub(recorded.0)))?;
        (due > now).then_some(due)
    }
}
