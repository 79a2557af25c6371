//! Tests of the level `connection`.

use longwave_pipeline::model::Level;

use super::*;

fn bench() -> Bench {
    Bench::new(&config(&[Level::Connection]))
}

/// *Scenario*: a connection is opened at second 1 and has records at seconds 5 and 10; `min_age` is 5 s.
/// *Guarantees*: it has no series before that age; the first window of the series includes the earlier bytes, open and round trips.
#[test]
fn the_first_window_includes_everything_before() {
    let mut bench = bench();
    bench.records([with_rtt(update(1, 5.0, 3), 100)]).pass_end(5.0);
    assert!(bench.series(Level::Connection).is_empty());
    bench.records([with_rtt(update(1, 10.0, 4), 200)]).pass_end(10.0);
    let series = bench.only(Level::Connection);
    assert_eq!(
        (series.measures.totals.sent_bytes, series.measures.opened, series.measures.active),
        (7, 1, 1)
    );
    assert_eq!((series.measures.rtt.count(), series.created), (2, at(5.0)));
    bench.records([update(1, 15.0, 1)]).pass_end(15.0);
    assert_eq!(bench.only(Level::Connection).measures.totals.sent_bytes, 1);
}

/// *Scenario*: one connection closes before `min_age`, one fails, and one closes after `min_age`.
/// *Guarantees*: only the last has a series; it is marked as ended in the window of the close, and removed in the next.
#[test]
fn short_connections_have_no_series() {
    let mut bench = bench();
    bench.records([close(1, 5.0, 1), fail(2, 5.0), close(3, 7.0, 2)]).pass_end(5.0).pass_end(10.0);
    let series = bench.only(Level::Connection);
    assert_eq!((series.ended, series.measures.closed_total(), series.measures.active), (true, 1, 0));
    bench.pass_end(15.0);
    assert!(bench.series(Level::Connection).is_empty());
}

/// *Scenario*: a connection is older than the receiver.
/// *Guarantees*: it has a series from its first record.
#[test]
fn a_seeded_connection_has_a_series_from_its_first_record() {
    let mut bench = bench();
    bench.records([seeded(update(1, 5.0, 0))]).pass_end(5.0);
    assert_eq!(bench.only(Level::Connection).measures.active, 1);
}

/// *Scenario*: three connections are old enough, but there is room for two series; then the third connection closes.
/// *Guarantees*: the third connection is in the overflow series with its bytes and as active; the overflow series ends after it.
#[test]
fn series_without_room_are_folded() {
    let mut bench = Bench::new(&WindowConfig { max_series: 2, ..config(&[Level::Connection]) });
    bench.records((1..=3).map(|n| seeded(update(n, 5.0, n)))).pass_end(5.0);
    let folded = bench.series(Level::Connection)[2];
    assert_eq!((folded.measures.active, folded.measures.totals.sent_bytes), (1, 3));
    bench.records([seeded(close(3, 10.0, 5))]).pass_end(10.0);
    let folded = bench.series(Level::Connection)[2];
    assert_eq!((folded.measures.active, folded.measures.totals.sent_bytes, folded.ended), (0, 5, false));
    bench.pass_end(15.0);
    assert!(bench.series(Level::Connection)[2].ended);
    bench.pass_end(20.0);
    assert_eq!(bench.series(Level::Connection).len(), 2);
}

/// *Scenario*: a connection with a series gets a name.
/// *Guarantees*: the old series ends and a new one starts; together they have all bytes.
#[test]
fn a_new_name_is_a_new_series() {
    let workloads = Workloads::new();
    let mut bench = bench();
    bench.records([seeded(update(1, 5.0, 1))]).pass_end(5.0);
    bench
        .records([seeded(update(1, 10.0, 2)), workloads.named(seeded(update(1, 10.0, 4)), "nginx")])
        .pass_end(10.0);
    let [old, new] = bench.series(Level::Connection)[..] else { panic!() };
    assert_eq!((old.ended, old.measures.active, old.measures.totals.sent_bytes), (true, 0, 2));
    assert_eq!((new.ended, new.measures.active, new.measures.totals.sent_bytes), (false, 1, 4));
}
