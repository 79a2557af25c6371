use proptest::prelude::*;

use super::*;
use crate::kubernetes::tests::{Fixture, TableKind, at, host_pod, pod};

/// *Scenario*: a day of pods on addresses that are used again: 7,200 pods, 50 at a time, some in the host's network, some that end on
/// their own, a listing after a gap each hour.
/// *Guarantees*: every table, and the tables of names, are as small at the end as after the first hour. Once all pods are deleted they are
/// empty.
#[test]
fn a_day_of_churn_leaves_nothing() {
    let mut fixture = Fixture::new("node-1", 0);
    let (mut alive, mut sizes) = (std::collections::VecDeque::new(), Vec::new());
    for number in 0..7_200u64 {
        let now = number * 12;
        let object = if number % 10 == 0 {
            host_pod(number, &format!("host-{number}"), &[9000 + (number % 40) as u16], 0)
        } else {
            pod(number, &format!("job-{number}"), &format!("10.244.1.{}", number % 60), 0)
        };
        fixture.apply(TableKind::Pods, &object, now);
        alive.push_back(object);
        if alive.len() > 50 {
            let mut oldest = alive.pop_front().unwrap();
            if number % 3 == 0 {
                oldest["status"]["phase"] = "Succeeded".into();
                fixture.apply(TableKind::Pods, &oldest, now);
            } else if number % 3 == 1 {
                fixture.remove(TableKind::Pods, &oldest, now);
            }
            // The others are deleted in a gap.
        }
        if number % 8 == 0 {
            fixture.table(TableKind::Pods).evict_expired(at(now));
        }
        if number % 300 == 299 {
            fixture.listing += 1;
            alive.iter().for_each(|object| fixture.apply(TableKind::Pods, object, now));
            fixture.table(TableKind::Pods).complete(fixture.listing, at(now));
            fixture.table(TableKind::Pods).evict_expired(at(now));
            sizes.push((fixture.directory.pods().sizes(), fixture.directory.pods().names()));
        }
    }
    let bounded = |sizes: &[usize], first: &[usize]| {
        sizes.iter().zip(first).all(|(size, first)| *size <= first * 2 + 8)
    };
    let (first, last) = (sizes[0], sizes[sizes.len() - 1]);
    assert!(bounded(&last.0, &first.0) && bounded(&last.1, &first.1), "{first:?} {last:?}");
    fixture.listing += 1;
    fixture.table(TableKind::Pods).complete(fixture.listing, at(90_000));
    fixture.table(TableKind::Pods).evict_expired(at(91_000));
    assert_eq!(fixture.directory.pods().sizes(), [0; 10]);
}

/// A change in a cluster's network.
#[derive(Clone, Debug)]
enum Change {
    Pod { number: u64, address: u8, host: bool, port: u8 },
    Finish(u64),
    Delete(u64),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (0u64..8, 0u8..4, any::<bool>(), 0u8..3).prop_map(|(number, address, host, port)| Change::Pod { number, address, host, port }),
        1 => (0u64..8).prop_map(Change::Finish),
        2 => (0u64..8).prop_map(Change::Delete),
    ]
}

proptest! {
    /// *Scenario*: any sequence of pods that appear, change their address or ports, end and are deleted, in any order.
    /// *Guarantees*: an address or port that exactly one pod has resolves to that pod, one that no pod has resolves to none. Once all
    /// pods are deleted, the tables are empty.
    #[test]
    fn present_pods_are_found(changes in proptest::collection::vec(change(), 1..60)) {
        let fixture = Fixture::new("node-1", 0);
        let mut alive = std::collections::BTreeMap::new();
        let mut now = 100;
        for change in changes {
            now += 1;
            match change {
                Change::Pod { number, address, host, port } => {
                    // Whether a pod is in the host's network never changes.
                    let host = alive.get(&number).map_or(host, |(_, was, _)| *was);
                    let object = if host { host_pod(number, "web", &[9000 + u16::from(port)], now) } else { pod(number, "web", &format!("10.244.1.{address}"), now) };
                    fixture.apply(TableKind::Pods, &object, now);
                    alive.insert(number, (object, host, if host { port } else { address }));
                }
                Change::Finish(number) => if let Some((mut object, ..)) = alive.remove(&number) {
                    object["status"]["phase"] = "Failed".into();
                    fixture.apply(TableKind::Pods, &object, now);
                },
                Change::Delete(number) => if let Some((object, ..)) = alive.remove(&number) {
                    fixture.remove(TableKind::Pods, &object, now);
                },
            }
            for index in 0..4u8 {
                for host in [false, true] {
                    let matching: Vec<_> = alive.iter().filter(|(_, (_, h, p))| (*h, *p) == (host, index)).map(|(number, _)| number).collect();
                    let found = if host { fixture.workload("192.0.2.10", 9000 + u16::from(index), now + 1) } else { fixture.workload(&format!("10.244.1.{index}"), 0, now + 1) };
                    match matching[..] {
                        [] => prop_assert!(["pending", "unknown"].contains(&&*found), "{} has {}", index, found),
                        [only] if host => prop_assert_eq!(found, format!("Deployment/web (web-5f6d-{only})")),
                        // A pod that lost its address to another pod is not reported again when that pod is gone.
                        [only] => prop_assert!([&*format!("Deployment/web (web-5f6d-{only})"), "pending", "unknown"].contains(&&*found), "{}", found),
                        _ if host => prop_assert_eq!(found, "unknown"),
                        _ => {}
                    }
                }
            }
        }
        for (object, ..) in alive.values() {
            fixture.remove(TableKind::Pods, object, now);
        }
        fixture.table(TableKind::Pods).evict_expired(at(now + 1000));
        prop_assert_eq!(fixture.directory.pods().sizes(), [0; 10]);
    }
}

/// *Scenario*: declarations of one key are added and removed, the same one twice.
/// *Guarantees*: the meaning is that of the current declarations. Removing a declaration that was never added changes nothing.
#[test]
fn shared_keys() {
    let mut table = shared_keys::SharedKeys::<u8, u8, u8>::new(Default::default());
    let update = |now| Update { now: at(now), since: at(now), listing: 0 };
    let means = |all: &[u8]| all.iter().min().copied();
    table.remove(1, &7, update(1), means);
    table.add(1, 7, update(2), means);
    table.add(1, 7, update(3), means);
    table.add(1, 5, update(4), means);
    table.remove(1, &6, update(5), means);
    table.remove(1, &5, update(6), means);
    table.remove(1, &7, update(7), means);
    assert_eq!(
        [1, 2, 4, 6, 8].map(|time| table.at(&1, at(time)).copied()),
        [None, Some(7), Some(5), Some(7), Some(7)]
    );
    table.remove(1, &7, update(9), means);
    assert_eq!((table.at(&1, at(9)), table.len()), (None, 0));
}
