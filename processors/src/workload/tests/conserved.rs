//! Tests of properties that every stream of records has, at whatever time names become known.

use std::collections::{HashMap, HashSet};

use longwave_pipeline::model::Role;
use proptest::prelude::*;

use super::fakes::*;
use super::*;
use crate::conntrack::Translated;

/// One step of the test.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A batch with one record of each of `count` connections, beginning with `first`. If `end`, the last record is a close.
    Batch {
        first: u64,
        count: u64,
        end: bool,
    },
    /// The directory gets all its pods, or loses them.
    Directory {
        has_pods: bool,
    },
    /// The result of connection tracking for a connection becomes known or pending.
    Tracking {
        connection: u64,
        pending: bool,
    },
    PassEnd,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..24u64, 1..6u64, any::<bool>()).prop_map(|(first, count, end)| Step::Batch { first, count, end }),
        1 => any::<bool>().prop_map(|has_pods| Step::Directory { has_pods }),
        2 => (0..24u64, any::<bool>()).prop_map(|(connection, pending)| Step::Tracking { connection, pending }),
        2 => Just(Step::PassEnd),
    ];
    prop::collection::vec(step, 1..60)
}

/// Returns role, local and peer address of a connection: clients of pods, of a service and over loopback, and the servers of the last.
fn of(connection: u64) -> (Role, String, String) {
    let port = 5000 + connection / 4;
    match connection % 4 {
        0 => (Role::Client, format!("10.9.0.1:{port}"), "10.1.0.9:80".to_owned()),
        1 => (Role::Client, format!("10.9.0.1:{port}"), "10.96.0.10:80".to_owned()),
        2 => (Role::Client, format!("127.0.0.1:{port}"), "127.0.0.1:80".to_owned()),
        _ => (Role::Server, "127.0.0.1:80".to_owned(), format!("127.0.0.1:{port}")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// *Scenario*: any interleaving of records, closes, watermarks, a directory that gets and loses its pods, and connection tracking with
    /// known or pending results; records wait for 5 s.
    /// *Guarantees*: every record leaves once, in the order of its connection, and is not late for the open window; the accounting balances
    /// after every step; no record stays held at the end. No name is wrong: a peer has its own name or none.
    #[test]
    fn records_are_conserved(steps in steps()) {
        let pods = [Pod::new("db", "", "10.1.0.9")];
        let fake = Fake::new(&pods).starting().translates(&["10.96.0.10"]);
        let tracking = FakeTracking::default();
        for connection in 0..24 {
            let (_, local, peer) = of(connection);
            tracking.set(&format!("{local}>{peer}"), Translated::Pending);
        }
        let mut bench = Bench::new(&["process", "kubernetes"], &[("kubernetes", &fake)], 5, Some(&tracking));
        let (mut sent, mut came) = (HashMap::<u64, u64>::new(), HashMap::<u64, u64>::new());
        let mut ended = HashSet::new();
        let mut passed = 0;
        let mut out = Vec::new();
        for step in steps {
            let mut tick = passed;
            match step {
                Step::Batch { first, count, end } => {
                    let mut records = Vec::new();
                    for connection in (first..first + count).filter(|connection| !ended.contains(connection)) {
                        let (role, local, peer) = of(connection);
                        let number = sent.entry(connection).or_default();
                        let mut record = record(1, connection, if role == Role::Client { "curl" } else { "nginx" }, &local, &peer);
                        record.totals.sent_bytes = *number;
                        *number += 1;
                        (record.role, record.tick, record.observed) = (role, at(passed + 5), at(passed + 1));
                        records.push(record);
                    }
                    if let Some(last) = records.last_mut().filter(|_| end) {
                        last.event = Event::Close;
                        ended.insert(last.id.cookie);
                    }
                    out.extend(bench.records(&records));
                }
                Step::Directory { has_pods } => fake.set(if has_pods { &pods } else { &[] }),
                Step::Tracking { connection, pending } => {
                    let (_, local, peer) = of(connection);
                    if pending {
                        tracking.set(&format!("{local}>{peer}"), Translated::Pending);
                    } else {
                        tracking.translate(&local, &peer, "10.1.0.9:8080", &local);
                    }
                    fake.started();
                }
                Step::PassEnd => {
                    tick += 5;
                    out.extend(bench.pass_end(tick));
                }
            }
            for record in out.drain(..) {
                prop_assert!(record.tick > at(passed), "late");
                let next = came.entry(record.id.cookie).or_default();
                prop_assert_eq!(record.totals.sent_bytes, *next);
                *next += 1;
                let peer = names(std::slice::from_ref(&record)).remove(0).1;
                let expected = ["db", "db", "nginx", "curl"][(record.id.cookie % 4) as usize];
                prop_assert!(peer == "-" || peer == expected, "{} is not {expected}", peer);
            }
            passed = tick;
        }
        for record in bench.finish() {
            *came.entry(record.id.cookie).or_default() += 1;
        }
        prop_assert_eq!(came, sent);
        prop_assert_eq!(bench.accounting.nodes()[0].held(), 0);
    }
}
