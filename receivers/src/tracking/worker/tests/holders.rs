//! Tests of walks for the owners of accepted connections, with a clock that only the test moves.

use std::convert::Infallible;

use super::clock::TestClock;
use super::*;

const SECOND: u64 = 1_000_000_000;
const INTERVAL: Duration = Duration::from_secs(5);

/// A kernel side with one accepted connection. A walk that succeeds finds its process.
struct Accepted<'a> {
    clock: &'a TestClock,
    /// Outcomes of the walks to come: whether they succeed.
    outcomes: VecDeque<bool>,
    /// When walks took place, in seconds.
    walks: &'a RefCell<Vec<u64>>,
    is_found: bool,
}

impl Source for Accepted<'_> {
    type PassError = Infallible;

    fn pass(&mut self, on: &mut dyn FnMut(Transition<'_>)) -> Result<PassCounts, Infallible> {
        let mut sample = event(kind::SAMPLE, 9, self.clock.monotonic());
        sample.generation = SECOND;
        sample.flags = flag::START_KNOWN | flag::ESTABLISHED | flag::SERVER;
        if self.is_found {
            sample.flags |= flag::HOLDER;
            sample.owner.pid = 7;
        }
        on(Transition::Connection(&sample));
        Ok(PassCounts::default())
    }

    fn drain_transitions(&mut self, _: &mut dyn FnMut(Transition<'_>)) -> usize {
        0
    }

    fn wait(&mut self, _: BorrowedFd<'_>, at_most: Duration) -> bool {
        self.clock.advance(at_most);
        self.clock.monotonic() >= 120 * SECOND
    }

    fn look_up_holders(
        &mut self,
        _: &mut dyn FnMut(Transition<'_>),
    ) -> Result<(), Box<dyn std::error::Error>> {
        self.walks.borrow_mut().push(self.clock.monotonic() / SECOND);
        self.is_found = self.outcomes.pop_front().unwrap();
        if self.is_found { Ok(()) } else { Err("endless".into()) }
    }

    fn counts(&self) -> SourceCounts {
        SourceCounts::default()
    }

    fn fault(&self) -> Option<String> {
        None
    }
}

/// Scenario: a connection is accepted at second 1 and stays open for two minutes. Its owner is looked up at the age of 10 s; the first walk
/// fails.
/// Guarantees: the walk is repeated after 10 s, and not again once it has found the owner. Walks are counted by outcome.
#[test]
fn a_supposed_owner_is_looked_up_until_it_is_found() {
    let executor = tokio::runtime::Runtime::new().unwrap();
    let (output, mut receiver) = RecordOutput::pair(4096);
    let (clock, walks) = (TestClock::new(SECOND / 2), RefCell::default());
    let source =
        Accepted { clock: &clock, outcomes: VecDeque::from([false, true]), walks: &walks, is_found: false };
    let stats = stats();
    let worker = Worker::new(
        source,
        Tracker::new(rules(), Pipelines::new(output, executor.handle().clone(), INTERVAL)),
        Timeline::new(INTERVAL, (&clock).read()),
        &clock,
        Arc::clone(&stats),
        Health::default().receiver("bpf", INTERVAL),
        HolderWalks::new(10 * SECOND, 0),
    );
    let stop = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    drop(worker.run(stop.as_fd()).unwrap());
    assert_eq!(*walks.borrow(), [15, 25]);
    let snapshot = stats.snapshot();
    assert_eq!((snapshot.holder_walks, snapshot.holder_walk_failures), (2, 1));
    let mut owners = Vec::new();
    while let Ok(batch) = receiver.try_recv() {
        if let Batch::Records(records) = batch {
            owners.extend(records.iter().map(|record| (record.owner.pid, record.owner.source)));
        }
    }
    owners.dedup();
    assert_eq!(owners, [(0, OwnerSource::Unknown), (7, OwnerSource::Holder)]);
}
