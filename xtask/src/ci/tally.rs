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
mod tests {
    use super::Tally;

    /// *Scenario*: two summaries, one with a failure, among other output that mentions counts.
    /// *Guarantees*: only the lines of the harness count, and they add up.
    #[test]
    fn summaries_add_up() {
        let mut tally = Tally::default();
        tally.add(
            "test result: ok. 31 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1s",
        );
        tally.add("vm: 6.12: privileged: test result: ok. 9 passed; 9 failed;");
        tally.add("test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out");
        tally.add("test result: ");
        assert_eq!(tally, Tally { passed: 33, failed: 1 });
    }
}
