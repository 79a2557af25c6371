//! Tests of properties that the windows of every stream of records have.

use std::collections::{BTreeMap, HashMap, HashSet};

use longwave_pipeline::model::{Level, SeriesKey};
use proptest::prelude::*;

use super::*;

/// One record of one of the connections.
#[derive(Clone, Copy, Debug)]
struct Move {
    connection: u64,
    action: Action,
    bytes: u64,
    /// The local workload's name in this record; 0: unknown.
    name: u8,
    /// Offset of the record's window from the open one: mostly 0, −1 for a late record, 1 for an early one.
    shift: i8,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Update,
    Open,
    Close,
    Fail,
    Vanish,
}

/// Each step is a list of records, then a watermark after this number of half intervals (0: no watermark).
type Steps = Vec<(Vec<Move>, u8)>;

fn moves() -> impl Strategy<Value = Move> {
    let action = prop_oneof![
        6 => Just(Action::Update),
        1 => Just(Action::Open),
        2 => Just(Action::Close),
        1 => Just(Action::Fail),
        1 => Just(Action::Vanish),
    ];
    let shift = prop_oneof![8 => Just(0i8), 1 => Just(-1i8), 1 => Just(1i8)];
    (0..40u64, action, 0..1000u64, 0..12u8, shift).prop_map(|(connection, action, bytes, name, shift)| Move {
        connection,
        action,
        bytes,
        name,
        shift,
    })
}

fn steps() -> impl Strategy<Value = Steps> {
    prop::collection::vec((prop::collection::vec(moves(), 0..20), 0..6u8), 1..30)
}

/// Sums of the records, computed by the test.
#[derive(Default)]
struct Expected {
    records: u64,
    totals: Totals,
    /// All connections. A cookie has a new connection after each close.
    lives: Vec<ConnectionLife>,
    open: HashMap<u64, usize>,
    seeded: u64,
    opened: u64,
    closed: u64,
    failed: u64,
}

#[derive(Default)]
struct ConnectionLife {
    start_known: bool,
    opened: f64,
    sent: u64,
    reached: bool,
    established: bool,
}

/// Feeds the steps to a window processor. Returns the processor and the expected sums.
fn play(steps: &Steps, config: &WindowConfig) -> (Bench, Expected) {
    let workloads = Workloads::new();
    let names: Vec<String> = (0..12).map(|n| format!("workload-{n}")).collect();
    let mut bench = Bench::new(config);
    let mut expected = Expected::default();
    let mut clock = 3.0;
    // The first window is empty, so that every connection is opened in a window of the processor.
    bench.pass_end(0.0);
    for (moves, halves) in steps {
        let mut batch = Vec::new();
        for step in moves {
            batch.extend(expected.record(step, clock, &workloads, &names));
        }
        bench.records(batch);
        clock += f64::from(*halves) * 2.5;
        if *halves > 0 {
            bench.pass_end(clock);
        }
    }
    bench.last(clock + 1.0).finish();
    (bench, expected)
}

impl Expected {
    fn record(
        &mut self,
        step: &Move,
        clock: f64,
        workloads: &Workloads,
        names: &[String],
    ) -> Option<ConnectionRecord> {
        let is_new = !self.open.contains_key(&step.connection);
        let life = match self.open.get(&step.connection) {
            Some(life) => *life,
            None => {
                let start_known = !step.connection.is_multiple_of(4);
                self.lives.push(ConnectionLife { start_known, opened: clock, ..ConnectionLife::default() });
                self.open.insert(step.connection, self.lives.len() - 1);
                self.lives.len() - 1
            }
        };
        let generation = life as u64;
        let life = &mut self.lives[life];
        // An established connection cannot fail.
        if matches!(step.action, Action::Fail) && life.established {
            return None;
        }
        let tick = ((clock / 5.0).floor() + 1.0 + f64::from(step.shift)) * 5.0;
        let base = match step.action {
            Action::Update | Action::Open => update(step.connection, tick.max(1.0), step.bytes),
            Action::Close => close(step.connection, tick.max(1.0), step.bytes),
            Action::Vanish => ConnectionRecord {
                event: Event::Vanished,
                end: Some(End::Closed(CloseReason::Vanished)),
                ..update(step.connection, tick.max(1.0), step.bytes)
            },
            Action::Fail => fail(step.connection, tick.max(1.0)),
        };
        let mut record = with_rtt(base, 100 + step.bytes);
        record.id.generation = generation;
        record.start_known = life.start_known;
        record.opened = if life.start_known { at(life.opened) } else { UnixNanos::default() };
        record.observed = at(clock);
        record.age = ((clock - life.opened) * 1e9) as u64;
        // An open without a time is the first record of its connection, and in its window.
        if matches!(step.action, Action::Open) && (life.start_known || (is_new && step.shift == 0)) {
            record.event = Event::Open;
        }
        if step.name > 0 {
            record = workloads.named(record, &names[usize::from(step.name)]);
        }
        self.records += 1;
        self.totals.add(&record.delta);
        life.sent += record.delta.sent_bytes;
        if record.event == Event::Fail {
            self.failed += 1;
        } else if !life.established {
            life.established = true;
            let is_opened = life.start_known || record.event == Event::Open;
            self.opened += u64::from(is_opened);
            self.seeded += u64::from(!is_opened);
        }
        if record.event != Event::Fail {
            life.reached |= !life.start_known || clock - life.opened >= 5.0;
        }
        if record.event.is_end() {
            self.closed += u64::from(record.event != Event::Fail);
            self.open.remove(&step.connection);
        }
        Some(record)
    }

