use super::*;

/// *Scenario*: equal and different names are interned, handles are dropped, many more follow.
/// *Guarantees*: equal names share a handle, different names do not; names without handles are freed, the others are kept.
#[test]
fn shares_equal_names_and_frees_unused_ones() {
    let interner = Interner::default();
    let kept = interner.intern("kept".to_owned());
    for round in 0..100_000 {
        let first = interner.intern(format!("pod-{round}"));
        let second = interner.intern(format!("pod-{round}"));
        assert_eq!(first, second);
        assert_ne!(first, kept);
    }
    assert_eq!(interner.intern("kept".to_owned()), kept);
    assert!(interner.len() <= 2 * FIRST_SWEEP, "{} entries stay for one name", interner.len());
}
