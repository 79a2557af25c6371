//! Adds up the summary lines of the test harness.

/// Number of tests, over all runs.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Number of tests that passed.
    pub passed: u64,
    /// Number of tests that failed.
    pub failed: u64,
}

// === impl Tally ===

impl Tally {
    /// Adds the counts of a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; …`. Ignores any other line.
    pub fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else { return };
        self.passed += count(counts, " passed");
        self.failed += count(counts, " failed");
    }
}

fn count(counts: &str, what: &str) -> u64 {
    let Some((before, _)) = counts.split_once(what) else { return 0 };
    before.rsplit(' ').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
