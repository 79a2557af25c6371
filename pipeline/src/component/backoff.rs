//! [`Backoff`]: waits between attempts that grow, with jitter, so that the agents of many hosts do not retry at the same time.

use std::time::Duration;

/// How the waits between attempts grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// Wait after the first failure, before randomisation.
    pub first: Duration,
    /// Factor from one wait to the next.
    pub multiplier: f64,
    /// Longest wait, before randomisation.
    pub longest: Duration,
    /// Fraction, within [0, 1], by which each wait may be shorter or longer.
    pub randomization: f64,
}

// === impl Backoff ===

impl Backoff {
    /// Doubles the wait from `first` to `longest`. Randomisation makes each wait 0.5 to 1.5 times as long.
    pub const fn doubling(first: Duration, longest: Duration) -> Self {
        Self { first, multiplier: 2.0, longest, randomization: 0.5 }
    }

    /// Returns the wait after `failures` consecutive failures. Zero after none.
    pub fn wait(&self, failures: u32) -> Duration {
        let Some(before) = failures.checked_sub(1) else { return Duration::ZERO };
        let grown = self.multiplier.powi(i32::try_from(before).unwrap_or(i32::MAX));
        let due = times(self.first, grown).min(self.longest);
        times(due, 1.0 + self.randomization * (2.0 * fastrand::f64() - 1.0))
    }
}

/// Returns a random duration from zero to `max`.
pub fn jitter(max: Duration) -> Duration {
    times(max, fastrand::f64())
}

/// Multiplies. Saturates, where `Duration::mul_f64` would panic.
fn times(wait: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(wait.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// *Scenario*: waits after many failures, with and without randomisation; a multiplier that would overflow.
    /// *Guarantees*: there is no wait without a failure; waits double up to the longest; randomised waits vary within half of that.
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
