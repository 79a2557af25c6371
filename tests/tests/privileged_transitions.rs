//! Every transition: closes that were reported + losses that were counted = what happened, and none twice.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::{Duration, Instant};

use longwave_testing::gate;
use longwave_tests::churn::{Churn, Happened, Tally, tally};
use longwave_tests::config::{logs, merged};
use longwave_tests::longwave::Options;
use longwave_tests::telemetry::Metrics;
use longwave_tests::witness::{self, Testimony, Witness};
use longwave_tests::{Finished, Longwave, balance, losses};
use serde_json::{Value, json};

/// How long the last close may take to be reported.
const LIMIT: Duration = Duration::from_secs(90);

/// Passes without a new record after which no close comes any more.
const SILENT_PASSES: u64 = 2;

/// A Longwave that sees only the churn's connections, and shows only their ends.
struct Watch {
    longwave: Longwave,
    /// Where the kernel may keep some closes from all BPF programs, what it traced itself.
    witness: Option<Witness>,
}

/// What came of it.
struct Outcome {
    tally: Tally,
    page: Metrics,
    finished: Finished,
    testimony: Testimony,
}

// === impl Watch ===

impl Watch {
    fn start(churn: &Churn, receiver: Value) -> Self {
        let only_ends = json!({
            "processors": {"filter": {"exclude": {"events": ["open", "update"]}}},
            "service": {"pipelines": {"logs": {"processors": ["filter"]}}},
        });
        let options = Options { keep: longwave_tests::Record::is_final, ..Options::default() };
        let witness = (!gate::stock_kernel() && witness::available()).then(|| Witness::of(&churn.ports()));
        let config = merged(logs(merged(churn.receiver("5s"), receiver)), only_ends);
        Self { longwave: Longwave::start_with(config, options), witness }
    }

    /// Waits until everything that happened was reported or counted as lost, or nothing more comes; then stops.
    fn finish(self, happened: &Happened) -> Outcome {
        let Self { longwave, witness } = self;
        let all = happened.ends.len();
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
        let tally = tally(&happened.ends, &finished.records);
        let unseen = tally.unseen();
        let testimony = match &witness {
            Some(witness) if !unseen.is_empty() => witness.judge(&happened.ends, &unseen),
            _ => Testimony { lost: unseen, ..Testimony::default() },
        };
        eprintln!(
            "{} connections in {:?} ({:.0}/s): {} of {all} closes reported; lost in the ring {}, in queues {} (opens too); \
             unobservable {}; witnessed {:?}",
            all / 2,
            happened.elapsed,
            (all / 2) as f64 / happened.elapsed.as_secs_f64(),
            tally.seen,
            losses::of_closes_in_the_ring(&page),
            losses::of_events_in_queues(&page),
            testimony.unobservable.len(),
            witness.as_ref().map(Witness::recorded),
        );
        Outcome { tally, page, finished, testimony }
    }
}

/// Passes so far.
fn passes(page: &Metrics) -> u64 {
    page.sum("longwave_receiver_passes", &[])
}

/// All that was counted as lost and may have been a close.
fn lost(page: &Metrics) -> usize {
    usize::try_from(losses::of_closes_in_the_ring(page) + losses::of_events_in_queues(page)).unwrap()
}

// === impl Outcome ===

impl Outcome {
    /// Closes reported + counted as lost + kept from all BPF programs by the kernel = what happened, to the unit. Queues count opens and
    /// closes together, so where they overflowed the count is a bound.
    fn assert_adds_up(&self) {
        let Self { tally, page, testimony, .. } = self;
        assert_eq!(tally.twice, Vec::<u64>::new(), "closes reported twice");
        let (ring, queues) = (losses::of_closes_in_the_ring(page), losses::of_events_in_queues(page));
        let unseen = tally.unseen().len() as u64;
        let most = ring + queues + testimony.unobservable.len() as u64;
        assert!(
            unseen >= ring && unseen <= most,
            "{unseen} closes are missing: counted were {ring} in the ring and {queues} in queues\n{}",
            self.evidence()
        );
    }

