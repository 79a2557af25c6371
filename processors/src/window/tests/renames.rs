//! Tests of connections whose names change: what moves to another series, and what does not.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use longwave_pipeline::model::{Endpoint, Owner, Reporter, SeriesKey};
use proptest::prelude::*;

use super::*;
use crate::workload::{WorkloadConfig, WorkloadProcessor};

/// *Scenario*: an `open` record without a peer's name, an update with a name, and the close, in one window.
/// *Guarantees*: there is one series, of the last names, with the open, the close and all bytes. The first names have no series.
#[test]
fn a_short_connection_is_in_one_series() {
    let workloads = Workloads::new();
    let mut bench = Bench::new(&config(&[Level::Service, Level::Workload]));
    let open = ConnectionRecord { event: Event::Open, ..update(1, 5.0, 1) };
    bench.records([open, workloads.named(with_rtt(update(1, 5.0, 2), 100), "web")]);
    bench.records([workloads.named(close(1, 5.0, 4), "nginx")]).pass_end(5.0);
    for level in [Level::Service, Level::Workload] {
        let series = bench.only(level);
        let measures = &series.measures;
        assert_eq!(&*flow(series).source.name, "nginx");
        assert_eq!((measures.opened, measures.closed_total(), measures.active), (1, 1, 0));
        assert_eq!(
            (measures.totals.sent_bytes, measures.rtt.count(), measures.min_rtt),
            (7, 1, Some(0.00005))
        );
    }
}

/// *Scenario*: a connection is opened and named within its first window, renamed in the second one, and renamed and closed in the third.
/// *Guarantees*: the open is counted in the series of the first window's last names, the close in that of the close's names. In between
/// only `active` moves, and bytes stay where they were counted. The moves are counted.
#[test]
fn only_active_moves_to_the_new_names() {
    let workloads = Workloads::new();
    let mut bench = Bench::new(&config(&[Level::Workload]));
    let counts = |bench: &Bench, name: &str| {
        let of_name = |series: &&Series| *flow(series).source.name == *name;
        let series = bench.series(Level::Workload).into_iter().find(of_name).cloned();
        series.map(|Series { measures: m, .. }| (m.opened, m.closed_total(), m.active, m.totals.sent_bytes))
    };
    bench.records([update(1, 5.0, 1), workloads.named(update(1, 5.0, 2), "a")]).pass_end(5.0);
    assert_eq!((counts(&bench, ""), counts(&bench, "a")), (None, Some((1, 0, 1, 3))));
    bench.records([workloads.named(update(1, 10.0, 4), "a"), workloads.named(update(1, 10.0, 8), "b")]);
    bench.pass_end(10.0);
    assert_eq!((counts(&bench, "a"), counts(&bench, "b")), (Some((0, 0, 0, 4)), Some((0, 0, 1, 8))));
    bench.records([workloads.named(close(1, 15.0, 16), "c")]).pass_end(15.0);
    assert_eq!((counts(&bench, "b"), counts(&bench, "c")), (Some((0, 0, 0, 0)), Some((0, 1, 0, 16))));
}

/// *Scenario*: a connection is known before it is established; it is established and closed in the second window, with other names.
/// *Guarantees*: the open and the close are in one series.
#[test]
fn a_connection_that_opens_late_is_in_one_series_too() {
    let workloads = Workloads::new();
    let mut bench = Bench::new(&config(&[Level::Workload]));
    let connecting = ConnectionRecord { state: TcpState::SynSent, first: true, ..update(1, 5.0, 0) };
    bench.records([connecting]).pass_end(5.0);
    let open = ConnectionRecord { event: Event::Open, ..update(1, 10.0, 1) };
    bench.records([open, workloads.named(close(1, 10.0, 2), "nginx")]).pass_end(10.0);
    let [old, new] = bench.series(Level::Workload)[..] else { panic!() };
    assert_eq!((old.ended, old.measures.opened, old.measures.active), (true, 0, 0));
    assert_eq!((new.measures.opened, new.measures.closed_total(), new.measures.totals.sent_bytes), (1, 1, 3));
}

