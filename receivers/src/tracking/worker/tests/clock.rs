//! Tests of a wall clock that is set, with clocks that only the test moves.

use std::cell::Cell;
use std::convert::Infallible;

use longwave_pipeline::model::{ConnectionRecord, PassEnd};

use super::*;

const SECOND: u64 = 1_000_000_000;
/// Time of the wall clock at the monotonic time 0. It is a multiple of the interval.
const BOOT: u64 = 1_700_000_000 * SECOND;
const INTERVAL: Duration = Duration::from_secs(5);

/// Clocks that stand still until [`Scenario::wait`] moves them.
pub struct TestClock {
    mono: Cell<u64>,
    offset: Cell<i64>,
}

impl TestClock {
    /// Creates clocks whose monotonic time is `mono`, in nanoseconds.
    pub fn new(mono: u64) -> Self {
        Self { mono: Cell::new(mono), offset: Cell::new(0) }
    }

    /// Moves the clocks forward.
    pub fn advance(&self, by: Duration) {
        self.mono.set(self.mono.get() + by.as_nanos() as u64);
    }

    /// Returns the monotonic time in nanoseconds.
    pub fn monotonic(&self) -> u64 {
        self.mono.get()
    }
}

/// A kernel side with one open connection in each pass. Its times are monotonic, in seconds.
struct Scenario<'a> {
    clock: &'a TestClock,
    /// When the wall clock is set, and by how many seconds.
    steps: VecDeque<(u64, i64)>,
    /// Transitions, in order.
    transitions: VecDeque<ConnectionEvent>,
    /// When the receiver is stopped.
    until: u64,
}

/// What a scenario sent.
struct Sent {
    records: Vec<ConnectionRecord>,
    /// The watermarks, with the wall clock at which each was sent.
    watermarks: Vec<(PassEnd, u64)>,
    stats: super::super::super::telemetry::Snapshot,
}

impl Clock for &TestClock {
    fn monotonic(&self) -> u64 {
        self.mono.get()
    }

    fn read(&self) -> Reading {
        let mono = self.mono.get();
        Reading { mono, wall: (BOOT + mono).saturating_add_signed(self.offset.get()), uncertainty: 0 }
    }
}

impl Source for Scenario<'_> {
    type PassError = Infallible;

    fn pass(&mut self, on: &mut dyn FnMut(Transition<'_>)) -> Result<PassCounts, Infallible> {
        let sample = ConnectionEvent { generation: SECOND, ..event(kind::SAMPLE, 9, self.clock.mono.get()) };
        on(Transition::Connection(&sample));
        Ok(PassCounts::default())
    }

    fn drain_transitions(&mut self, on: &mut dyn FnMut(Transition<'_>)) -> usize {
        let mut count = 0;
        while let Some(event) =
            self.transitions.pop_front_if(|event| event.observed_ns <= self.clock.mono.get())
        {
            on(Transition::Connection(&event));
            count += 1;
        }
        count
    }

    fn wait(&mut self, _: BorrowedFd<'_>, at_most: Duration) -> bool {
        self.clock.advance(at_most);
        let now = self.clock.monotonic();
        while let Some((_, step)) = self.steps.pop_front_if(|(at, _)| *at * SECOND <= now) {
            self.clock.offset.set(self.clock.offset.get() + step * SECOND as i64);
        }
        now >= self.until * SECOND
    }

    fn counts(&self) -> SourceCounts {
        SourceCounts::default()
    }

    fn fault(&self) -> Option<String> {
        None
    }
}

/// Runs a scenario until second `until`. A connection opens at the first second and closes at second `closed`.
fn run(steps: &[(u64, i64)], closed: u64, until: u64) -> Sent {
    let executor = tokio::runtime::Runtime::new().unwrap();
    let (output, mut receiver) = RecordOutput::pair(4096);
    let clock = TestClock::new(SECOND / 2);
    let close = ConnectionEvent { generation: SECOND, ..event(kind::CLOSE, 1, closed * SECOND) };
    let open = ConnectionEvent { generation: SECOND, ..event(kind::OPEN, 1, SECOND) };
    let source = Scenario {
        clock: &clock,
        steps: steps.iter().copied().collect(),
        transitions: VecDeque::from([open, close]),
        until,
    };
    let sink = Watched {
        pipelines: Pipelines::new(output, executor.handle().clone(), INTERVAL),
        clock: &clock,
        at: Vec::new(),
    };
    let timeline = Timeline::new(INTERVAL, (&clock).read());
    let stop = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    let progress = Health::default().receiver("bpf", INTERVAL);
    let stats = stats();
    let worker = Worker::new(
        source,
        Tracker::new(rules(), sink),
        timeline,
        &clock,
        Arc::clone(&stats),
        progress,
        HolderWalks::new(0, 0),
    );
    let at = worker.run(stop.as_fd()).unwrap().at;
    let (mut records, mut watermarks) = (Vec::new(), Vec::new());
    while let Ok(batch) = receiver.try_recv() {
        match batch {
            Batch::Records(sent) => records.extend(sent.iter().cloned()),
            Batch::PassEnd(pass_end) => watermarks.push(pass_end),
            Batch::Window(_) => panic!("no windows here"),
        }
    }
    let watermarks = watermarks.into_iter().zip(at).collect();
    Sent { records, watermarks, stats: stats.snapshot() }
}

/// A sink that stores the wall clock at each watermark.
struct Watched<'a> {
    pipelines: Pipelines,
    clock: &'a TestClock,
    at: Vec<u64>,
}

