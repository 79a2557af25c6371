//! Tests of when windows start and end, and of which records they contain.

use longwave_pipeline::model::Level;

use super::*;

/// *Scenario*: records and watermarks of three passes.
/// *Guarantees*: windows are aligned to the interval, contiguous, and contain the records of their tick.
#[test]
fn a_window_for_each_pass() {
    let mut bench = Bench::new(&config(&[Level::Workload]));
    for (pass, bytes) in [(5.0, 10), (10.0, 20), (15.0, 30)] {
        bench.records([update(1, pass, bytes)]).pass_end(pass);
    }
    assert_eq!(bench.times(), [(0.0, 5.0), (5.0, 10.0), (10.0, 15.0)]);
    assert_eq!(bench.sent(Level::Workload), [10, 20, 30]);
}

/// *Scenario*: a close that was observed after the boundary arrives before the watermark of that boundary.
/// *Guarantees*: it waits, is counted as held, and is added to the window of its tick.
#[test]
fn a_record_of_the_next_window_waits() {
    let mut bench = Bench::new(&config(&[Level::Workload]));
    bench.records([update(1, 5.0, 1), close(2, 10.0, 200), update(2, 5.0, 2)]);
    assert_eq!(bench.accounting.nodes()[0].held(), 1);
    bench.pass_end(5.0);
    assert_eq!(bench.accounting.nodes()[0].held(), 0);
    bench.pass_end(10.0);
    assert_eq!(bench.sent(Level::Workload), [3, 200]);
}

/// *Scenario*: a record of a window that was already exported.
/// *Guarantees*: it is added to the open window, so that nothing is lost.
#[test]
fn a_late_record_is_added_to_the_open_window() {
    let mut bench = Bench::new(&config(&[Level::Workload]));
    bench.records([update(1, 5.0, 1)]).pass_end(5.0).records([update(1, 5.0, 50)]).pass_end(10.0);
    assert_eq!(bench.sent(Level::Workload), [1, 50]);
}

/// *Scenario*: there is a pass every 15 seconds; windows are 5 seconds long.
/// *Guarantees*: each pass closes one window that has its exact times and all its records.
#[test]
fn rare_passes_make_longer_windows() {
    let mut bench = Bench::new(&config(&[Level::Workload]));
    bench.records([update(1, 5.0, 1)]).pass_end(5.0);
    bench.records([close(2, 10.0, 10), update(1, 20.0, 100)]).pass_end(20.0);
    bench.records([update(1, 35.0, 1000)]).pass_end(37.0);
    assert_eq!(bench.times(), [(0.0, 5.0), (5.0, 20.0), (20.0, 35.0)]);
    assert_eq!(bench.sent(Level::Workload), [1, 110, 1000]);
}

/// *Scenario*: there is a pass every second; windows are 5 seconds long.
/// *Guarantees*: a watermark within a window closes nothing.
#[test]
fn frequent_passes_share_a_window() {
    let mut bench = Bench::new(&config(&[Level::Workload]));
    for second in 1..=10 {
        bench.records([update(1, second.into(), 1)]).pass_end(second.into());
    }
    assert_eq!(bench.times(), [(0.0, 5.0), (5.0, 10.0)]);
    assert_eq!(bench.sent(Level::Workload), [5, 5]);
}

/// *Scenario*: the clock is set back by 8 seconds.
/// *Guarantees*: windows do not overlap; records that arrive before the clock catches up are in the open window.
#[test]
fn a_clock_that_steps_back_does_not_make_windows_overlap() {
    let mut bench = Bench::new(&config(&[Level::Workload]));
    bench.records([update(1, 5.0, 1)]).pass_end(5.0).records([update(1, 10.0, 2)]).pass_end(10.0);
    bench.records([update(1, 2.0, 4)]).pass_end(2.0).records([update(1, 7.0, 8)]).pass_end(7.0);
    bench.records([update(1, 12.0, 16)]).pass_end(12.0).records([update(1, 17.0, 32)]).pass_end(17.0);
    assert_eq!(bench.times(), [(0.0, 5.0), (5.0, 10.0), (10.0, 15.0)]);
    // The record of second 17 waits for its window, which is the open one.
    assert_eq!(bench.sent(Level::Workload), [1, 2, 28]);
    bench.pass_end(20.0);
    assert_eq!(bench.sent(Level::Workload), [1, 2, 28, 32]);
}

