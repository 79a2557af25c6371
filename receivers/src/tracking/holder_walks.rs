//! Decides when to walk the descriptors of all processes for the owners of accepted connections.
//!
//! A short connection needs no walk: its close reports the process. A connection whose owner is only supposed when it reaches the age
//! `holder_age` of the receiver `bpf` is looked up once.

use std::ops::Range;

/// The schedule of walks. All times are monotonic, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct HolderWalks {
    age: u64,
    /// Connections that were opened before this time need no walk any more.
    looked_up_to: u64,
    /// Earliest time of the next walk.
    not_before: u64,
}

/// Minimum ratio of the time between two walks to the duration of a walk.
const MIN_IDLE_RATIO: u64 = 100;

// === impl HolderWalks ===

impl HolderWalks {
    /// Creates the schedule. Connections that were opened before `looked_up_to` need no walk. No walk is ever due if `age` is 0.
    pub fn new(age: u64, looked_up_to: u64) -> Self {
        Self { age, looked_up_to, not_before: 0 }
    }

    /// Returns when the connections were opened that have reached the age since the last walk. `None` if there are none, or if it is too
    /// early for a walk.
    pub fn due(&self, now: u64) -> Option<Range<u64>> {
        let aged = self.looked_up_to..now.saturating_sub(self.age);
        (self.age != 0 && now >= self.not_before && !aged.is_empty()).then_some(aged)
    }

    /// Stores that the connections of `aged` need no further walk.
    pub fn skip(&mut self, aged: &Range<u64>) {
        self.looked_up_to = aged.end;
    }

    /// Stores that a walk took place from `began` to `ended`. `aged` are the connections that it was for; `None` if it failed, so that the next
    /// one is for them, too.
    pub fn complete(&mut self, aged: Option<&Range<u64>>, began: u64, ended: u64) {
        if let Some(aged) = aged {
            self.skip(aged);
        }
        let idle = ended.saturating_sub(began).saturating_mul(MIN_IDLE_RATIO);
        self.not_before = ended.saturating_add(self.age.max(idle));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: connections reach an age of 30 s. A walk takes 1 ms, and the next one, which fails, 1 s.
    /// Guarantees: a walk is due once the first connection after the start can have the age. The next one is due after the age, or after a
    /// hundred times as long as the walk took. A failed walk is repeated for the same connections.
    #[test]
    fn walks_are_rare() {
        const S: u64 = 1_000_000_000;
        let mut walks = HolderWalks::new(30 * S, 100 * S);
        assert_eq!(walks.due(130 * S), None);
        let aged = 100 * S..105 * S;
        assert_eq!(walks.due(135 * S), Some(aged.clone()));
        walks.skip(&aged);
        let aged = 105 * S..110 * S;
        assert_eq!(walks.due(140 * S), Some(aged.clone()));
        walks.complete(Some(&aged), 140 * S, 140 * S + 1_000_000);
        assert_eq!(walks.due(170 * S), None);
        assert_eq!(walks.due(171 * S), Some(110 * S..141 * S));
        walks.complete(None, 171 * S, 172 * S);
        assert_eq!((walks.due(271 * S), walks.due(272 * S)), (None, Some(110 * S..242 * S)));
        assert_eq!(HolderWalks::new(0, 0).due(1_000 * S), None);
    }
}