/// *Scenario*: at level `connection`, names change twice in the window in which the series begins; in a later window they change, change
/// again, and return; then something changes that is no attribute.
/// *Guarantees*: a connection has at most two series in a window, with different attributes. Its series begins with the last names of its
/// first window, and continues if the names return within a window.
#[test]
fn a_connection_has_one_series_per_name() {
    let workloads = Workloads::new();
    let mut bench = Bench::new(&config(&[Level::Connection]));
    let named = |tick, bytes, name| workloads.named(seeded(update(1, tick, bytes)), name);
    bench.records([named(5.0, 1, "a"), named(5.0, 2, "b"), named(5.0, 4, "c")]).pass_end(5.0);
    let series = bench.only(Level::Connection);
    assert_eq!((&*flow(series).source.name, series.measures.totals.sent_bytes), ("c", 7));
    let key = Arc::clone(&series.key);

    bench.records([named(10.0, 1, "d"), named(10.0, 2, "e"), named(10.0, 4, "c")]).pass_end(10.0);
    let series = bench.only(Level::Connection);
    assert!(Arc::ptr_eq(&series.key, &key) && !series.ended);
    assert_eq!((series.measures.totals.sent_bytes, series.measures.active), (7, 1));

    let mut same = named(15.0, 1, "c");
    let id = Workload {
        name: "c".into(),
        kind: "Process".into(),
        container_id: "1".into(),
        ..Workload::default()
    };
    same.names.local = Some(workloads.0.intern(id));
    bench.records([same]).pass_end(15.0);
    assert!(Arc::ptr_eq(&bench.only(Level::Connection).key, &key));

    bench.records([named(20.0, 1, "d"), named(20.0, 2, "e")]).pass_end(20.0);
    let [old, new] = bench.series(Level::Connection)[..] else { panic!() };
    assert_eq!((old.ended, old.measures.active, old.measures.totals.sent_bytes), (true, 0, 0));
    assert_eq!((&*flow(new).source.name, new.measures.active, new.measures.totals.sent_bytes), ("e", 1, 3));
}

/// Returns a record of a connection over loopback, as the receiver sends it. Sockets are named by their process.
fn over_loopback(record: ConnectionRecord, port: u16) -> ConnectionRecord {
    let at = |port| Endpoint { address: std::net::Ipv4Addr::LOCALHOST.into(), port };
    let is_server = record.role == Role::Server;
    let (local, peer) = if is_server { (at(80), at(port)) } else { (at(port), at(80)) };
    let mut name = [0; 16];
    name[..6].copy_from_slice(if is_server { b"server" } else { b"client" });
    ConnectionRecord { local, peer, owner: Owner { cgroup: 1, name, ..Owner::default() }, ..record }
}

