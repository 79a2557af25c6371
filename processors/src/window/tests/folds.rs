//! Tests of the series into which others are folded.

use std::collections::{BTreeMap, HashMap};

use longwave_pipeline::model::{Label, LabelKey, Measures, Names, SeriesKey, Service};
use proptest::prelude::*;

use super::*;
use crate::window::{LevelConfig, Levels};

/// Names of pods, of which two have one owner, and of owners, of which two are in one namespace. Services are named as owners.
pub(super) struct Pods {
    workloads: Interner<Workload>,
    services: Interner<Service>,
}

impl Pods {
    pub fn new() -> Self {
        Self { workloads: Interner::default(), services: Interner::default() }
    }

    /// Returns the names of a connection between two pods. Pod 0 is unknown.
    pub fn names(&self, local: u64, peer: u64) -> Names {
        let service = Service {
            name: format!("owner-{}", peer / 2).into(),
            namespace: format!("ns-{}", peer / 4).into(),
            ambiguous: false,
        };
        Names {
            local: self.pod(local),
            peer: self.pod(peer),
            service: (peer > 0).then(|| self.services.intern(service)),
        }
    }

    fn pod(&self, number: u64) -> Option<Handle<Workload>> {
        let label = Label { key: Arc::new(LabelKey::new("k8s.pod.label.app")), value: "x".into() };
        (number > 0).then(|| {
            self.workloads.intern(Workload {
                name: format!("owner-{}", number / 2).into(),
                kind: "Deployment".into(),
                namespace: format!("ns-{}", number / 4).into(),
                pod: format!("pod-{number}").into(),
                labels: [label].into(),
                ..Workload::default()
            })
        })
    }
}

/// Returns the maximum number of series of a level.
pub(super) fn bound(max_series: usize) -> usize {
    if max_series == 0 { usize::MAX } else { max_series + 3 * max_series.div_ceil(8).min(256) + 1 }
}

/// Returns how many connections of `level` are active in the last window, by the rung of their series.
fn active(bench: &Bench, level: Level) -> [u64; 5] {
    let mut by_rung = [0; 5];
    for series in bench.series(level) {
        by_rung[series.key.rung().map_or(0, |rung| rung as usize + 1)] += series.measures.active;
    }
    by_rung
}

fn folding(level: Level, max_series: u32) -> Bench {
    Bench::new(&WindowConfig { max_series, min_age: GoDuration::default(), ..config(&[level]) })
}

/// *Scenario*: eight connections fill a level with room for eight series. Further ones are between the same pods, other pods of the same
/// owners, other owners of the same namespaces, and other namespaces, where a rung has room for one series.
/// *Guarantees*: each is folded into the finest series that exists or has room: pods, then owners, then namespaces, then overflow.
#[test]
fn the_finest_series_with_room_is_taken() {
    let (pods, mut bench) = (Pods::new(), folding(Level::Connection, 8));
    let mut cookie = 0;
    let mut connection = |local, peer| {
        cookie += 1;
        ConnectionRecord { names: pods.names(local, peer), ..update(cookie, 5.0, 1) }
    };
    let own: Vec<_> = (0..8).map(|_| connection(4, 8)).collect();
    bench.records(own);
    for (local, peer) in [(4, 8), (4, 8), (5, 8), (4, 9), (6, 8), (7, 10), (12, 8), (4, 12), (4, 8)] {
        bench.records([connection(local, peer)]);
    }
    bench.pass_end(5.0);
    assert_eq!(active(&bench, Level::Connection), [8, 3, 2, 2, 2]);
    assert_eq!(bench.series(Level::Connection).len(), 8 + 4);
}

