//! Where records go.

use std::time::{Duration, Instant};

use longwave_pipeline::runtime::{Delivered, RecordOutput};
use longwave_pipeline::{ConnectionRecord, PassEnd};
use tokio::runtime::Handle;

/// Takes records in batches.
pub trait Sink {
    /// Offers updates: all pipelines take them, or none does and their content comes again later.
    fn offer(&mut self, records: Vec<ConnectionRecord>) -> Delivered;
    /// Gives events that do not come again.
    fn give(&mut self, records: Vec<ConnectionRecord>);
    /// Sends the watermark.
    fn pass_end(&mut self, pass_end: PassEnd);
    /// A new pass begins: it may wait for the pipelines again. After the `last` one no record comes for what finds no room.
    fn begin_pass(&mut self, _last: bool) {}
}

/// The pipelines, from a thread of ours: a burst waits for room rather than being dropped, but in each interval only for so long that
/// neither the next pass nor the kernel's rings suffer.
pub struct Pipelines {
    output: RecordOutput,
    executor: Handle,
    patience: Duration,
    left: Duration,
    longest_wait: Duration,
}

/// The longest single wait: a pipeline that is stuck must not keep the others waiting for all of the patience at once.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// How long the last pass may wait in all: less than what exporters get to deliver the rest.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

impl Pipelines {
    /// `patience`: how long may be waited from one pass to the next.
    pub fn new(output: RecordOutput, executor: Handle, patience: Duration) -> Self {
        Self { output, executor, patience, left: patience, longest_wait: LONGEST_WAIT }
    }

    /// The output, to be flushed.
    pub fn into_output(self) -> RecordOutput {
        self.output
    }

    fn wait_for_room(&mut self) {
        if self.left.is_zero() {
            return;
        }
        let start = Instant::now();
        // Whether there is room or the time is over: what does not fit is refused and counted.
        let _ = self.executor.block_on(async {
            tokio::time::timeout(self.left.min(self.longest_wait), self.output.room()).await
        });
        self.left = self.left.saturating_sub(start.elapsed());
    }
}

impl Sink for Pipelines {
    fn offer(&mut self, records: Vec<ConnectionRecord>) -> Delivered {
        self.wait_for_room();
        self.output.offer_updates(records)
    }

    fn give(&mut self, records: Vec<ConnectionRecord>) {
        self.wait_for_room();
        self.output.give_events(records);
    }

    fn pass_end(&mut self, pass_end: PassEnd) {
        self.output.pass_end(pass_end);
    }

    fn begin_pass(&mut self, last: bool) {
        (self.left, self.longest_wait) =
            if last { (LAST_PATIENCE, LAST_PATIENCE) } else { (self.patience, LONGEST_WAIT) };
    }
}