/// *Scenario*: a server with TCP_DEFER_ACCEPT. The client is established at once, but the server's socket exists only when data arrives, in a
/// later window. So the client's peer has no name at first. Another connection of the same kind closes within one window. The records pass
/// through `workload`, which names them.
/// *Guarantees*: in every series and window Δactive = opened − closed + moved in − moved out, and the short connection is in one series.
#[test]
fn a_deferred_accept_moves_the_client() {
    let context = crate::testing::context("workload", "metrics", false).0;
    let sources = WorkloadConfig { sources: vec!["process".into()], ..WorkloadConfig::default() };
    let mut workload = WorkloadProcessor::of_this_host(&sources, &context).unwrap();
    let mut bench = Bench::new(&config(&[Level::Workload]));
    let mut feed = |bench: &mut Bench, batch| {
        let mut out = Vec::new();
        workload.process(batch, &mut out).unwrap();
        out.into_iter().for_each(|batch| {
            bench.feed(batch);
        });
    };
    let client = |record: ConnectionRecord, port| over_loopback(record, port);
    let server = |record, port| over_loopback(ConnectionRecord { role: Role::Server, ..record }, port);
    let open = |cookie, tick| ConnectionRecord { event: Event::Open, first: true, ..update(cookie, tick, 0) };
    let windows = [
        vec![client(open(1, 5.0), 1000), client(update(1, 5.0, 0), 1000)],
        vec![server(open(2, 10.0), 1000), client(update(1, 10.0, 5), 1000), server(update(2, 10.0, 0), 1000)],
        vec![
            client(open(3, 15.0), 2000),
            client(close(1, 15.0, 0), 1000),
            server(close(2, 15.0, 9), 1000),
            server(open(4, 15.0), 2000),
            server(close(4, 15.0, 1), 2000),
            client(close(3, 15.0, 1), 2000),
        ],
        vec![],
    ];
    for (records, number) in windows.into_iter().zip(1u32..) {
        for record in records {
            feed(&mut bench, Batch::records(vec![record]));
        }
        feed(&mut bench, Batch::PassEnd(PassEnd { tick: at(f64::from(number) * 5.0), last: false }));
    }
    let of = |reporter, destination: &str| {
        let measures = |window: &Arc<Window>| {
            let fits = |series: &&Series| {
                let flow = flow(series);
                flow.reporter == reporter && *flow.destination.as_ref().unwrap().name == *destination
            };
            let series = window.series.iter().find(fits);
            series.map_or((0, 0, 0), |Series { measures: m, .. }| (m.opened, m.closed_total(), m.active))
        };
        bench.windows.iter().map(measures).collect::<Vec<_>>()
    };
    assert_eq!(
        of(Reporter::Source, ""),
        [(1, 0, 1), (0, 0, 0), (0, 0, 0), (0, 0, 0)],
        "one moves out in the second window"
    );
    assert_eq!(of(Reporter::Source, "server"), [(0, 0, 0), (0, 0, 1), (1, 2, 0), (0, 0, 0)], "one moves in");
    assert_eq!(of(Reporter::Destination, "server"), [(0, 0, 0), (1, 0, 1), (1, 2, 0), (0, 0, 0)]);
}

/// One record of a connection, with a name; 0: unknown.
#[derive(Clone, Copy, Debug)]
struct Step {
    connection: u64,
    action: Action,
    name: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    Connecting,
    Open,
    Update,
    Close,
    Fail,
    Vanish,
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let action = prop_oneof![
        1 => Just(Action::Connecting),
        2 => Just(Action::Open),
        6 => Just(Action::Update),
        2 => Just(Action::Close),
        1 => Just(Action::Fail),
        1 => Just(Action::Vanish),
    ];
    let step = (0..12u64, action, 0..6usize).prop_map(|(connection, action, name)| Step {
        connection,
        action,
        name,
    });
    prop::collection::vec(prop::collection::vec(step, 0..25), 1..20)
}

/// The test's own knowledge of one connection.
#[derive(Clone, Debug)]
struct Known {
    /// Distinguishes connections with one cookie.
    life: u64,
    established: bool,
    opened_in: usize,
    /// Number of the name in the last record.
    name: usize,
    /// The same at the last end of a window at which the connection was established; `None` if there was none.
    was: Option<usize>,
}

/// What the records of one window contain, by the number of the name.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Expected {
    opened: u64,
    closed: u64,
    active: u64,
    seeded: u64,
    /// Established connections that had this name at the last window's end and another name in one of this window's records.
    may_leave: u64,
    /// Established connections that have this name in their last record and had another name since the last window's end.
    may_enter: u64,
}

const NAMES: [&str; 6] = ["", "a", "b", "c", "d", "e"];

