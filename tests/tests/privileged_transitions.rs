//! Closes of many short connections. Each close is reported once or counted as lost.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use longwave_testing::{gate, harness, tests};
use longwave_tests::churn::{Churn, Tally, tally};
use longwave_tests::config::{logs, merged};
use longwave_tests::end::EndId;
use longwave_tests::kernel_trace::{self, KernelTrace, UnreportedCloses};
use longwave_tests::longwave::Options;
use longwave_tests::telemetry::Metrics;
use longwave_tests::{Finished, Longwave, balance, losses};
use serde_json::{Value, json};

/// Maximum wait for the last close.
const LIMIT: Duration = Duration::from_secs(90);

/// Number of passes without a new record after which no further close is expected.
const SILENT_PASSES: u64 = 2;

/// A Longwave that reports only the final records of the churn's connections.
struct Watch {
    longwave: Longwave,
    /// Trace of the kernel. `None` if the kernel runs BPF programs at every close.
    trace: Option<KernelTrace>,
}

/// Result of a run.
struct Outcome {
    tally: Tally,
    page: Metrics,
    finished: Finished,
    causes: UnreportedCloses,
}

// === impl Watch ===

impl Watch {
    fn start(churn: &Churn, receiver: Value) -> Self {
        let only_finals = json!({
            "processors": {"filter": {"exclude": {"events": ["open", "update"]}}},
            "service": {"pipelines": {"logs": {"processors": ["filter"]}}},
        });
        let options = Options { keep: longwave_tests::Record::is_final, ..Options::default() };
        let trace =
            (!gate::stock_kernel() && kernel_trace::available()).then(|| KernelTrace::of(&churn.ports()));
        let config = merged(logs(merged(churn.receiver("5s"), receiver)), only_finals);
        Self { longwave: Longwave::start_with(config, options), trace }
    }

    /// Waits until every close is reported or counted as lost, or no more records arrive, and stops Longwave.
    fn finish(self, ends: &[EndId]) -> Outcome {
        let Self { longwave, trace } = self;
        let all = ends.len();
        let deadline = Instant::now() + LIMIT;
        let mut page = longwave.telemetry();
        let (mut seen, mut since) = (0, passes(&page));
        while longwave.records_seen() + lost(&page) < all
            && passes(&page) <= since + SILENT_PASSES
            && Instant::now() < deadline
        {
            longwave.await_count(all.saturating_sub(lost(&page)), Duration::from_secs(1));
            page = longwave.telemetry();
            if longwave.records_seen() > seen {
                (seen, since) = (longwave.records_seen(), passes(&page));
            }
        }
        balance::assert_balances(&longwave);
        page = longwave.telemetry();
        let finished = longwave.stop();
        let tally = tally(ends, &finished.records);
        let unseen = tally.unseen();
        let causes = match &trace {
            Some(trace) if !unseen.is_empty() => trace.explain(ends, &unseen),
            _ => UnreportedCloses { lost: unseen, ..UnreportedCloses::default() },
        };
        eprintln!(
            "{} of {all} closes reported; lost in the ring {}, in queues {} (with opens); unobservable {}; in the trace {:?}",
            tally.seen,
            losses::of_closes_in_the_ring(&page),
            losses::of_events_in_queues(&page),
            causes.unobservable.len(),
            trace.as_ref().map(KernelTrace::recorded),
        );
        Outcome { tally, page, finished, causes }
    }
}

/// Returns the number of passes so far.
fn passes(page: &Metrics) -> u64 {
    page.sum("longwave_receiver_passes", &[])
}

/// Returns the number of losses that may have been closes.
fn lost(page: &Metrics) -> usize {
    usize::try_from(losses::of_closes_in_the_ring(page) + losses::of_events_in_queues(page)).unwrap()
}

// === impl Outcome ===

impl Outcome {
    /// Asserts that every close was reported once, was counted as lost, or happened without a BPF program. Queues count lost opens and
    /// closes together, so their count is only an upper bound for closes.
    fn assert_adds_up(&self) {
        let Self { tally, page, causes, .. } = self;
        assert_eq!(tally.twice, Vec::<u64>::new(), "closes reported twice");
        let (ring, queues) = (losses::of_closes_in_the_ring(page), losses::of_events_in_queues(page));
        let unseen = tally.unseen().len() as u64;
        let max = ring + queues + causes.unobservable.len() as u64;
        assert!(
            unseen >= ring && unseen <= max,
            "{unseen} closes are missing, but {ring} were counted as lost in the ring and {queues} in queues\n{}",
            self.evidence()
        );
    }

