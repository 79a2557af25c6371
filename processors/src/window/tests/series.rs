//! Tests of what a series counts, and of when it starts and ends.

use longwave_pipeline::model::{Level, Reporter, Rung};

use super::*;

/// *Scenario*: one connection is opened, one was open before, one fails, and one is opened and closed within the window.
/// *Guarantees*: each is counted by its events; the first two are active.
#[test]
fn connections_are_counted_by_their_events() {
    let mut bench = Bench::new(&config(&[Level::Service]));
    bench
        .records([update(1, 5.0, 1), seeded(update(2, 5.0, 0)), fail(3, 5.0), close(4, 5.0, 1)])
        .pass_end(5.0);
    let measures = &bench.only(Level::Service).measures;
    assert_eq!((measures.opened, measures.closed_total(), measures.active), (2, 1, 2));
    assert_eq!(measures.failed, [(FailReason::Refused, 1)]);
    assert_eq!(measures.connection_duration.count(), 1);
}

/// *Scenario*: an `open` record, then updates, then the close; the connection is still in SYN_SENT in its first update.
/// *Guarantees*: the connection is counted as opened once, when it is established, with its connect duration.
#[test]
fn an_open_is_counted_once_and_not_before_it_is_established() {
    let mut bench = Bench::new(&config(&[Level::Service]));
    let connecting = ConnectionRecord { state: TcpState::SynSent, first: true, ..update(1, 5.0, 0) };
    bench.records([connecting]).pass_end(5.0);
    let measures = &bench.only(Level::Service).measures;
    assert_eq!((measures.opened, measures.active), (0, 0));

    let open = ConnectionRecord {
        event: Event::Open,
        connect_duration: NonZeroU64::new(2_000_000),
        ..update(1, 10.0, 0)
    };
    bench
        .records([open.clone(), ConnectionRecord { event: Event::Update, ..open }, close(1, 10.0, 3)])
        .pass_end(10.0);
    let measures = &bench.only(Level::Service).measures;
    assert_eq!((measures.opened, measures.closed_total(), measures.active), (1, 1, 0));
    assert_eq!((measures.connect_duration.count(), measures.connect_duration.sum()), (1, 0.002));
}

/// *Scenario*: a reload creates a new processor while a connection with a known start is open.
/// *Guarantees*: the connection is active; it is not counted as opened again.
#[test]
fn a_connection_from_before_the_first_window_was_not_opened_now() {
    let mut bench = Bench::new(&config(&[Level::Service]));
    bench.records([update(1, 60.0, 1)]).pass_end(60.0);
    let measures = &bench.only(Level::Service).measures;
    assert_eq!((measures.opened, measures.active), (0, 1));
}

/// *Scenario*: three records of one connection in one window, with acknowledged bytes in two.
/// *Guarantees*: there is one round-trip sample per connection and window; the minimum is that of all records.
#[test]
fn one_round_trip_sample_per_connection_and_window() {
    let mut bench = Bench::new(&config(&[Level::Workload]));
    bench
        .records([update(1, 1.0, 0), with_rtt(update(1, 2.0, 1), 800), with_rtt(update(1, 3.0, 1), 400)])
        .pass_end(5.0);
    let measures = &bench.only(Level::Workload).measures;
    assert_eq!((measures.rtt.count(), measures.rtt.sum(), measures.min_rtt), (1, 0.0008, Some(0.0002)));
    bench.records([with_rtt(update(1, 10.0, 1), 100), update(2, 10.0, 1)]).pass_end(10.0);
    assert_eq!(bench.only(Level::Workload).measures.rtt.count(), 1);
}

/// *Scenario*: an open connection without any record for two windows (`idle_records: false`).
/// *Guarantees*: its series is in every window, with its open connection and zeros.
#[test]
fn idle_series_are_in_every_window() {
    let mut bench = Bench::new(&config(&[Level::Service, Level::Workload]));
    bench.records([update(1, 5.0, 1)]).pass_end(5.0).pass_end(10.0).pass_end(15.0);
    for level in [Level::Service, Level::Workload] {
        let series = bench.only(level);
        assert_eq!((series.measures.active, series.measures.totals.sent_bytes, series.ended), (1, 0, false));
        assert_eq!(series.created, at(0.0));
    }
}