/// *Scenario*: workloads with pods and labels fill a level of workloads; services fill a level of services.
/// *Guarantees*: series of level `workload` are folded by owner, then by namespace, and those of level `service` by namespace: what a level
/// does not distinguish is no rung of it.
#[test]
fn levels_skip_rungs_that_they_do_not_have() {
    for (level, expected) in [(Level::Workload, [1, 0, 1, 2, 1]), (Level::Service, [1, 0, 0, 3, 1])] {
        let (pods, mut bench) =
            (Pods::new(), Bench::new(&WindowConfig { max_series: 1, ..config(&[level]) }));
        for (cookie, (local, peer)) in (1..).zip([(4, 8), (8, 4), (10, 6), (9, 7), (16, 20)]) {
            let names = pods.names(local, peer);
            bench.records([ConnectionRecord { names, ..update(cookie, 5.0, 1) }]);
        }
        bench.pass_end(5.0);
        assert_eq!(active(&bench, level), expected, "{level:?}");
    }
}

/// *Scenario*: one of two connections is folded. Then the other closes, so that there is room again, and a third connection opens.
/// *Guarantees*: the folded connection stays in its series until it ends, and the new connection has a series of its own. Then the
/// folded series ends, with zeros, and its room is free.
#[test]
fn a_folded_connection_stays_folded() {
    let (pods, mut bench) = (Pods::new(), folding(Level::Connection, 1));
    let of = |record| ConnectionRecord { names: pods.names(4, 8), ..record };
    bench.records([of(update(1, 5.0, 1)), of(update(2, 5.0, 2))]).pass_end(5.0);
    assert_eq!(active(&bench, Level::Connection), [1, 1, 0, 0, 0]);
    bench.records([of(close(1, 10.0, 1)), of(update(2, 10.0, 2))]).pass_end(10.0);
    bench.records([of(update(2, 15.0, 2)), of(update(3, 15.0, 4))]).pass_end(15.0);
    assert_eq!(active(&bench, Level::Connection), [1, 1, 0, 0, 0]);
    let sent: Vec<_> = bench.series(Level::Connection).iter().map(|s| s.measures.totals.sent_bytes).collect();
    assert_eq!((sent.iter().sum::<u64>(), sent.len()), (6, 2));
    bench.records([of(close(2, 20.0, 2))]).pass_end(20.0).pass_end(25.0);
    let is_over = |series: &&&Series| series.ended && series.measures == Measures::default();
    assert_eq!(bench.series(Level::Connection).iter().filter(is_over).count(), 1);
    bench.pass_end(30.0);
    assert_eq!(bench.series(Level::Connection).len(), 1);
    // The rung has room for a series of other pods.
    bench.records([ConnectionRecord { names: pods.names(8, 4), ..update(4, 35.0, 1) }]).pass_end(35.0);
    assert_eq!(active(&bench, Level::Connection), [1, 1, 0, 0, 0]);
}

/// *Scenario*: a folded connection gets the names of another pod of the same owner, of another namespace, and loses its names.
/// *Guarantees*: it stays if its series covers the new names. Otherwise it moves to a coarser series of the new names, in which it counts
/// as active; the former series keeps its bytes.
#[test]
fn a_renamed_connection_moves_between_folded_series() {
    let (pods, mut bench) = (Pods::new(), folding(Level::Connection, 1));
    let of =
        |cookie, tick, local| ConnectionRecord { names: pods.names(local, 8), ..update(cookie, tick, 1) };
    // The first connection takes all room, the second the room of rung `pod`, the third that of rung `owner`.
    bench.records([of(1, 5.0, 4), of(2, 5.0, 5), of(3, 5.0, 12)]).pass_end(5.0);
    assert_eq!(active(&bench, Level::Connection), [1, 1, 1, 0, 0]);
    bench.records([of(3, 10.0, 13)]).pass_end(10.0);
    assert_eq!(active(&bench, Level::Connection), [1, 1, 1, 0, 0], "the same owner");
    bench.records([of(3, 15.0, 16)]).pass_end(15.0);
    assert_eq!(active(&bench, Level::Connection), [1, 1, 0, 1, 0], "another owner");
    bench.records([of(3, 20.0, 5)]).pass_end(20.0);
    assert_eq!(active(&bench, Level::Connection), [1, 2, 0, 0, 0], "the pods of a series that exists");
    bench.records([of(3, 25.0, 5), of(3, 25.0, 0)]).pass_end(25.0);
    assert_eq!(active(&bench, Level::Connection), [1, 1, 1, 0, 0], "no names");
    assert_eq!(bench.sent(Level::Connection), [3, 1, 1, 1, 2]);
}