    /// Nothing was lost, counted or not.
    fn assert_nothing_lost(&self) {
        self.assert_adds_up();
        assert_eq!(lost(&self.page), 0, "{}", self.evidence());
        assert!(self.testimony.lost.is_empty(), "{}", self.evidence());
    }

    /// All that may tell where a close went.
    fn evidence(&self) -> String {
        let Self { tally, page, finished, testimony } = self;
        let stderr: Vec<&str> = finished.stderr.lines().rev().take(30).collect();
        format!(
            "missing {}, ended otherwise {:?}; the kernel's trace says that of these {} were unobservable and {} lost:\n{}\n{}\n{}",
            tally.missing.len(),
            tally.otherwise,
            testimony.unobservable.len(),
            testimony.lost.len(),
            testimony.evidence,
            page.show(),
            stderr.into_iter().rev().collect::<Vec<_>>().join("\n"),
        )
    }
}

/// *Scenario*: 100,000 connections open and close as fast as two cores go.
/// *Guarantees*: closes reported + losses counted = what happened, none twice.
#[test]
fn a_hundred_thousand_as_fast_as_it_goes() {
    let Some(_turn) = gate::privileged("a_hundred_thousand_as_fast_as_it_goes") else { return };
    let churn = Churn::new(2);
    let watch = Watch::start(&churn, json!({}));
    let happened = churn.run(100_000, None);
    watch.finish(&happened).assert_adds_up();
}

/// *Scenario*: 10,000 connections a second for five seconds.
/// *Guarantees*: no loss at all, not even a counted one.
#[test]
fn ten_thousand_a_second_lose_nothing() {
    let Some(_turn) = gate::privileged("ten_thousand_a_second_lose_nothing") else { return };
    let churn = Churn::new(2);
    let watch = Watch::start(&churn, json!({}));
    let happened = churn.run(50_000, Some(10_000));
    watch.finish(&happened).assert_nothing_lost();
}

/// *Scenario*: a ring for transitions of one page, 20,000 connections as fast as they go.
/// *Guarantees*: what the ring could not take is counted, one by one.
#[test]
fn tiny_ring() {
    let Some(_turn) = gate::privileged("tiny_ring") else { return };
    let churn = Churn::new(2);
    let watch = Watch::start(&churn, json!({"transitions_ring_size": 4096}));
    let happened = churn.run(20_000, None);
    watch.finish(&happened).assert_adds_up();
}

/// *Scenario*: a connection table for 16, 200 connections held open at once and then closed, three times.
/// *Guarantees*: a close without an entry is reported all the same or counted; none twice.
#[test]
fn tiny_table() {
    let Some(_turn) = gate::privileged("tiny_table") else { return };
    let churn = Churn::new(2);
    let watch = Watch::start(&churn, json!({"max_connections": 16}));
    let happened = churn.run_held(200, 3);
    watch.finish(&happened).assert_adds_up();
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
#[test]
fn rps_none_missing() {
    let Some(_turn) = gate::privileged("rps_none_missing") else { return };
    let _steering = Steering::on();
    let churn = Churn::new(2);
    let watch = Watch::start(&churn, json!({}));
    let mut happened = Happened { ends: Vec::new(), elapsed: Duration::ZERO };
    for _ in 0..20 {
        let more = churn.run(10_000, None);
        happened.ends.extend(more.ends);
        happened.elapsed += more.elapsed;
        if losses::recursion_misses(&watch.longwave.telemetry(), "state") > 0 {
            break;
        }
    }
    let outcome = watch.finish(&happened);
    let page = &outcome.page;
    let (first, second) =
        (losses::recursion_misses(page, "state"), losses::recursion_misses(page, "state_again"));
    eprintln!("state was skipped {first} times, state_again {second} times");
    assert!(first > 0, "inconclusive: state was never skipped\n{}", page.show());
    outcome.assert_adds_up();
}
