//! How long to wait for what.

use std::hash::BuildHasher;
use std::time::Duration;

/// Waiting times.
#[derive(Clone, Debug)]
pub(in crate::kubernetes) struct Pace {
    /// After the first failure; doubled with each further one.
    pub backoff: Duration,
    /// The longest wait after failures, before randomisation.
    pub longest_backoff: Duration,
    /// Up to this long, by chance, before everything is listed again: all nodes have to at the same time.
    pub spread: Duration,
    /// For an answer to begin.
    pub answer: Duration,
    /// For the next piece of an answer, or a watch's next event or bookmark (one a minute).
    pub silence: Duration,
    /// How long a watch lasts at least; at most twice as long.
    pub watch: Duration,
}

// === impl Pace ===

impl Default for Pace {
    fn default() -> Self {
        Self {
            backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_secs(30),
            spread: Duration::from_secs(10),
            answer: Duration::from_secs(60),
            silence: Duration::from_secs(150),
            watch: Duration::from_secs(300),
        }
    }
}

impl Pace {
    /// Before the next attempt after `failures` in a row: half to one and a half of the doubled time.
    pub fn backoff(&self, failures: u32) -> Duration {
        if failures == 0 {
            return Duration::ZERO;
        }
        let doubled = self.backoff.saturating_mul(1 << (failures - 1).min(16)).min(self.longest_backoff);
        doubled / 2 + self.jitter(doubled)
    }

    /// Before everything is listed again.
    pub fn spread(&self) -> Duration {
        self.jitter(self.spread)
    }

    /// How long the next watch shall last.
    pub fn watch(&self) -> Duration {
        self.watch + self.jitter(self.watch)
    }

    /// Something from nothing to `most`.
    pub fn jitter(&self, most: Duration) -> Duration {
        // Each of these is keyed differently, at random.
        let random = std::hash::RandomState::new().hash_one(0u8) >> 11;
        most.mul_f64(random as f64 / (1u64 << 53) as f64)
    }
}