/// *Scenario*: connections to one server, at a level `connection` with addresses and the server's port, but without the clients' ports.
/// *Guarantees*: those with equal attributes are in one series, which has their sums and their number, does not end when one of them closes,
/// and ends with a window of zeros.
#[test]
fn connections_with_equal_attributes_share_a_series() {
    let names = ["source.address", "destination.address", "destination.port"];
    let attributes = Some(names.map(str::to_owned).to_vec());
    let levels = Levels::from_iter([(Level::Connection, LevelConfig { attributes })]);
    let mut bench = Bench::new(&WindowConfig { levels, min_age: GoDuration::default(), ..config(&[]) });
    let from = |cookie: u64, record: ConnectionRecord| {
        let mut record = record;
        record.local.port = 40_000 + cookie as u16;
        record.peer.port = if cookie == 3 { 443 } else { 80 };
        record
    };
    bench.records((1..=3).map(|n| from(n, update(n, 5.0, n)))).pass_end(5.0);
    let of = |bench: &Bench| -> Vec<(u64, u64, bool)> {
        let series = bench.series(Level::Connection);
        series.iter().map(|s| (s.measures.active, s.measures.totals.sent_bytes, s.ended)).collect()
    };
    assert_eq!(of(&bench), [(2, 3, false), (1, 3, false)]);
    let mut found = Vec::new();
    bench.series(Level::Connection)[0].key.for_each_attribute(&mut |name, _| found.push(name.to_owned()));
    assert_eq!(found, ["reporter", "source.address", "destination.address", "destination.port"]);
    bench.records([from(1, close(1, 10.0, 5))]).pass_end(10.0);
    assert_eq!(of(&bench), [(1, 5, false), (1, 0, false)]);
    bench.records([from(2, close(2, 15.0, 7))]).pass_end(15.0);
    assert_eq!(of(&bench), [(0, 7, false), (1, 0, false)]);
    bench.pass_end(20.0).pass_end(25.0);
    assert_eq!(of(&bench), [(1, 0, false)]);
    let ended = bench.windows[3].series.iter().filter(|series| series.ended).count();
    assert_eq!((bench.windows.len(), ended), (5, 1));
}

/// One step of a connection: where its names are then, and whether it closes.
type Step = (u64, u64, u64, bool, u64);

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let step = (0..30u64, 0..24u64, 0..24u64, prop::bool::weighted(0.2), 0..1000u64);
    prop::collection::vec(prop::collection::vec(step, 0..40), 1..12)
}

fn limits() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0u32), Just(1), Just(2), Just(9), Just(17), Just(40)]
}

fn configs() -> impl Strategy<Value = WindowConfig> {
    let selections = prop_oneof![
        3 => Just([None, None, None]),
        1 => Just([Some("source.k8s.namespace.name"), Some("source.k8s.pod.name"), Some("destination.k8s.pod.name")]),
        1 => Just([None, Some("destination.workload.name"), Some("longwave.connection.id")]),
        1 => Just([Some("destination.service.name"), Some(""), Some("source.k8s.pod.label.app")]),
    ];
    (limits(), selections).prop_map(|(max_series, selections)| {
        let attributes = selections.map(|name| name.map(|name| vec![name.to_owned()]));
        let levels = Level::ALL.into_iter().zip(attributes);
        let levels = levels.map(|(level, attributes)| (level, LevelConfig { attributes }));
        WindowConfig { max_series, levels: levels.collect(), min_age: GoDuration::default(), ..config(&[]) }
    })
}

/// What a window should have at each level.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Expected {
    sent: u64,
    opened: u64,
    closed: u64,
    active: u64,
    samples: u64,
}

