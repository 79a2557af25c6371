//! Tests of `memory_limiter`.

use std::cell::Cell;
use std::time::{Duration, Instant};

use longwave_config::GoDuration;
use longwave_pipeline::component::{Accounting, Processor, ProcessorContext};
use longwave_pipeline::model::{Batch, Event, PassEnd, UnixNanos};
use longwave_testing::golden;

use super::config::MemoryLimits;
use super::limiter::{Memory, MemoryLimiter};
use super::*;
use crate::testing::{context, problems};

thread_local! {
    /// MiB that the process uses, and how often the allocator was called to give memory back. Each test has a thread of its own.
    static USED: Cell<u64> = const { Cell::new(0) };
    static RELEASES: Cell<u64> = const { Cell::new(0) };
}

const MEMORY: Memory =
    Memory { used: || Some(USED.get() << 20), release: || RELEASES.set(RELEASES.get() + 1) };

/// Limits of 80 and 100 MiB. Each batch measures.
fn config() -> MemoryLimiterConfig {
    MemoryLimiterConfig {
        check_interval: GoDuration::from(Duration::from_nanos(1)),
        limit_mib: 100,
        ..MemoryLimiterConfig::default()
    }
}

struct Bench {
    processor: MemoryLimiterProcessor,
    context: ProcessorContext,
    accounting: Accounting,
}

impl Bench {
    /// `other`: the context of another processor of the graph.
    fn new(pipeline: &str, config: &MemoryLimiterConfig, other: Option<&ProcessorContext>) -> Self {
        let (mut context, accounting) = context("memory_limiter", pipeline, false);
        if let Some(other) = other {
            context.shared = other.shared.clone();
        }
        let processor = MemoryLimiterProcessor::with_memory(config, &context, MEMORY).unwrap();
        Self { processor, context, accounting }
    }

    fn send(&mut self, batch: Batch) -> Vec<Batch> {
        self.context.node.add_incoming(batch.items());
        let mut out = Vec::new();
        self.processor.process(batch, &mut out).unwrap();
        out.iter().for_each(|batch| self.context.node.add_outgoing(batch.items()));
        out
    }

    /// Sends one record of each event, and returns the events that passed.
    fn passed(&mut self) -> Vec<Event> {
        let out = self.send(Batch::records(golden::records()));
        let records = out.iter().flat_map(|batch| match batch {
            Batch::Records(records) => records.to_vec(),
            other => panic!("{other:?}"),
        });
        records.map(|record| record.event).collect()
    }

    fn dropped(&self) -> Vec<(&'static str, u64)> {
        let dropped = self.context.node.dropped();
        dropped.into_iter().map(|(reason, count)| (reason.0, count.items)).collect()
    }
}

const ALL: [Event; 5] = [Event::Open, Event::Update, Event::Close, Event::Fail, Event::Vanished];

/// *Scenario*: the memory of the process exceeds the soft limit and falls below it again, in a logs pipeline.
/// *Guarantees*: records are dropped only in between, under their own reason with their traffic. Watermarks pass. The accounting balances.
#[test]
fn records_are_refused_above_the_limit() {
    let mut bench = Bench::new("logs", &config(), None);
    USED.set(80);
    assert_eq!(bench.passed(), ALL);
    USED.set(81);
    assert_eq!(bench.passed(), []);
    let pass_end = PassEnd { tick: UnixNanos(5), last: false };
    let out = bench.send(Batch::PassEnd(pass_end));
    assert!(matches!(out.as_slice(), [Batch::PassEnd(found)] if *found == pass_end), "{out:?}");
    assert_eq!(bench.passed(), []);
    USED.set(79);
    assert_eq!(bench.passed(), ALL);
    assert_eq!(bench.dropped(), [("memory_limit", 10)]);
    let traffic = Batch::records(golden::records()).traffic_bytes();
    assert_eq!(bench.context.node.dropped()[0].1.bytes, traffic.saturating_mul(2));
    assert!(bench.accounting.imbalances().is_empty());
}

/// *Scenario*: the same in a metrics pipeline.
/// *Guarantees*: the last records of connections pass, so that windows do not count them as open forever.
#[test]
fn ends_of_connections_pass_to_windows() {
    let mut bench = Bench::new("metrics", &config(), None);
    USED.set(200);
    assert_eq!(bench.passed(), [Event::Close, Event::Fail, Event::Vanished]);
    assert_eq!(bench.dropped(), [("memory_limit", 2)]);
    assert!(bench.accounting.imbalances().is_empty());
}

