//! Tests of the equation that every series fulfils: Δactive = opened − closed + seeded + moved in − moved out.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use longwave_pipeline::model::SeriesKey;
use proptest::prelude::*;

use super::*;

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
            let is_opened = is_opened_in(&records, known.life);
            let of = &mut expected[known.name];
            of.opened += u64::from(known.opened_in == window && is_opened);
            of.seeded += u64::from(known.opened_in == window && !is_opened);
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

/// Returns whether a connection that is established in this window was opened in it: its start is known, or the first record after the
/// handshake reports an open.
fn is_opened_in(records: &[ConnectionRecord], life: u64) -> bool {
    let mut of_life = records.iter().filter(|record| record.id.generation == life);
    let is_first_open = |record: &ConnectionRecord| record.start_known || record.event == Event::Open;
    of_life.find(|record| record.state != TcpState::SynSent).is_some_and(is_first_open)
}

/// Returns opened, closed and active of a level in a window, by the source's name; `None` is the overflow series.
fn found(window: &Window, level: Level) -> HashMap<Option<&str>, (u64, u64, u64)> {
    let mut by_name: HashMap<_, (u64, u64, u64)> = HashMap::new();
    for series in window.series.iter().filter(|series| series.level == level) {
        let name = series.key.flow().and_then(|flow| flow.source.name.as_deref());
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
                let of = now.entry(connection.id.unwrap()).or_insert((0, 0, connection.opened.is_none()));
                // An open without a time is no seeded connection.
                of.2 &= series.measures.opened == 0;
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
