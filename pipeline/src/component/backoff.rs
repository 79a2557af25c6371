//! [`Backoff`]: growing waits between attempts, with jitter, so that many hosts do not retry at the same time.

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

    /// Returns the wait after `failures` consecutive failures; zero if there was no failure.
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

/// Multiplies a wait. Saturates on overflow, while `Duration::mul_f64` panics.
fn times(wait: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(wait.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests;