/// Feeds the steps to a window processor, one window per inner list. Returns what each window has by name, computed without it.
fn play(steps: &[Vec<Step>], config: &WindowConfig) -> (Bench, Vec<[Expected; NAMES.len()]>) {
    let (workloads, mut bench) = (Workloads::new(), Bench::new(config));
    let mut open: BTreeMap<u64, Known> = BTreeMap::new();
    let (mut lives, mut all) = (0, Vec::new());
    bench.pass_end(0.0);
    for (window, steps) in steps.iter().enumerate() {
        let tick = (window + 1) as f64 * 5.0;
        let mut expected = [Expected::default(); NAMES.len()];
        let mut renamed = BTreeSet::new();
        let mut records = Vec::new();
        let mut closed = Vec::new();
        for Step { connection, action, name } in steps.iter().copied() {
            let start_known = connection % 4 != 0;
            let known = open.entry(connection).or_insert_with(|| {
                lives += 1;
                Known { life: lives, established: false, opened_in: usize::MAX, name, was: None }
            });
            let is_late = matches!(action, Action::Connecting | Action::Fail);
            if is_late && known.established || known.life == 0 {
                continue;
            }
            if known.name != name {
                renamed.insert(known.life);
            }
            known.name = name;
            if !is_late && !known.established {
                (known.established, known.opened_in) = (true, window);
            }
            let base = update(connection, tick, 1);
            let mut record = match action {
                Action::Connecting => ConnectionRecord { state: TcpState::SynSent, ..base },
                Action::Open => ConnectionRecord { event: Event::Open, ..base },
                Action::Update => base,
                Action::Close => close(connection, tick, 1),
                Action::Fail => fail(connection, tick),
                Action::Vanish => ConnectionRecord { event: Event::Vanished, ..base },
            };
            record.id.generation = known.life;
            if !start_known {
                record = seeded(record);
            }
            if name > 0 {
                record = workloads.named(record, NAMES[name]);
            }
            if record.event.is_end() {
                closed.extend(open.remove(&connection));
            }
            records.push(record);
        }
        for known in open.values().chain(&closed).filter(|known| known.established) {
            let is_open = open.values().any(|other| other.life == known.life);
            let has_known_start = has_known_start_in(&records, known.life);
            let of = &mut expected[known.name];
            of.opened += u64::from(known.opened_in == window && has_known_start);
            of.seeded += u64::from(known.opened_in == window && !has_known_start);
            of.closed += u64::from(!is_open);
            of.active += u64::from(is_open);
            if renamed.contains(&known.life) && known.opened_in != window {
                of.may_enter += 1;
                if let Some(was) = known.was {
                    expected[was].may_leave += 1;
                }
            }
        }
        for known in open.values_mut().filter(|known| known.established) {
            known.was = Some(known.name);
        }
        bench.records(records).pass_end(tick);
        all.push(expected);
    }
    (bench, all)
}

/// Returns whether the start of a connection with records in this window is known.
fn has_known_start_in(records: &[ConnectionRecord], life: u64) -> bool {
    records.iter().any(|record| record.id.generation == life && record.start_known)
}

/// Returns opened, closed and active of a level in a window, by the source's name; `None` is the overflow series.
fn found(window: &Window, level: Level) -> HashMap<Option<&str>, (u64, u64, u64)> {
    let mut by_name: HashMap<_, (u64, u64, u64)> = HashMap::new();
    for series in window.series.iter().filter(|series| series.level == level) {
        let name = series.key.flow().map(|flow| &*flow.source.name);
        let sums = by_name.entry(name).or_default();
        let measures = &series.measures;
        sums.0 += measures.opened;
        sums.1 += measures.closed_total();
        sums.2 += measures.active;
    }
    by_name
}