impl Sink for Watched<'_> {
    fn offer_updates(&mut self, records: Vec<ConnectionRecord>) -> longwave_pipeline::component::Delivered {
        self.pipelines.offer_updates(records)
    }

    fn give_events(&mut self, records: Vec<ConnectionRecord>) {
        self.pipelines.give_events(records);
    }

    fn pass_end(&mut self, pass_end: PassEnd) {
        self.at.push(self.clock.read().wall);
        self.pipelines.pass_end(pass_end);
    }
}

/// Returns the only close.
fn close_of(sent: &Sent) -> &ConnectionRecord {
    let mut closes = sent.records.iter().filter(|record| record.event == Event::Close);
    let close = closes.next().unwrap();
    assert!(closes.next().is_none());
    close
}

/// *Scenario*: the wall clock is set an hour forward and later two hours back. A connection is open for 13 seconds, the others longer.
/// *Guarantees*: the connection's duration is 13 s. No record is in the future, and each has the new time as soon as the step is noticed.
/// Both steps are counted.
#[test]
fn durations_and_times_of_records() {
    let sent = run(&[(7, 3600), (12, -7200)], 14, 61);
    let close = close_of(&sent);
    assert_eq!(close.duration(), Some(Duration::from_secs(13)));
    assert_eq!((close.opened.0, close.observed.0), (BOOT + SECOND, BOOT + 14 * SECOND - 3600 * SECOND));
    for record in sent.records.iter().filter(|record| record.id.cookie == 9) {
        let mono = SECOND + record.duration().unwrap().as_nanos() as u64;
        let offset = if mono < 7 * SECOND {
            0
        } else if mono < 12 * SECOND {
            3600
        } else {
            -3600
        };
        assert_eq!(record.observed.0, (BOOT + mono).saturating_add_signed(offset * SECOND as i64));
        assert_eq!(record.opened.0, BOOT + SECOND, "the start is the same in all records");
    }
    assert_eq!(sent.stats.clock_steps, [1, 1]);
}

/// *Scenario*: the same; and the clock is set by less than an interval.
/// *Guarantees*: watermarks go on after each step, at most two intervals apart, at multiples of the interval that only increase. Every record
/// has the tick of a window that is open. After a small step the watermarks have the clock's time again, after a large one they approach it.
#[test]
fn windows_neither_overlap_nor_vanish() {
    for (steps, lead) in [
        (vec![(7, 3600), (12, -7200)], 7200.0 - 4.5),
        (vec![(7, -3)], 0.0),
        (vec![(7, -1), (18, -4), (33, 2)], 0.0),
        (vec![(7, -20)], 20.0 - 4.5),
    ] {
        let sent = run(&steps, 14, 61);
        let mut last = (0, 0);
        for (PassEnd { tick, last: is_last }, wall) in &sent.watermarks {
            assert!(
                tick.0 > last.0 && (*is_last || tick.0 % (5 * SECOND) == 0),
                "{steps:?}: {tick:?} after {last:?}"
            );
            last = (tick.0, *wall);
        }
        assert!(
            (9..=13).contains(&sent.watermarks.len()),
            "{steps:?}: {} watermarks in 60 s",
            sent.watermarks.len()
        );
        assert!(
            (sent.stats.window_lead.as_secs_f64() - lead).abs() < 0.6,
            "{steps:?}: {:?}",
            sent.stats.window_lead
        );
        let ahead = (last.0 as f64 - last.1 as f64) / 1e9;
        assert!((ahead - lead).abs() < 1.0, "{steps:?}: the last watermark is {ahead} s ahead of the clock");
        assert_eq!(close_of(&sent).duration(), Some(Duration::from_secs(13)));
    }
}

/// *Scenario*: steps forward, back by less than an interval, and back by more.
/// *Guarantees*: each message has the size of the step, what follows from it, and the remedy.
#[test]
fn messages() {
    let text = |seconds: i64| {
        let clock = TestClock { mono: Cell::new(SECOND), offset: Cell::new(0) };
        let mut timeline = Timeline::new(INTERVAL, (&clock).read());
        clock.offset.set(seconds * SECOND as i64);
        let reading = Reading { mono: SECOND + 1_234, ..(&clock).read() };
        let step = timeline.follow(reading).unwrap();
        step_text(step, &timeline)
    };
    insta::assert_snapshot!([3600, -2, -7200].map(text).join("\n"), @r"
    the wall clock was set forward by 1h0m0s, or the host was suspended: the times of records follow it immediately, and the next window contains the skipped time
    the wall clock was set back by 2s: the times of records follow it immediately, and the next window stays open for 2s longer
    the wall clock was set back by 2h0m0s: the times of records follow it immediately. Windows never overlap, so their times are 2h0m0s ahead of the clock and approach it by a tenth of the interval per pass. To correct them immediately, restart Longwave
    ");
}