/// *Scenario*: the last connection of a series closes; there is no other record; later the series returns.
/// *Guarantees*: the series is in one more window, all zero and marked as ended, and then in none; the series that returns is a new one
/// with a new start.
#[test]
fn a_series_ends_with_one_window_of_zeros() {
    let mut bench = Bench::new(&config(&[Level::Workload]));
    bench.records([close(1, 5.0, 1)]).pass_end(5.0);
    let first = Arc::clone(&bench.only(Level::Workload).key);
    assert!(!bench.only(Level::Workload).ended);
    bench.pass_end(10.0);
    let last = bench.only(Level::Workload);
    assert!(last.ended && Arc::ptr_eq(&last.key, &first));
    assert_eq!(last.measures, longwave_pipeline::model::Measures::default());
    bench.pass_end(15.0);
    assert!(bench.series(Level::Workload).is_empty());
    bench.records([close(2, 20.0, 1)]).pass_end(20.0);
    let again = bench.only(Level::Workload);
    assert!(!Arc::ptr_eq(&again.key, &first) && again.created == at(15.0));
}

/// *Scenario*: one short connection in each window.
/// *Guarantees*: the series never ends, so that a cumulative counter of it grows.
#[test]
fn short_connections_in_every_window_are_one_series() {
    let mut bench = Bench::new(&config(&[Level::Workload]));
    for window in 1..=5u32 {
        bench.records([close(window.into(), f64::from(window) * 5.0, 1)]).pass_end(f64::from(window) * 5.0);
        let series = bench.only(Level::Workload);
        assert_eq!((series.ended, series.created), (false, at(0.0)));
    }
}

/// *Scenario*: an open connection gets a name in its second window, because metadata arrives late.
/// *Guarantees*: the connection is active in the new series and no longer in the old one, which ends; it is opened once; no bytes are lost.
#[test]
fn a_connection_moves_to_the_series_of_its_new_name() {
    let workloads = Workloads::new();
    let mut bench = Bench::new(&config(&[Level::Workload]));
    bench.records([update(1, 5.0, 1)]).pass_end(5.0);
    bench.records([workloads.named(update(1, 10.0, 2), "nginx")]).pass_end(10.0);
    let [old, new] = bench.series(Level::Workload)[..] else { panic!() };
    assert_eq!((old.measures.active, old.ended), (0, true));
    assert_eq!((new.measures.active, new.measures.opened, new.measures.totals.sent_bytes), (1, 0, 2));
    assert_eq!(source(new), "nginx");
}

/// *Scenario*: the role of a connection becomes known in its second window.
/// *Guarantees*: from then on, the connection is active in a series with the right reporter.
#[test]
fn a_connection_moves_when_its_role_becomes_known() {
    let mut bench = Bench::new(&config(&[Level::Workload]));
    bench.records([ConnectionRecord { role: Role::Unknown, ..seeded(update(1, 5.0, 0)) }]).pass_end(5.0);
    bench.records([ConnectionRecord { role: Role::Server, ..seeded(update(1, 10.0, 0)) }]).pass_end(10.0);
    let [old, new] = bench.series(Level::Workload)[..] else { panic!() };
    assert_eq!((old.measures.active, new.measures.active), (0, 1));
    assert_eq!(flow(new).reporter, Reporter::Destination);
}