fn all_levels(max_series: u32) -> WindowConfig {
    let levels = [Level::Service, Level::Workload, Level::Connection];
    WindowConfig { max_series, min_age: GoDuration::default(), ..config(&levels) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// *Scenario*: any sequence of opens, updates, closes, failures and disappearances of connections whose names change in any record.
    /// *Guarantees*: at each level and in each window, every series has the opens, the closes and the active connections of those
    /// connections whose last record of the window has its names. So Δactive = opened − closed + seeded + moved in − moved out.
    #[test]
    fn every_series_adds_up(steps in steps()) {
        let (bench, expected) = play(&steps, &all_levels(0));
        for level in Level::ALL {
            for (window, expected) in bench.windows[1..].iter().zip(&expected) {
                let found = found(window, level);
                for (name, of) in NAMES.iter().zip(expected) {
                    let (opened, closed, active) = found.get(&Some(*name)).copied().unwrap_or_default();
                    prop_assert_eq!((opened, closed, active), (of.opened, of.closed, of.active), "{:?} {:?}", level, name);
                }
            }
        }
    }

    /// *Scenario*: the same, with room for one to three series.
    /// *Guarantees*: in each series, also in the overflow series, Δactive − (opened − closed) is what renamed and seeded connections can
    /// explain. Over all series of a level it is the number of seeded connections.
    #[test]
    fn every_series_adds_up_when_some_are_folded(steps in steps(), max_series in 1..4u32) {
        let (bench, expected) = play(&steps, &all_levels(max_series));
        for level in [Level::Service, Level::Workload] {
            let mut before: HashMap<Option<&str>, (u64, u64, u64)> = HashMap::new();
            for (window, expected) in bench.windows[1..].iter().zip(&expected) {
                let now = found(window, level);
                let names: BTreeSet<_> = before.keys().chain(now.keys()).copied().collect();
                let mut sum = 0;
                for name in names {
                    let (opened, closed, active) = now.get(&name).copied().unwrap_or_default();
                    let was = before.get(&name).map_or(0, |(_, _, active)| *active);
                    let moved = active as i64 - was as i64 - (opened as i64 - closed as i64);
                    sum += moved;
                    let of_name = |of: fn(&Expected) -> u64| {
                        NAMES.iter().zip(expected).filter(|(n, _)| name.is_none_or(|name| name == **n)).map(|(_, e)| of(e) as i64).sum::<i64>()
                    };
                    let (most, least) = (of_name(|e| e.may_enter + e.seeded), -of_name(|e| e.may_leave));
                    prop_assert!((least..=most).contains(&moved), "{level:?} {name:?}: {moved} not in {least}..={most}");
                }
                prop_assert_eq!(sum, expected.iter().map(|of| of.seeded as i64).sum::<i64>());
                before = now;
            }
        }
    }

    /// *Scenario*: the same, at level `connection` with a `min_age` of zero.
    /// *Guarantees*: no window has two series with the same attributes. The series of one connection together have
    /// Δactive = opened − closed, plus one for a seeded connection.
    #[test]
    fn the_series_of_a_connection_add_up(steps in steps(), max_series in 0..4u32) {
        let (bench, _) = play(&steps, &all_levels(max_series));
        let mut before: BTreeMap<ConnectionId, u64> = BTreeMap::new();
        for window in &bench.windows {
            let mut keys: Vec<&SeriesKey> = Vec::new();
            let mut now: BTreeMap<ConnectionId, (u64, i64, bool)> = BTreeMap::new();
            for series in window.series.iter().filter(|series| series.level == Level::Connection) {
                prop_assert!(!keys.contains(&&*series.key), "twice: {:?}", series.key);
                keys.push(&series.key);
                let Some(connection) = series.key.flow().and_then(|flow| flow.connection.as_deref()) else { continue };
                let of = now.entry(connection.id).or_insert((0, 0, connection.opened.is_none()));
                of.0 += series.measures.active;
                of.1 += series.measures.opened as i64 - series.measures.closed_total() as i64;
                prop_assert!(!series.ended || series.measures.active == 0);
            }
            for (id, (active, change, is_seeded)) in &now {
                let is_first = !before.contains_key(id);
                let was = before.get(id).copied().unwrap_or(0) as i64;
                // A connection that becomes folded leaves its series for the overflow series.
                let is_folded = max_series > 0 && *active == 0 && *change == 0;
                let is_counted = was + change + i64::from(is_first && *is_seeded) == *active as i64;
                prop_assert!(is_counted || is_folded, "{id:?}: {was} + {change} is not {active}");
            }
            before = now.into_iter().map(|(id, (active, ..))| (id, active)).collect();
        }
    }
}
