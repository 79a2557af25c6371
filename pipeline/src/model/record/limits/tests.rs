use proptest::prelude::*;

use super::*;

fn times(busy: u64, peer_window: u64, send_buffer: u64) -> Limits {
    let [busy, peer_window, send_buffer] = [busy, peer_window, send_buffer].map(OptionalCount::new);
    Limits { busy, peer_window, send_buffer, ..Limits::default() }
}

/// *Scenario*: ten seconds of a connection, of which each of the four limits has the largest part; equal parts; no time at all; and limits or
/// a time that the kernel does not report.
/// *Guarantees*: the longest time decides, the order of the names breaks a tie, and without times there is no limit.
#[test]
fn the_longest_time_is_the_dominant_limit() {
    let of =
        |busy, peer, buffer| times(busy, peer, buffer).dominant(OptionalCount::new(10)).map(Limit::as_str);
    assert_eq!(of(4, 2, 2), Some("app"));
    assert_eq!(of(9, 5, 2), Some("peer window"));
    assert_eq!(of(9, 2, 5), Some("send buffer"));
    assert_eq!(of(9, 2, 2), Some("network"));
    assert_eq!(of(0, 0, 0), Some("app"));
    assert_eq!(of(5, 5, 0), Some("app"));
    assert_eq!(of(8, 4, 4), Some("peer window"));
    assert_eq!(of(8, 0, 4), Some("send buffer"));
    assert_eq!(times(9, 5, 2).longest(OptionalCount::new(10)), Some((Limit::PeerWindow, 5)));
    assert_eq!(times(0, 0, 0).dominant(OptionalCount::new(0)), None);
    assert_eq!(times(5, 5, 0).dominant(OptionalCount::ABSENT), None);
    assert_eq!(Limits::default().dominant(OptionalCount::new(10)), None);
}

/// *Scenario*: a sample in which the busy time is longer than the connection, because the kernel counts it in jiffies, or the parts are longer
/// than the busy time.
/// *Guarantees*: no part is negative; the limit is that of the longest part.
#[test]
fn rounding_does_not_make_a_time_negative() {
    assert_eq!(times(12, 0, 0).dominant(OptionalCount::new(10)), Some(Limit::Network));
    assert_eq!(times(8, 7, 4).dominant(OptionalCount::new(10)), Some(Limit::PeerWindow));
}

/// *Scenario*: the two ends of a connection over which one sends and the other receives, and a second connection that is longer idle.
/// *Guarantees*: the limit of the first one is that of its sender, and that of both the one with the longest sum.
#[test]
fn the_sender_and_the_longest_sum_decide() {
    let connected = OptionalCount::new(10);
    let sender = ObservedLimits { limits: times(9, 6, 0), connected };
    let receiver = ObservedLimits { limits: times(1, 0, 0), connected };
    let unknown = ObservedLimits::default();
    assert_eq!((sender.of_sender(receiver), receiver.of_sender(sender)), (sender, sender));
    assert_eq!((sender.of_sender(unknown), unknown.of_sender(sender)), (sender, sender));
    let mut both = sender;
    both.add(&ObservedLimits { limits: times(0, 0, 0), connected });
    assert_eq!((sender.dominant(), both.longest()), (Some(Limit::PeerWindow), Some((Limit::App, 11))));
}

/// *Scenario*: absent counts, zeros, and the largest counts.
/// *Guarantees*: absent is not zero. A sum is absent only if both are, and saturates.
#[test]
fn absent_is_not_zero() {
    assert_ne!(OptionalCount::ABSENT, OptionalCount::new(0));
    assert_eq!((OptionalCount::ABSENT.get(), OptionalCount::new(0).get()), (None, Some(0)));
    let sum = |mut one: OptionalCount, other| {
        one.add(other);
        one.get()
    };
    let (absent, zero, two) = (OptionalCount::ABSENT, OptionalCount::new(0), OptionalCount::new(2));
    assert_eq!((sum(absent, absent), sum(absent, zero), sum(two, absent)), (None, Some(0), Some(2)));
    assert_eq!(sum(two, two), Some(4));
    assert_eq!(sum(OptionalCount::new(u64::MAX), two), Some(u64::MAX - 1));
    assert_eq!(size_of::<Limits>(), 56);
}

proptest! {
    /// *Scenario*: any times of any number of connections.
    /// *Guarantees*: the dominant limit is one whose time no other exceeds, and it does not depend on the unit.
    #[test]
    fn no_other_limit_has_a_longer_time(parts in any::<[u32; 4]>(), unit in 1..1000u64) {
        let [app, peer, buffer, network] = parts.map(u64::from);
        let busy = peer + buffer + network;
        let of = |unit: u64| {
            times(busy * unit, peer * unit, buffer * unit).dominant(OptionalCount::new((app + busy) * unit))
        };
        let found = of(1).map(|limit| parts[limit as usize]);
        prop_assert_eq!(found.unwrap_or(0), parts.into_iter().max().unwrap_or(0));
        prop_assert_eq!(of(1), of(unit));
    }
}
