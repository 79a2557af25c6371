//! Waits between attempts to reach a daemon: growing, with jitter, so that the agents of many hosts do not come at once.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
/// A daemon restarts within seconds.
const LONGEST: Duration = Duration::from_secs(10);

/// The waits between attempts.
pub(super) struct Backoff {
    wait: Duration,
    step: u64,
    /// Randomly keyed per process: enough for jitter, and no dependency.
    random: RandomState,
}

// === impl Backoff ===

impl Backoff {
    pub fn new() -> Self {
        Self { wait: FIRST, step: 0, random: RandomState::new() }
    }

    /// The next wait, a half to one and a half of what it would be without jitter.
    pub fn next(&mut self) -> Duration {
        self.step += 1;
        let unit = (self.random.hash_one(self.step) >> 11) as f64 / (1_u64 << 53) as f64;
        let wait = self.wait.mul_f64(0.5 + unit);
        self.wait = (self.wait * 2).min(LONGEST);
        wait
    }

    /// It was reached: the next waits begin small.
    pub fn reset(&mut self) {
        self.wait = FIRST;
    }
}
