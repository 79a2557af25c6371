//! `sending_queue` of exporters that write one stream: one consumer, or the order would be lost.

use longwave_pipeline::component::{Problems, QueueConfig};
use serde::{Deserialize, Serialize};

/// What can be set of such a queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OrderedQueue {
    /// Batches that wait.
    queue_size: usize,
    /// Let the pipeline wait for room; otherwise what does not fit is dropped and counted.
    block_on_overflow: bool,
}

// === impl OrderedQueue ===

impl Default for OrderedQueue {
    fn default() -> Self {
        let QueueConfig { queue_size, block_on_overflow, .. } = QueueConfig::default();
        Self { queue_size, block_on_overflow }
    }
}

impl OrderedQueue {
    pub(crate) fn settings(&self) -> QueueConfig {
        let Self { queue_size, block_on_overflow } = *self;
        QueueConfig { enabled: true, num_consumers: 1, queue_size, block_on_overflow }
    }

    pub(crate) fn validate(&self, problems: &mut Problems) {
        if self.queue_size == 0 {
            problems.at("sending_queue::queue_size", "must be positive");
        }
    }
}