    fn active(&self) -> u64 {
        self.open.values().filter(|life| self.lives[**life].established).count() as u64
    }
}

fn all_levels(max_series: u32) -> WindowConfig {
    WindowConfig { max_series, ..config(&[Level::Service, Level::Workload, Level::Connection]) }
}

/// Returns the sums over all windows of a level.
fn sums(bench: &Bench, level: Level) -> longwave_pipeline::model::Measures {
    let mut sum = longwave_pipeline::model::Measures::default();
    for series in
        bench.windows.iter().flat_map(|window| &window.series).filter(|series| series.level == level)
    {
        sum.merge(&series.measures);
    }
    sum
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// *Scenario*: any stream of records of 40 connections with 12 changing names, with late and early records, and watermarks at any
    /// distance; without a limit on series, and with limits of 10 and 1.
    /// *Guarantees*: at levels service and workload, the windows' sums equal the records' sums; opened, closed and failed are exact; the
    /// number of active connections in the last window is that of open connections; every record is counted as folded.
    #[test]
    fn windows_sum_to_the_records(steps in steps()) {
        for max_series in [0, 10, 1] {
            let (bench, expected) = play(&steps, &all_levels(max_series));
            prop_assert_eq!(bench.accounting.nodes()[0].folded(), expected.records);
            for level in [Level::Service, Level::Workload] {
                let sum = sums(&bench, level);
                prop_assert_eq!(sum.totals, expected.totals);
                prop_assert_eq!((sum.opened, sum.closed_total(), sum.failed_total()), (expected.opened, expected.closed, expected.failed));
                let active: u64 = bench.series(level).iter().map(|series| series.measures.active).sum();
                prop_assert_eq!(active, expected.active());
            }
        }
    }

    /// *Scenario*: the same.
    /// *Guarantees*: windows are contiguous and not empty; each series is at most once in a window; the number of series respects the
    /// limit; at each level, Δactive = opened − closed + seeded, summed over the windows.
    #[test]
    fn windows_are_contiguous_and_the_open_set_adds_up(steps in steps()) {
        for max_series in [0, 3] {
            let (bench, expected) = play(&steps, &all_levels(max_series));
            for pair in bench.windows.windows(2) {
                prop_assert_eq!(pair[0].end, pair[1].start);
            }
            prop_assert!(bench.windows.iter().all(|window| window.start < window.end));
            for level in [Level::Service, Level::Workload] {
                let (mut balance, mut last) = (0i64, 0i64);
                for window in &bench.windows {
                    let of_level: Vec<&Series> = window.series.iter().filter(|series| series.level == level).collect();
                    let keys: HashSet<&SeriesKey> = of_level.iter().map(|series| &*series.key).collect();
                    prop_assert_eq!(keys.len(), of_level.len());
                    prop_assert!(of_level.len() <= super::folds::bound(max_series as usize));
                    let sum = |of: fn(&Series) -> u64| of_level.iter().map(|series| of(series)).sum::<u64>() as i64;
                    last = sum(|series| series.measures.active);
                    balance += sum(|series| series.measures.opened) - sum(|series| series.measures.closed_total());
                    // Active connections that were not opened were seeded.
                    prop_assert!(last >= balance && last - balance <= expected.seeded as i64);
                }
                prop_assert_eq!(last, balance + expected.seeded as i64);
            }
        }
    }

    /// *Scenario*: the same.
    /// *Guarantees*: a series that was marked as ended does not return; a new series has another key address and start.
    #[test]
    fn ended_series_do_not_return(steps in steps()) {
        for max_series in [0, 3] {
            let (bench, _) = play(&steps, &all_levels(max_series));
            let mut ended: BTreeMap<usize, UnixNanos> = BTreeMap::new();
            for window in &bench.windows {
                for series in &window.series {
                    let address = Arc::as_ptr(&series.key) as usize;
                    // All windows are kept, so no address is reused.
                    prop_assert!(!ended.contains_key(&address));
                    prop_assert!(series.created <= window.start);
                    if series.ended {
                        ended.insert(address, window.end);
                        prop_assert_eq!(series.measures.active, 0);
                    }
                }
            }
        }
    }

    /// *Scenario*: the same.
    /// *Guarantees*: at level `connection` the sums are the deltas of exactly those connections that reached `min_age`.
    #[test]
    fn the_connection_level_covers_long_connections_whole(steps in steps()) {
        for max_series in [0, 3] {
            let (bench, expected) = play(&steps, &all_levels(max_series));
            let sent: u64 = expected.lives.iter().filter(|life| life.reached).map(|life| life.sent).sum();
            prop_assert_eq!(sums(&bench, Level::Connection).totals.sent_bytes, sent);
        }
    }

    /// *Scenario*: the same stream twice.
    /// *Guarantees*: the windows are equal, with series in the same order, so nothing depends on the order of a hash table.
    #[test]
    fn windows_are_deterministic(steps in steps()) {
        let (first, _) = play(&steps, &all_levels(3));
        let (second, _) = play(&steps, &all_levels(3));
        prop_assert_eq!(first.windows, second.windows);
    }
}
