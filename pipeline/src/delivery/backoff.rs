//! Waits that grow, with jitter, so that many senders do not return at once.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::settings::RetrySettings;

/// Saturates, where `Duration` would panic.
fn times(wait: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(wait.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

/// The waits between the attempts of one payload.
pub(super) struct Backoff<'a> {
    settings: &'a RetrySettings,
    interval: Duration,
    step: u64,
    /// Randomly keyed per process and payload: enough for jitter, and no dependency.
    random: RandomState,
}

// === impl Backoff ===

impl<'a> Backoff<'a> {
    pub(super) fn new(settings: &'a RetrySettings) -> Self {
        Self { settings, interval: settings.initial_interval.get(), step: 0, random: RandomState::new() }
    }

    /// The next wait: the interval ± `randomization_factor`; then the interval grows up to `max_interval`.
    pub(super) fn next(&mut self) -> Duration {
        self.step += 1;
        let unit = (self.random.hash_one(self.step) >> 11) as f64 / (1_u64 << 53) as f64;
        let factor = 1.0 + self.settings.randomization_factor * (2.0 * unit - 1.0);
        let longest = self.settings.max_interval.get();
        let wait = times(self.interval, factor);
        self.interval = times(self.interval, self.settings.multiplier).min(longest);
        wait
    }
}