/// *Scenario*: the processors of two pipelines with one id, and one with a changed limit after a reload.
/// *Guarantees*: the first two share the measurement: within the interval, the second does what the first has decided. The third has its own limit.
#[test]
fn pipelines_share_a_limiter() {
    let slow = MemoryLimiterConfig { check_interval: GoDuration::from_secs(3600), ..config() };
    let mut one = Bench::new("logs", &slow, None);
    let mut other = Bench::new("metrics", &slow, Some(&one.context));
    USED.set(200);
    assert_eq!(one.passed(), []);
    USED.set(1);
    assert_eq!(other.passed(), [Event::Close, Event::Fail, Event::Vanished]);
    // A reload with another limit.
    let larger = MemoryLimiterConfig { limit_mib: 1000, ..slow };
    USED.set(200);
    assert_eq!(Bench::new("logs", &larger, Some(&one.context)).passed(), ALL);
}

/// *Scenario*: the memory is above the soft limit for a minute, then above the limit for three checks, with one check per second.
/// *Guarantees*: nothing is measured between two checks. The allocator is called every 10 s above the soft limit, and at every check above the
/// limit, and never below.
#[test]
fn memory_is_given_back_as_configured() {
    let config = MemoryLimiterConfig { check_interval: GoDuration::from_secs(1), ..config() };
    let limits = MemoryLimits { soft: 80 << 20, hard: 100 << 20 };
    let limiter = MemoryLimiter::new("memory_limiter", &config, limits, MEMORY);
    let start = Instant::now();
    let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
    USED.set(50);
    assert!(!limiter.refuses(at(0.0)));
    USED.set(90);
    assert!(!limiter.refuses(at(0.9)), "the last check is still valid");
    let refused = (1..=60).filter(|second| limiter.refuses(at(f64::from(*second)))).count();
    assert_eq!((refused, RELEASES.get()), (60, 6));
    USED.set(101);
    assert!((61..64).all(|second| limiter.refuses(at(f64::from(second)))));
    assert_eq!(RELEASES.get(), 9);
    USED.set(80);
    assert!(!limiter.refuses(at(64.0)));
    assert_eq!(RELEASES.get(), 9);
}

/// *Scenario*: limits in MiB and in percent, with and without a spike limit.
/// *Guarantees*: they are those of the Collector: MiB take precedence, and a spike limit that is not set is a fifth of the limit.
#[test]
fn limits_are_those_of_the_collector() {
    let limits =
        |limit_mib, spike_limit_mib, limit_percentage, spike_limit_percentage, memory: Option<u64>| {
            let config = MemoryLimiterConfig {
                limit_mib,
                spike_limit_mib,
                limit_percentage,
                spike_limit_percentage,
                ..config()
            };
            config.limits(memory.map(|mib| mib << 20)).map(|limits| (limits.soft >> 20, limits.hard >> 20))
        };
    assert_eq!(limits(4000, 800, 0, 0, None), Some((3200, 4000)));
    assert_eq!(limits(100, 0, 80, 0, Some(1000)), Some((80, 100)));
    assert_eq!(limits(0, 0, 80, 15, Some(1000)), Some((650, 800)));
    assert_eq!(limits(0, 0, 50, 0, Some(1000)), Some((400, 500)));
    assert_eq!(limits(0, 0, 50, 0, None), None);
}

/// *Scenario*: valid settings, and invalid ones.
/// *Guarantees*: each invalid one is refused with its path, the reason and the remedy.
#[test]
fn bad_settings_are_refused() {
    let of = |yaml: &str| problems(&factory(), "memory_limiter", yaml);
    assert_eq!(of("{check_interval: 1s, limit_mib: 4000, spike_limit_mib: 800}"), "valid");
    assert_eq!(of("{check_interval: 1s, limit_percentage: 80, spike_limit_percentage: 15}"), "valid");
    insta::assert_snapshot!(
        [
            of("{}"),
            of("{check_interval: 1s, limit_mib: 10, spike_limit_mib: 10}"),
            of("{check_interval: 1s, limit_percentage: 101}"),
            of("{check_interval: 1s, limit_percentage: 10, spike_limit_percentage: 20}"),
            of("{check_interval: 1s, limit_mib: 10, min_gc_interval_when_hard_limited: 20s}"),
            of("{check_interval: 2h, limit_mib: 99999999999}"),
        ]
        .join("\n")
    );
}

/// *Scenario*: the memory of this process, and a request to give memory back.
/// *Guarantees*: the process uses some memory, and not more than it may.
#[test]
fn the_memory_of_this_process_is_measured() {
    use longwave_pipeline::component::host::{memory_limit, release_memory, resident_memory};
    let proc = std::path::Path::new("/proc");
    release_memory();
    let used = resident_memory(proc).unwrap();
    assert!(used > 1 << 20 && used < memory_limit(proc).unwrap(), "{used}");
}
