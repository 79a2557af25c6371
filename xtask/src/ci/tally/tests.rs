use super::Tally;

/// *Scenario*: two summaries, one with a failure, among other output that mentions counts.
/// *Guarantees*: only the lines of the harness count, and they add up.
#[test]
fn summaries_add_up() {
    let mut tally = Tally::default();
    tally.add("test result: ok. 31 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1s");
    tally.add("vm: 6.12: privileged: test result: ok. 9 passed; 9 failed;");
    tally.add("test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out");
    tally.add("test result: ");
    assert_eq!(tally, Tally { passed: 33, failed: 1 });
}
