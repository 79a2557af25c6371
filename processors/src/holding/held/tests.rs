//! Tests of [`HeldRecords`].

use std::collections::{HashMap, HashSet};

use longwave_pipeline::component::Accounting;
use longwave_pipeline::model::Event;
use proptest::prelude::*;

use super::*;
use crate::testing::context;

const SECOND: u64 = 1_000_000_000;
const INTERVAL: u64 = 5 * SECOND;

fn at(seconds: f64) -> UnixNanos {
    UnixNanos((seconds * SECOND as f64) as u64)
}

/// Returns record `number` of a connection. The number is stored in the totals' sent bytes; `tick` and `observed` are in seconds.
fn record(connection: u64, number: u64, tick: f64, observed: f64) -> ConnectionRecord {
    let mut record = ConnectionRecord::blank();
    record.id.cookie = connection;
    record.totals.sent_bytes = number;
    (record.tick, record.observed) = (at(tick), at(observed));
    record
}

fn hold(seconds: u64) -> (HeldRecords, Accounting) {
    let (context, accounting) = context("workload", "logs", false);
    (HeldRecords::new(&context, Duration::from_secs(seconds)), accounting)
}

fn numbers(records: &[ConnectionRecord]) -> Vec<(u64, u64)> {
    records.iter().map(|record| (record.id.cookie, record.totals.sent_bytes)).collect()
}

/// *Scenario*: the wall clock is set back by two hours, so that times of records are long before the ticks. A close is observed just before
/// the next tick.
/// *Guarantees*: it still waits for the whole `hold`, and for less than one interval more.
#[test]
fn records_wait_for_as_long_after_the_clock_was_set_back() {
    let hour = 3_600.0;
    let (mut held, _accounting) = hold(5);
    held.passed(at(3.0 * hour));
    held.push(&record(1, 1, 3.0 * hour + 5.0, hour + 4.9), &mut Vec::new());
    for (tick, released) in [(5.0, 0), (10.0, 1)] {
        let mut out = Vec::new();
        held.release_overdue(at(3.0 * hour + tick), &mut out);
        assert_eq!(out.len(), released, "{tick}");
        held.passed(at(3.0 * hour + tick));
    }
}

/// *Scenario*: updates of the pass at 10 s and a close at 12 s wait for 5 s; watermarks at 10, 15 and 20 s.
/// *Guarantees*: each is released at the first watermark at which it has waited 5 s, with the connection's later records; its tick is in
/// the open window.
#[test]
fn waiting_is_bounded() {
    let (mut hold, _) = hold(5);
    let mut out = Vec::new();
    hold.passed(at(5.0));
    for record in [record(1, 0, 10.0, 10.001), record(2, 0, 15.0, 12.0), record(1, 1, 15.0, 14.0)] {
        assert_eq!(hold.push(&record, &mut out), Offered::Waits);
    }
    hold.release_overdue(at(10.0), &mut out);
    hold.passed(at(10.0));
    assert!(out.is_empty());
    hold.release_overdue(at(15.0), &mut out);
    assert_eq!(numbers(&out), [(1, 0), (1, 1)]);
    assert_eq!(
        out.iter().map(|record| record.tick).collect::<Vec<_>>(),
        [UnixNanos(10 * SECOND + 1), at(15.0)]
    );
    assert!(hold.holds(record(2, 0, 0.0, 0.0).id));
    hold.passed(at(15.0));
    out.clear();
    hold.release_overdue(at(20.0), &mut out);
    assert_eq!(numbers(&out), [(2, 0)]);
    assert_eq!(out[0].tick, UnixNanos(15 * SECOND + 1), "not late in the window that closes at 20 s");
}

/// *Scenario*: room for two records; a third connection, and more of the first.
/// *Guarantees*: a new connection is refused. For a further record of a held connection, the connection that has waited longest is
/// released.
#[test]
fn room_is_bounded() {
    let (hold, accounting) = hold(5);
    let mut hold = hold.with_room(2);
    let mut out = Vec::new();
    for connection in [1, 2] {
        assert_eq!(hold.push(&record(connection, 0, 5.0, 1.0), &mut out), Offered::Waits);
    }
    assert_eq!(hold.push(&record(3, 0, 5.0, 1.0), &mut out), Offered::Refused);
    assert_eq!(hold.push(&record(2, 1, 5.0, 1.0), &mut out), Offered::Waits);
    assert_eq!((numbers(&out), hold.holds(record(1, 0, 0.0, 0.0).id)), (vec![(1, 0)], false));
    // Now the record's own connection has waited longest: all its records are released, in order.
    assert_eq!(hold.push(&record(2, 2, 5.0, 1.0), &mut out), Offered::Refused);
    assert_eq!(numbers(&out), [(1, 0), (2, 0), (2, 1)]);
    assert!(hold.is_empty());
    assert_eq!(accounting.nodes()[0].held(), 0);
}