    /// Asserts that nothing was lost.
    fn assert_nothing_lost(&self) {
        self.assert_adds_up();
        assert_eq!(lost(&self.page), 0, "{}", self.evidence());
        assert!(self.causes.lost.is_empty(), "{}", self.evidence());
    }

    /// Formats everything that may explain a missing close.
    fn evidence(&self) -> String {
        let Self { tally, page, finished, causes } = self;
        let stderr: Vec<&str> = finished.stderr.lines().rev().take(30).collect();
        format!(
            "missing {}, ended otherwise {:?}; by the trace of the kernel, {} of these were unobservable and {} lost:\n{}\n{}\n{}",
            tally.missing.len(),
            tally.not_closed,
            causes.unobservable.len(),
            causes.lost.len(),
            causes.evidence,
            page.show(),
            stderr.into_iter().rev().collect::<Vec<_>>().join("\n"),
        )
    }
}

/// *Scenario*: 100,000 connections open and close as fast as possible.
/// *Guarantees*: every close is reported once or counted as lost.
fn a_hundred_thousand_as_fast_as_possible() {
    let _turn = gate::privileged();
    let churn = Churn::new(2);
    let watch = Watch::start(&churn, json!({}));
    let ends = churn.run(100_000, None);
    watch.finish(&ends).assert_adds_up();
}

/// *Scenario*: 10,000 connections per second for five seconds.
/// *Guarantees*: every close is reported, and no loss is counted.
fn ten_thousand_a_second_lose_nothing() {
    let _turn = gate::privileged();
    let churn = Churn::new(2);
    let watch = Watch::start(&churn, json!({}));
    let ends = churn.run(50_000, Some(10_000));
    watch.finish(&ends).assert_nothing_lost();
}

/// *Scenario*: the transitions ring has one page, and 20,000 connections open and close as fast as possible.
/// *Guarantees*: every close that does not fit into the ring is counted.
fn tiny_ring() {
    let _turn = gate::privileged();
    let churn = Churn::new(2);
    let watch = Watch::start(&churn, json!({"transitions_ring_size": 4096}));
    let ends = churn.run(20_000, None);
    watch.finish(&ends).assert_adds_up();
}

/// *Scenario*: the connection table has 16 slots. 200 connections are opened and then closed, three times.
/// *Guarantees*: the close of a connection without a slot is reported once, or counted.
fn tiny_table() {
    let _turn = gate::privileged();
    let churn = Churn::new(2);
    let watch = Watch::start(&churn, json!({"max_connections": 16}));
    let ends = churn.run_together(200, 3);
    watch.finish(&ends).assert_adds_up();
}

/// Receive packet steering of loopback. The former setting is restored when dropped.
struct Steering {
    before: String,
}

const RPS: &str = "/sys/class/net/lo/queues/rx-0/rps_cpus";

impl Steering {
    /// Distributes the segments of loopback over two CPUs, by interrupts.
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

/// *Scenario*: receive packet steering on loopback. Connections open and close as fast as possible, until the kernel has skipped `state`,
/// in at most 20 rounds.
/// *Guarantees*: `state_again` reports the closes for which `state` was skipped. Every close is reported once or counted as lost.
fn rps_none_missing() {
    let _turn = gate::privileged();
    let _steering = Steering::on();
    let churn = Churn::new(2);
    let watch = Watch::start(&churn, json!({}));
    let mut ends = Vec::new();
    for _ in 0..20 {
        ends.extend(churn.run(10_000, None));
        if losses::recursion_misses(&watch.longwave.telemetry(), "state") > 0 {
            break;
        }
    }
    let outcome = watch.finish(&ends);
    let page = &outcome.page;
    let (first, second) =
        (losses::recursion_misses(page, "state"), losses::recursion_misses(page, "state_again"));
    eprintln!("state was skipped {first} times, state_again {second} times");
    assert!(first > 0, "inconclusive: state was never skipped\n{}", page.show());
    outcome.assert_adds_up();
}

fn main() -> ExitCode {
    harness::run(tests![
        a_hundred_thousand_as_fast_as_possible,
        ten_thousand_a_second_lose_nothing,
        tiny_ring,
        tiny_table,
        rps_none_missing,
    ])
}
