//! Waits that grow, with jitter, so that many senders (or the agents of many hosts) do not return at once.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// How waits between attempts grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The wait after the first failure, before randomisation.
    pub first: Duration,
    /// Each wait is this many times the previous one.
    pub multiplier: f64,
    /// The longest wait, before randomisation.
    pub longest: Duration,
    /// Each wait is up to this fraction shorter or longer.
    pub randomization: f64,
}

// === impl Backoff ===

impl Backoff {
    /// Doubles from `first` to `longest`; each wait is a half to one and a half of that.
    pub const fn doubling(first: Duration, longest: Duration) -> Self {
        Self { first, multiplier: 2.0, longest, randomization: 0.5 }
    }

    /// The wait after so many failures in a row; zero after none.
    pub fn wait(&self, failures: u32) -> Duration {
        let Some(before) = failures.checked_sub(1) else { return Duration::ZERO };
        let grown = self.multiplier.powi(i32::try_from(before).unwrap_or(i32::MAX));
        let due = times(self.first, grown).min(self.longest);
        times(due, 1.0 + self.randomization * (2.0 * chance() - 1.0))
    }
}

/// Something from nothing to `most`, by chance.
pub fn jitter(most: Duration) -> Duration {
    times(most, chance())
}

/// Saturates, where `Duration` would panic.
fn times(wait: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(wait.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

/// From 0 to 1. Each of these hashers is keyed differently, at random: enough for jitter, and no dependency.
fn chance() -> f64 {
    (RandomState::new().hash_one(0_u8) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// *Scenario*: many waits after many failures, some without randomisation; waits that grow beyond all bounds.
    /// *Guarantees*: none after no failure; doubled with each up to the longest; a half to one and a half of that, not always the same.
    #[test]
    fn waits_grow() {
        let (first, longest) = (Duration::from_millis(250), Duration::from_secs(10));
        let backoff = Backoff::doubling(first, longest);
        let exact = Backoff { randomization: 0.0, ..backoff };
        assert_eq!(exact.wait(0), Duration::ZERO);
        assert_eq!([1, 2, 6].map(|failures| exact.wait(failures)), [first, first * 2, first * 32]);
        for failures in 1..100 {
            let (due, wait) = (exact.wait(failures), backoff.wait(failures));
            assert!(wait >= due / 2 && wait <= due * 3 / 2, "{failures}: {wait:?}");
        }
        for failures in [7, 2_000, u32::MAX] {
            assert_eq!(exact.wait(failures), longest);
        }
        let absurd = Backoff { multiplier: 1e300, ..exact };
        assert_eq!(absurd.wait(3), longest);
        let waits: std::collections::HashSet<_> = (0..20).map(|_| backoff.wait(3)).collect();
        assert!(waits.len() > 10);
        assert!((0..20).all(|_| jitter(longest) <= longest));
    }
}
