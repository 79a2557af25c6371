//! Every transition: closes that were reported + losses that were counted = what happened, and none twice.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::{Duration, Instant};

use longwave_tests::churn::{Churn, Happened, Tally, tally};
use longwave_tests::config::{logs, merged};
use longwave_tests::longwave::Options;
use longwave_tests::telemetry::Metrics;
use longwave_tests::{Finished, Longwave, balance, gate, losses};
use serde_json::{Value, json};

/// How long the last close may take to be reported.
const LIMIT: Duration = Duration::from_secs(90);

/// A Longwave that sees only the churn's connections, and shows only their ends.
fn start(churn: &Churn, receiver: Value) -> Longwave {
    let only_ends = json!({
        "processors": {"filter": {"exclude": {"events": ["open", "update"]}}},
        "service": {"pipelines": {"logs": {"processors": ["filter"]}}},
    });
    let options = Options { keep: longwave_tests::Record::is_final, ..Options::default() };
    Longwave::start_with(merged(logs(merged(churn.receiver("5s"), receiver)), only_ends), options)
}

/// All that was counted as lost and may have been a close.
fn lost(page: &Metrics) -> usize {
    usize::try_from(losses::of_closes_in_the_ring(page) + losses::of_events_in_queues(page)).unwrap()
}

/// Waits until everything that happened was reported or counted as lost, then stops.
fn finish(longwave: Longwave, happened: &Happened) -> (Tally, Metrics, Finished) {
    let all = happened.cookies.len();
    let deadline = Instant::now() + LIMIT;
    let mut page = longwave.telemetry();
    while longwave.records_seen() + lost(&page) < all && Instant::now() < deadline {
        longwave.await_count(all.saturating_sub(lost(&page)), Duration::from_secs(1));
        page = longwave.telemetry();
    }
    balance::assert_balances(&longwave);
    page = longwave.telemetry();
    let finished = longwave.stop();
    let tally = tally(&happened.cookies, &finished.records);
    eprintln!(
        "{} connections in {:?} ({:.0}/s): {} of {all} closes reported; lost in the ring {}, in queues {} (opens too)",
        all / 2,
        happened.elapsed,
        (all / 2) as f64 / happened.elapsed.as_secs_f64(),
        tally.seen,
        losses::of_closes_in_the_ring(&page),
        losses::of_events_in_queues(&page),
    );
    (tally, page, finished)
}

/// Closes that may be missing uncounted: none on a stock kernel. On another one, one close in about 1.4 million was missing once; the cause
/// is not established (some kernels suppress tracing programs while certain processes are current).
fn suppressed(all: usize) -> usize {
    if gate::stock_kernel() { 0 } else { all / 10_000 }
}

/// Seen + counted = happened, to the unit (on a stock kernel). Queues count opens and closes together, so where they overflowed the count is a bound.
fn assert_adds_up(tally: &Tally, page: &Metrics, happened: &Happened) {
    assert_eq!(tally.twice, Vec::<u64>::new(), "closes reported twice");
    let all = u64::try_from(happened.cookies.len()).unwrap();
    let (ring, queues) = (losses::of_closes_in_the_ring(page), losses::of_events_in_queues(page));
    let missing = all - tally.seen;
    let unseen = u64::try_from(suppressed(happened.cookies.len())).unwrap();
    assert!(
        missing >= ring && missing <= ring + queues + unseen,
        "{missing} of {all} closes are missing, counted were {ring} in the ring and {queues} in queues\n{}",
        page.show()
    );
}

/// *Scenario*: 100,000 connections open and close as fast as two cores go.
/// *Guarantees*: closes reported + losses counted = what happened, none twice.
#[test]
fn a_hundred_thousand_as_fast_as_it_goes() {
    let Some(_turn) = gate::privileged("a_hundred_thousand_as_fast_as_it_goes") else { return };
    let churn = Churn::new(2);
    let longwave = start(&churn, json!({}));
    let happened = churn.run(100_000, None);
    let (tally, page, _) = finish(longwave, &happened);
    assert_adds_up(&tally, &page, &happened);
}

