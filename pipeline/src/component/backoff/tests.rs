use super::*;

/// *Scenario*: waits after many failures, with and without randomisation; a multiplier that would overflow.
/// *Guarantees*: there is no wait without a failure; waits double up to the longest; a randomised wait differs from the exact one by at
/// most half of it.
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
