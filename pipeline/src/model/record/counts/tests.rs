use super::*;

/// *Scenario*: no segment, some of which none, less than one percent or one percent was sent again, and a SYN that was sent again.
/// *Guarantees*: one percent is lossy. The share is at most 1, and unknown if nothing was sent.
#[test]
fn one_percent_is_lossy() {
    let of = |retransmits, data| (share_of_data(retransmits, data), is_lossy(retransmits, data));
    assert_eq!(of(0, 0), (None, false));
    assert_eq!(of(0, 100), (Some(0.0), false));
    assert_eq!(of(1, 101), (Some(1.0 / 101.0), false));
    assert_eq!(of(1, 100), (Some(0.01), true));
    assert_eq!(of(3, 0), (Some(1.0), true));
    assert_eq!(of(u64::MAX, u64::MAX), (Some(1.0), true));
}