/// Feeds one window per inner list.
fn play(steps: &[Vec<Step>], config: &WindowConfig) -> (Bench, Vec<Expected>) {
    let (pods, mut bench) = (Pods::new(), Bench::new(config));
    let mut open: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut lives, mut all) = (0, Vec::new());
    bench.pass_end(0.0);
    for (window, steps) in steps.iter().enumerate() {
        let tick = (window + 1) as f64 * 5.0;
        let mut expected = Expected::default();
        let mut sampled = std::collections::BTreeSet::new();
        let mut records = Vec::new();
        for (cookie, local, peer, closes, bytes) in steps.iter().copied() {
            let life = *open.entry(cookie).or_insert_with(|| {
                lives += 1;
                expected.opened += 1;
                lives
            });
            let record = if closes { close(cookie, tick, bytes) } else { update(cookie, tick, bytes) };
            let mut record = with_rtt(ConnectionRecord { names: pods.names(local, peer), ..record }, 100);
            record.id.generation = life;
            expected.sent += bytes;
            expected.samples += u64::from(sampled.insert(life));
            if closes {
                open.remove(&cookie);
                expected.closed += 1;
            }
            records.push(record);
        }
        expected.active = open.len() as u64;
        all.push(expected);
        bench.records(records).pass_end(tick);
    }
    (bench, all)
}

fn attributes(key: &SeriesKey) -> String {
    let mut text = String::new();
    key.for_each_attribute(&mut |name, value| {
        use longwave_pipeline::model::AttributeValue::*;
        text += &match value {
            Str(value) => format!("{name}={value};"),
            Text(value) => format!("{name}={value};"),
            Int(value) => format!("{name}={value};"),
            Float(value) => format!("{name}={value};"),
            Bool(value) => format!("{name}={value};"),
            Unknown => format!("{name} unknown;"),
        };
    });
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// *Scenario*: any sequence of records of connections whose names change in any record, between 24 pods; without a limit and with several
    /// limits; with default and with selected attributes.
    /// *Guarantees*: in every window, each level has the sums of the records and the open connections, no attributes twice, and at most
    /// `max_series` series and those of the rungs.
    #[test]
    fn every_level_conserves_sums_in_every_window(steps in steps(), config in configs()) {
        let (bench, expected) = play(&steps, &config);
        for (window, expected) in bench.windows[1..].iter().zip(&expected) {
            for level in Level::ALL {
                let series: Vec<&Series> = window.series.iter().filter(|series| series.level == level).collect();
                let mut sum = Measures::default();
                series.iter().for_each(|series| sum.merge(&series.measures));
                let found = Expected {
                    sent: sum.totals.sent_bytes,
                    opened: sum.opened,
                    closed: sum.closed_total(),
                    active: sum.active,
                    samples: sum.rtt.count(),
                };
                prop_assert_eq!(found, *expected, "{:?}", level);
                prop_assert!(series.len() <= bound(config.max_series as usize), "{} series", series.len());
                let mut keys: Vec<String> = series.iter().map(|series| attributes(&series.key)).collect();
                keys.sort();
                prop_assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "{:?}", keys);
            }
        }
    }

    /// *Scenario*: the same. A reader sums each series by its attributes, and starts again when the series has a new start.
    /// *Guarantees*: a start is not before the end of the series' last window, so that the sums since a start never decrease; while a series
    /// has not ended, it is in every window, with the same start and the same key.
    #[test]
    fn a_series_is_continuous_until_it_ends(steps in steps(), config in configs()) {
        let (bench, _) = play(&steps, &config);
        let mut live: HashMap<(Level, String), (UnixNanos, usize)> = HashMap::new();
        let mut ends: HashMap<(Level, String), UnixNanos> = HashMap::new();
        for window in &bench.windows {
            let mut now = HashMap::new();
            for series in &window.series {
                let of = (series.level, attributes(&series.key));
                let identity = (series.created, Arc::as_ptr(&series.key) as usize);
                match live.remove(&of) {
                    Some(known) => prop_assert_eq!(known, identity, "{:?}", of),
                    None => {
                        prop_assert_eq!(series.created, window.start, "{:?}", of);
                        prop_assert!(ends.get(&of).is_none_or(|end| *end <= series.created), "{:?}", of);
                    }
                }
                if series.ended {
                    ends.insert(of, window.end);
                } else {
                    now.insert(of, identity);
                }
            }
            prop_assert!(live.is_empty(), "not in the window: {:?}", live);
            live = now;
        }
    }

    /// *Scenario*: the same, at level `connection` with default attributes.
    /// *Guarantees*: a connection with a series of its own is in no other series: the number of its series and of the connections in series
    /// into which others are folded is the number of open connections.
    #[test]
    fn each_connection_is_active_once(steps in steps(), max_series in limits()) {
        let config = WindowConfig { max_series, min_age: GoDuration::default(), ..config(&[Level::Connection]) };
        let (bench, expected) = play(&steps, &config);
        for (window, expected) in bench.windows[1..].iter().zip(&expected) {
            let own = window.series.iter().filter(|series| series.key.rung().is_none());
            let own: Vec<u64> = own.map(|series| series.measures.active).collect();
            prop_assert!(own.iter().all(|active| *active <= 1));
            let folded = window.series.iter().filter(|series| series.key.rung().is_some());
            let folded: u64 = folded.map(|series| series.measures.active).sum();
            prop_assert_eq!(own.iter().sum::<u64>() + folded, expected.active);
            prop_assert!(max_series > 0 || folded == 0);
        }
    }
}

