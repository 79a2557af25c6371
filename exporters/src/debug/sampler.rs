//! [`Sampler`]: which requests are shown, by the rule of the Collector's logger (zap).

use std::time::{Duration, Instant};

/// Counts the requests of each second. In each, the first `initial` are shown, and then every one whose number after them is a multiple of
/// `thereafter`.
pub(super) struct Sampler {
    initial: u64,
    thereafter: u64,
    /// End of the current second. `None` before the first request.
    ends: Option<Instant>,
    seen: u64,
}

const INTERVAL: Duration = Duration::from_secs(1);

// === impl Sampler ===

impl Sampler {
    pub(super) fn new(initial: u64, thereafter: u64) -> Self {
        Self { initial, thereafter, ends: None, seen: 0 }
    }

    /// Counts a request, and returns whether it is shown.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        if self.ends.is_none_or(|ends| now >= ends) {
            self.ends = Some(now + INTERVAL);
            self.seen = 0;
        }
        self.seen = self.seen.saturating_add(1);
        match self.seen.checked_sub(self.initial) {
            None | Some(0) => true,
            Some(after) => self.thereafter > 0 && after.is_multiple_of(self.thereafter),
        }
    }
}
