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
    /// A new pass begins: it may wait for the pipelines again.
    fn begin_pass(&mut self) {}
}

/// The pipelines, from a thread of ours: a burst waits for room rather than being dropped, but in each interval only for so long that
/// neither the next pass nor the kernel's rings suffer.
pub struct Pipelines {
    output: RecordOutput,
    executor: Handle,
    patience: Duration,
    left: Duration,
}

/// The longest single wait: a pipeline that is stuck must not keep the others waiting for all of the patience at once.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

impl Pipelines {
    /// `patience`: how long may be waited from one pass to the next.
    pub fn new(output: RecordOutput, executor: Handle, patience: Duration) -> Self {
        Self { output, executor, patience, left: patience }
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
        let _ = self
            .executor
            .block_on(async { tokio::time::timeout(self.left.min(LONGEST_WAIT), self.output.room()).await });
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

    fn begin_pass(&mut self) {
        self.left = self.patience;
    }
}