/// *Scenario*: two pods of one deployment have different handles, but equal names at this level.
/// *Guarantees*: they share a series; each has its own series if the configuration selects pods.
#[test]
fn equal_names_share_a_series() {
    let workloads = Interner::default();
    let pod =
        |pod: &str| workloads.intern(Workload { name: "web".into(), pod: pod.into(), ..Workload::default() });
    let named = |mut record: ConnectionRecord, handle: Handle<Workload>| {
        record.names.local = Some(handle);
        record
    };
    let (a, b) = (pod("a"), pod("b"));
    let records = [named(update(1, 5.0, 1), a), named(update(2, 5.0, 2), b)];
    let mut bench = Bench::new(&config(&[Level::Service, Level::Workload]));
    bench.records(records.clone()).pass_end(5.0);
    let measures = &bench.only(Level::Workload).measures;
    assert_eq!((measures.active, measures.totals.sent_bytes), (2, 3));

    let workload_attributes = vec![WorkloadAttribute::Pod];
    let levels = [Level::Service, Level::Workload];
    let mut bench = Bench::new(&WindowConfig { workload_attributes, ..config(&levels) });
    bench.records(records).pass_end(5.0);
    let of = |series: &Series| {
        let details = flow(series).source.details.as_ref().unwrap();
        (details.pod.to_string(), series.measures.active)
    };
    let pods: Vec<_> = bench.series(Level::Workload).into_iter().map(of).collect();
    assert_eq!(pods, [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    assert_eq!(bench.only(Level::Service).measures.active, 2);
}

/// *Scenario*: five workloads, room for two series.
/// *Guarantees*: the first two have a series each, the others share a coarser one; totals and open connections are conserved.
#[test]
fn series_without_room_are_folded() {
    let workloads = Workloads::new();
    let mut bench = Bench::new(&WindowConfig { max_series: 2, ..config(&[Level::Workload]) });
    let records = |tick: f64| {
        ["a", "b", "c", "d", "e"]
            .iter()
            .zip(1..)
            .map(|(name, n)| workloads.named(update(n, tick, n), name))
            .collect::<Vec<_>>()
    };
    bench.records(records(5.0)).pass_end(5.0);
    let folded = bench.series(Level::Workload)[2];
    assert_eq!(folded.key.rung(), Some(Rung::Namespace));
    assert_eq!(
        (bench.series(Level::Workload).len(), folded.measures.active, folded.measures.totals.sent_bytes),
        (3, 3, 12)
    );

    // There is room again: folded connections stay folded, new connections get series of their own.
    bench.records([workloads.named(close(1, 10.0, 0), "a")]).pass_end(10.0).pass_end(15.0);
    bench.records([workloads.named(update(9, 20.0, 9), "e")]).pass_end(20.0);
    let named = |name: &str| {
        bench
            .series(Level::Workload)
            .iter()
            .filter(|s| s.key.flow().is_some_and(|flow| flow.source.name.as_deref() == Some(name)))
            .count()
    };
    assert_eq!((named("a"), named("b"), named("e")), (0, 1, 1));
}

/// *Scenario*: the last folded connection closes.
/// *Guarantees*: the overflow series ends like any other.
#[test]
fn the_overflow_series_ends_too() {
    let workloads = Workloads::new();
    let mut bench = Bench::new(&WindowConfig { max_series: 1, ..config(&[Level::Workload]) });
    bench.records([workloads.named(update(1, 5.0, 1), "a")]).pass_end(5.0);
    bench.records([workloads.named(close(2, 10.0, 1), "b")]).pass_end(10.0);
    assert_eq!(bench.series(Level::Workload).len(), 2);
    bench.pass_end(15.0);
    assert!(bench.series(Level::Workload)[1].ended);
    bench.pass_end(20.0);
    assert_eq!(bench.series(Level::Workload).len(), 1);
}

/// *Scenario*: a connection whose close was lost has no record for more than ten minutes.
/// *Guarantees*: it is counted as closed (vanished) and no longer active; its state is removed.
#[test]
fn a_silent_connection_expires() {
    let mut bench = Bench::new(&config(&[Level::Workload]));
    bench.records([update(1, 5.0, 1)]);
    for window in 1..=150 {
        bench.pass_end(f64::from(window) * 5.0);
    }
    let sum = |of: fn(&Series) -> u64| bench.windows.iter().flat_map(|w| &w.series).map(of).sum::<u64>();
    assert_eq!(sum(|s| s.measures.closed[CloseReason::Vanished as usize - 1]), 1);
    assert!(bench.series(Level::Workload).is_empty());
}