/// *Scenario*: a hold of an hour.
/// *Guarantees*: it is reported with the remedy.
#[test]
fn long_holds_are_reported() {
    let mut problems = Problems::default();
    check_setting(GoDuration::from_secs(60), &mut problems);
    let fine = format!("{problems:?}");
    assert_eq!(fine, format!("{:?}", Problems::default()));
    check_setting(GoDuration::from_secs(3600), &mut problems);
    assert!(format!("{problems:?}").contains("at most 1m"), "{problems:?}");
}

/// One step of the test.
#[derive(Clone, Debug)]
enum Step {
    /// A record of a connection arrives. It waits if the connection's name is pending.
    Record { connection: u64, end: bool },
    /// The name of a connection becomes known.
    Settle(u64),
    /// The name of a connection becomes pending.
    Pend(u64),
    /// A batch arrives, so that settled connections are released.
    Release,
    /// A pass ends after this number of intervals.
    PassEnd(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..12u64, prop::bool::weighted(0.2)).prop_map(|(connection, end)| Step::Record { connection, end }),
        2 => (0..12u64).prop_map(Step::Settle),
        2 => (0..12u64).prop_map(Step::Pend),
        2 => Just(Step::Release),
        2 => (1..3u64).prop_map(Step::PassEnd),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// *Scenario*: any interleaving of records, pending and settled names, closes, and watermarks, with much and with little room.
    /// *Guarantees*: every record is released exactly once, in order within its connection. No released record is late. No record waits
    /// longer than `hold` plus one interval. At every step, the number of incoming records equals that of outgoing plus held records.
    #[test]
    fn records_are_conserved(steps in steps(), room in prop_oneof![Just(3usize), Just(1000)]) {
        let (hold, accounting) = hold(5);
        let mut hold = hold.with_room(room);
        let node = std::sync::Arc::clone(&accounting.nodes()[0]);
        let mut pending: HashSet<u64> = HashSet::from([1, 2, 3]);
        let mut sent: HashMap<u64, u64> = HashMap::new();
        let mut came: HashMap<u64, u64> = HashMap::new();
        let mut ended = HashSet::new();
        let mut clock = 10 * INTERVAL;
        let mut entered: HashMap<(u64, u64), u64> = HashMap::new();
        let last = steps.len();
        for (index, step) in steps.into_iter().chain([Step::PassEnd(1)]).enumerate() {
            let passed = clock / INTERVAL * INTERVAL;
            clock += SECOND / 50;
            let mut out = Vec::new();
            match step {
                Step::Record { connection, end } => {
                    if ended.contains(&connection) {
                        continue;
                    }
                    let number = sent.entry(connection).or_default();
                    let mut record = record(connection, *number, 0.0, 0.0);
                    (record.tick, record.observed) = (UnixNanos(passed + INTERVAL), UnixNanos(clock));
                    if end {
                        record.event = Event::Close;
                        ended.insert(connection);
                    }
                    entered.insert((connection, *number), clock);
                    *number += 1;
                    node.add_incoming(1);
                    let waits = hold.holds(record.id) || pending.contains(&connection);
                    if !waits || hold.push(&record, &mut out) == Offered::Refused {
                        out.push(record);
                    }
                }
                Step::Settle(connection) => { pending.remove(&connection); }
                Step::Pend(connection) => { pending.insert(connection); }
                Step::Release => hold.release(&mut out, |record| !pending.contains(&record.id.cookie)),
                Step::PassEnd(intervals) => {
                    let tick = passed + intervals * INTERVAL;
                    if index == last {
                        hold.release_all(&mut out);
                    }
                    hold.release_overdue(UnixNanos(tick), &mut out);
                    for record in &out {
                        let waited = tick - entered[&(record.id.cookie, record.totals.sent_bytes)];
                        prop_assert!(waited <= INTERVAL + intervals * INTERVAL, "waited {waited}");
                    }
                    hold.passed(UnixNanos(tick));
                    clock = tick;
                }
            }
            for record in out {
                node.add_outgoing(1);
                prop_assert!(record.tick.0 > passed, "late");
                let next = came.entry(record.id.cookie).or_default();
                prop_assert_eq!(record.totals.sent_bytes, *next, "order of {}", record.id.cookie);
                *next += 1;
            }
            prop_assert_eq!(accounting.imbalances(), vec![]);
            prop_assert!(node.held() <= room as u64);
        }
        prop_assert_eq!(came, sent);
        prop_assert!(hold.is_empty());
    }
}
