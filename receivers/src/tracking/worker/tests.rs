use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;

use longwave_ebpf_abi::{ConnectionEvent, flag, kind};
use longwave_pipeline::component::{Health, HealthStatus, RecordOutput};
use longwave_pipeline::model::{Batch, Event, OwnerSource};
use rustix::event::{EventfdFlags, eventfd};

use super::super::owner::SharedCgroups;
use super::super::sink::Pipelines;
use super::super::source::{PassCounts, SourceCounts};
use super::super::timeline::{Reading, SystemClock};
use super::super::tracker::{LimitFields, Rules};
use super::*;

mod clock;
mod holders;

/// A scripted source: the transitions that each wait makes visible, and the samples of each pass.
struct Script {
    transitions: VecDeque<Vec<ConnectionEvent>>,
    samples: VecDeque<Vec<ConnectionEvent>>,
    waits_left: u32,
    fault: Option<String>,
    /// Why the next pass fails.
    failure: Option<io::Error>,
}

impl Source for Script {
    type PassError = io::Error;

    fn pass(&mut self, on: &mut dyn FnMut(Transition<'_>)) -> Result<PassCounts, io::Error> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        self.samples
            .pop_front()
            .unwrap_or_default()
            .iter()
            .for_each(|event| on(Transition::Connection(event)));
        Ok(PassCounts::default())
    }

    fn drain_transitions(&mut self, on: &mut dyn FnMut(Transition<'_>)) -> usize {
        let events = self.transitions.pop_front().unwrap_or_default();
        events.iter().for_each(|event| on(Transition::Connection(event)));
        events.len()
    }

    fn wait(&mut self, _: BorrowedFd<'_>, at_most: Duration) -> bool {
        // Ticks depend on real time.
        std::thread::park_timeout(at_most);
        self.waits_left -= 1;
        self.waits_left == 0
    }

    fn counts(&self) -> SourceCounts {
        SourceCounts::default()
    }

    fn fault(&self) -> Option<String> {
        self.fault.clone()
    }
}

fn event(kind: u8, cookie: u64, observed_ns: u64) -> ConnectionEvent {
    let flags = flag::START_KNOWN | flag::ESTABLISHED | flag::CLIENT;
    ConnectionEvent {
        kind,
        cookie,
        state: 1,
        flags,
        generation: 1,
        observed_ns,
        ..ConnectionEvent::default()
    }
}

fn stats() -> Arc<Stats> {
    Stats::new(&opentelemetry::global::meter("test"), "bpf", &Arc::default())
}

fn rules() -> Rules {
    Rules {
        boot: 1,
        idle_records: true,
        vanish_after: 36,
        max_connections: 100,
        shared_cgroups: SharedCgroups::default(),
        limits: LimitFields::default(),
    }
}

/// Scenario: one connection closes before the first pass. Another one is sampled once and stays open. Then the receiver is stopped.
/// Guarantees: at each tick updates come first, then closes, then the watermark. Watermarks grow, the last one has `last`, and nothing
/// follows it. No record has a tick at or before an earlier watermark.
#[test]
fn ticks_end_with_their_watermark() {
    let executor = tokio::runtime::Runtime::new().unwrap();
    let (output, mut receiver) = RecordOutput::pair(64);
    let rules = rules();
    let interval = Duration::from_millis(100);
    let sink = Pipelines::new(output, executor.handle().clone(), interval);
    let now = SystemClock.monotonic();
    let script = Script {
        transitions: VecDeque::from([vec![], vec![event(kind::CLOSE, 1, now)]]),
        samples: VecDeque::from([vec![event(kind::SAMPLE, 2, now)]]),
        waits_left: 4,
        fault: None,
        failure: None,
    };
    let timeline = Timeline::new(interval, Reading::now());
    let stop = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    let progress = Health::default().receiver("bpf", interval);
    let worker = Worker::new(
        script,
        Tracker::new(rules, sink),
        timeline,
        SystemClock,
        stats(),
        progress,
        HolderWalks::new(0, 0),
    );
    drop(worker.run(stop.as_fd()).unwrap());

    let (mut watermark, mut last, mut events) = (0, false, Vec::new());
    while let Ok(batch) = receiver.try_recv() {
        assert!(!last, "nothing follows the last watermark");
        match batch {
            Batch::Records(records) => {
                for record in records.iter() {
                    assert!(record.tick.0 > watermark, "{record:?} behind {watermark}");
                    events.push((record.id.cookie, record.event));
                }
            }
            Batch::PassEnd(end) => {
                assert!(end.tick.0 > watermark);
                (watermark, last) = (end.tick.0, end.last);
            }
            Batch::Window(_) => panic!("no windows here"),
        }
    }
    assert!(last);
    assert_eq!(events.iter().filter(|e| **e == (1, Event::Close)).count(), 1);
    assert!(
        events.iter().filter(|e| **e == (2, Event::Update)).count() >= 2,
        "an update, then idle ones: {events:?}"
    );
}

/// *Scenario*: a pass has more samples than a stride, and a close after the sample of its connection, within the second stride.
/// *Guarantees*: every sample has its update, and the close follows that of its connection.
#[test]
fn a_close_keeps_its_place_among_samples() {
    let executor = tokio::runtime::Runtime::new().unwrap();
    let (output, mut receiver) = RecordOutput::pair(64);
    let interval = Duration::from_secs(3600);
    let now = SystemClock.monotonic();
    let samples = |cookies: std::ops::Range<u64>| cookies.map(|cookie| event(kind::SAMPLE, cookie, now));
    let (closed, end) = (STRIDE as u64 + 2, STRIDE as u64 + 9);
    let close = [event(kind::CLOSE, closed, now)];
    let pass = samples(1..closed + 1).chain(close).chain(samples(closed + 1..end)).collect();
    let script = Script {
        transitions: VecDeque::new(),
        samples: VecDeque::from([pass]),
        waits_left: 1,
        fault: None,
        failure: None,
    };
    let stop = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    let worker = Worker::new(
        script,
        Tracker::new(rules(), Pipelines::new(output, executor.handle().clone(), interval)),
        Timeline::new(interval, Reading::now()),
        SystemClock,
        stats(),
        Health::default().receiver("bpf", interval),
        HolderWalks::new(0, 0),
    );
    drop(worker.run(stop.as_fd()).unwrap());

    let mut events = Vec::new();
    while let Ok(batch) = receiver.try_recv() {
        if let Batch::Records(records) = batch {
            events.extend(records.iter().map(|record| (record.id.cookie, record.event)));
        }
    }
    let updates = |cookies: std::ops::Range<u64>| cookies.map(|cookie| (cookie, Event::Update));
    let expected = updates(1..closed + 1).chain([(closed, Event::Close)]).chain(updates(closed + 1..end));
    assert_eq!(events, expected.collect::<Vec<_>>());
}

/// *Scenario*: the programs are detached while passes still succeed; then they are attached, and a pass fails.
/// *Guarantees*: after each of these passes the receiver is unhealthy, and the reason names what happened. Only what the next pass does not
/// repair is a fault, which the log reports with a restart as the remedy.
#[test]
fn faults_and_failed_passes_are_unhealthy() {
    let executor = tokio::runtime::Runtime::new().unwrap();
    let (output, _receiver) = RecordOutput::pair(64);
    let interval = Duration::from_secs(3600);
    let sink = Pipelines::new(output, executor.handle().clone(), interval);
    let detached = "the program `state` is detached".to_owned();
    let script = Script {
        transitions: VecDeque::new(),
        samples: VecDeque::new(),
        waits_left: 1,
        fault: Some(detached.clone()),
        failure: None,
    };
    let health = Health::default();
    let progress = health.receiver("bpf", interval);
    health.all_started();
    assert!(matches!(health.status(), HealthStatus::Healthy { .. }));
    let (tracker, timeline) = (Tracker::new(rules(), sink), Timeline::new(interval, Reading::now()));
    let mut worker =
        Worker::new(script, tracker, timeline, SystemClock, stats(), progress, HolderWalks::new(0, 0));
    worker.pass(UnixNanos(1), false).unwrap();
    let reasons = vec!["receivers::bpf: the program `state` is detached".to_owned()];
    assert_eq!(health.status(), HealthStatus::Unhealthy { reasons });
    assert_eq!(worker.fault, Some(detached));

    (worker.source.fault, worker.source.failure) = (None, Some(io::Error::other("interrupted")));
    worker.pass(UnixNanos(2), false).unwrap();
    let reasons = vec!["receivers::bpf: the last pass failed: interrupted".to_owned()];
    assert_eq!(health.status(), HealthStatus::Unhealthy { reasons });
    assert_eq!(worker.fault, None);

    worker.pass(UnixNanos(3), false).unwrap();
    assert!(matches!(health.status(), HealthStatus::Healthy { .. }));
}