/// *Scenario*: 10,000 connections a second for five seconds.
/// *Guarantees*: no loss at all, not even a counted one (on a stock kernel, where this test runs in the virtual machine).
#[test]
fn ten_thousand_a_second_lose_nothing() {
    let Some(_turn) = gate::privileged("ten_thousand_a_second_lose_nothing") else { return };
    let churn = Churn::new(2);
    let longwave = start(&churn, json!({}));
    let happened = churn.run(50_000, Some(10_000));
    let (tally, page, finished) = finish(longwave, &happened);
    assert_adds_up(&tally, &page, &happened);
    assert_eq!(lost(&page), 0, "{}", page.show());
    let unseen = suppressed(happened.cookies.len());
    let (missing, otherwise) = (&tally.missing, &tally.otherwise);
    assert!(missing.len() + otherwise.len() <= unseen, "{missing:?} {otherwise:?}\n{}", finished.stderr);
}

/// *Scenario*: a ring for transitions of one page, 20,000 connections as fast as they go.
/// *Guarantees*: what the ring could not take is counted, one by one.
#[test]
fn tiny_ring() {
    let Some(_turn) = gate::privileged("tiny_ring") else { return };
    let churn = Churn::new(2);
    let longwave = start(&churn, json!({"transitions_ring_size": 4096}));
    let happened = churn.run(20_000, None);
    let (tally, page, _) = finish(longwave, &happened);
    assert_adds_up(&tally, &page, &happened);
}

/// *Scenario*: a connection table for 16, 200 connections held open at once and then closed, three times.
/// *Guarantees*: a close without an entry is reported all the same or counted; none twice.
#[test]
fn tiny_table() {
    let Some(_turn) = gate::privileged("tiny_table") else { return };
    let churn = Churn::new(2);
    let longwave = start(&churn, json!({"max_connections": 16}));
    let happened = churn.run_held(200, 3);
    let (tally, page, _) = finish(longwave, &happened);
    assert_adds_up(&tally, &page, &happened);
}

/// The loopback device's receive packet steering, put back when dropped.
struct Steering {
    before: String,
}

const RPS: &str = "/sys/class/net/lo/queues/rx-0/rps_cpus";

impl Steering {
    /// Loopback's segments are handled on either of two CPUs, by interrupt.
    fn on() -> Self {
        let before = fs::read_to_string(RPS).unwrap();
        fs::write(RPS, "3").unwrap_or_else(|error| panic!("{RPS}: {error}"));
        Self { before: before.trim().to_owned() }
    }
}

impl Drop for Steering {
    fn drop(&mut self) {
        let _ = fs::write(RPS, &self.before);
    }
}

/// *Scenario*: RPS on for loopback, connections as fast as they go until `state` was skipped at least once (bounded).
/// *Guarantees*: `state_again` caught what `state` missed: every close is reported or counted, none is missing.
/// Meaningful on stock kernels only: others suppress tracing programs for reasons of their own.
#[test]
fn rps_none_missing() {
    let Some(_turn) = gate::privileged("rps_none_missing") else { return };
    if !gate::stock_kernel() {
        eprintln!(
            "SKIPPED rps_none_missing: not a stock kernel (LONGWAVE_STOCK_KERNEL=1 runs it all the same)"
        );
        return;
    }
    let _steering = Steering::on();
    let churn = Churn::new(2);
    let longwave = start(&churn, json!({}));
    let mut happened = Happened { cookies: Vec::new(), elapsed: Duration::ZERO };
    for _ in 0..20 {
        let more = churn.run(10_000, None);
        happened.cookies.extend(more.cookies);
        happened.elapsed += more.elapsed;
        if losses::recursion_misses(&longwave.telemetry(), "state") > 0 {
            break;
        }
    }
    let (tally, page, _) = finish(longwave, &happened);
    let (first, second) =
        (losses::recursion_misses(&page, "state"), losses::recursion_misses(&page, "state_again"));
    eprintln!("state was skipped {first} times, state_again {second} times");
    assert!(first > 0, "inconclusive: state was never skipped\n{}", page.show());
    assert_adds_up(&tally, &page, &happened);
}