/// *Scenario*: the receiver stops between two boundaries, with a close whose tick is the window's nominal end.
/// *Guarantees*: the last window ends at the receiver's stop and has all records; there is no window after it.
#[test]
fn the_last_watermark_closes_a_partial_window() {
    let mut bench = Bench::new(&config(&[Level::Workload]));
    bench.records([update(1, 5.0, 1)]).pass_end(5.0);
    bench.records([close(1, 10.0, 5)]).last(7.25).finish();
    assert_eq!(bench.times(), [(0.0, 5.0), (5.0, 7.25)]);
    assert_eq!(bench.sent(Level::Workload), [1, 5]);
}

/// *Scenario*: the receiver stops after a missed pass; the last watermark is after the open window's end.
/// *Guarantees*: the complete window keeps its boundary, and a partial window follows.
#[test]
fn the_last_watermark_closes_complete_windows_first() {
    let mut bench = Bench::new(&config(&[Level::Workload]));
    bench.records([update(1, 5.0, 1), close(2, 10.0, 2)]).last(7.0);
    assert_eq!(bench.times(), [(0.0, 5.0), (5.0, 7.0)]);
    assert_eq!(bench.sent(Level::Workload), [1, 2]);
}

/// *Scenario*: the last watermark is on the boundary, or before it, while records of the next window wait.
/// *Guarantees*: these records are exported too.
#[test]
fn the_last_watermark_exports_all_records() {
    let mut on_boundary = Bench::new(&config(&[Level::Workload]));
    on_boundary.records([update(1, 5.0, 1), close(2, 10.0, 2)]).last(5.0);
    assert_eq!((on_boundary.times(), on_boundary.sent(Level::Workload)), (vec![(0.0, 5.0)], vec![3]));

    let mut before = Bench::new(&config(&[Level::Workload]));
    before.records([update(1, 5.0, 1)]).pass_end(5.0).records([close(1, 10.0, 2)]).last(4.0);
    assert_eq!((before.times(), before.sent(Level::Workload)), (vec![(0.0, 5.0), (5.0, 10.0)], vec![1, 2]));
}

/// *Scenario*: the input ends without a last watermark, as a truncated record file does.
/// *Guarantees*: the records are exported, in a window that ends at their latest tick.
#[test]
fn the_end_of_the_input_exports_all_records() {
    let mut bench = Bench::new(&config(&[Level::Workload]));
    bench
        .records([update(1, 5.0, 1)])
        .pass_end(5.0)
        .records([update(1, 6.0, 2), update(1, 8.0, 4)])
        .finish()
        .finish();
    assert_eq!(bench.times(), [(0.0, 5.0), (5.0, 8.0)]);
    assert_eq!(bench.sent(Level::Workload), [1, 6]);
}

/// *Scenario*: a host without connections.
/// *Guarantees*: there are windows without series, so that a table can report that there were no connections.
#[test]
fn windows_without_records_are_empty() {
    let mut bench = Bench::new(&config(&[Level::Workload]));
    bench.finish().pass_end(5.0).pass_end(10.0);
    assert_eq!(bench.times(), [(0.0, 5.0), (5.0, 10.0)]);
    assert!(bench.windows.iter().all(|window| window.series.is_empty()));
}

/// *Scenario*: two receivers feed the pipeline and one of them stops.
/// *Guarantees*: the other's windows follow without a gap or an overlap, and are aligned again.
#[test]
fn windows_continue_after_one_of_two_receivers_stops() {
    let mut bench = Bench::new(&config(&[Level::Workload]));
    bench.records([update(1, 5.0, 1)]).last(3.0).records([update(2, 5.0, 2)]).pass_end(5.0).pass_end(10.0);
    assert_eq!(bench.times(), [(0.0, 3.0), (3.0, 5.0), (5.0, 10.0)]);
    assert_eq!(bench.sent(Level::Workload), [1, 2, 0]);
}

/// *Scenario*: an update waits for its window; the clock is set back, and the connection's close belongs to the open window.
/// *Guarantees*: the close does not overtake the update: the connection is opened once and closed once.
#[test]
fn a_close_does_not_overtake_waiting_records() {
    let mut bench = Bench::new(&config(&[Level::Workload]));
    bench.pass_end(5.0).records([update(1, 15.0, 1), close(1, 10.0, 2)]).pass_end(10.0).pass_end(15.0);
    let measures = &bench.only(Level::Workload).measures;
    assert_eq!(
        (measures.totals.sent_bytes, measures.opened, measures.closed_total(), measures.active),
        (3, 1, 1, 0)
    );
}