/// *Scenario*: 100,000 connections between 3,000 pods open, send, and close in three windows at three levels, with `max_series: 1000`; so each
/// level has more series than room. Then all are gone.
/// *Guarantees*: every window of every level has the sums of all records. The number of series is bounded in the windows and in memory, and
/// nothing is left at the end.
#[test]
fn a_hundred_thousand_connections_are_bounded_and_conserved() {
    const CONNECTIONS: u64 = 100_000;
    const MAX_SERIES: u32 = 1000;
    let levels = Level::ALL;
    let pods = Pods::new();
    let mut bench = Bench::new(&WindowConfig {
        max_series: MAX_SERIES,
        min_age: GoDuration::default(),
        ..config(&levels)
    });
    let names: Vec<Names> = (0..3_000).map(|n| pods.names(n + 1, 2 * n % 2_999 + 1)).collect();
    let records = |tick: f64, of: fn(u64, f64, u64) -> ConnectionRecord| {
        let record = |cookie| ConnectionRecord {
            names: names[(cookie % 3_000) as usize].clone(),
            ..of(cookie, tick, cookie)
        };
        (0..CONNECTIONS).map(record).collect::<Vec<_>>()
    };
    let sent = (0..CONNECTIONS).sum::<u64>();
    let mut most = [0; 3];
    for (number, (tick, of)) in
        (0..).zip([(5.0, update as fn(u64, f64, u64) -> _), (10.0, update), (15.0, close)])
    {
        bench.records(records(tick, of)).pass_end(tick);
        for level in levels {
            let series = bench.series(level);
            let mut sum = Measures::default();
            series.iter().for_each(|series| sum.merge(&series.measures));
            let active = if number < 2 { CONNECTIONS } else { 0 };
            assert_eq!((sum.totals.sent_bytes, sum.active), (sent, active), "{level:?} {tick}");
            assert_eq!(sum.opened, if number == 0 { CONNECTIONS } else { 0 });
            most[level as usize] = series.len().max(most[level as usize]);
            let folded = active_by(&series);
            assert!(
                number == 2 || folded[0] < folded[1..].iter().sum(),
                "{level:?} does not fold: {folded:?}"
            );
        }
        assert!(
            bench.processor.stored_series() <= 4 * bound(MAX_SERIES as usize),
            "{}",
            bench.processor.stored_series()
        );
    }
    assert!(most.iter().all(|most| (1_001..=bound(MAX_SERIES as usize)).contains(most)), "{most:?}");
    bench.pass_end(20.0).pass_end(25.0);
    assert!(bench.windows.last().unwrap().series.is_empty());
    assert_eq!(bench.processor.stored_series(), 0);
}

fn active_by(series: &[&Series]) -> [u64; 2] {
    let of = |folded: bool| {
        series
            .iter()
            .filter(|series| series.key.rung().is_some() == folded)
            .map(|series| series.measures.active)
            .sum()
    };
    [of(false), of(true)]
}
