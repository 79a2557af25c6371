use std::collections::HashSet;

use super::spread;

/// *Scenario*: two workers with 50,000 cycles each.
/// *Guarantees*: no destination occurs twice, and all are loopback addresses.
#[test]
fn destinations_differ() {
    let all: HashSet<_> =
        (0..2).flat_map(|worker| (0..50_000).map(move |cycle| spread(worker, cycle))).collect();
    assert_eq!(all.len(), 100_000);
    assert!(all.iter().all(std::net::Ipv4Addr::is_loopback));
}
