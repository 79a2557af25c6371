//! `sending_queue` of exporters that write one stream. Such a queue has one consumer, which keeps the order of the payloads.

use longwave_pipeline::component::{Problems, QueueConfig};
use serde::{Deserialize, Serialize};

/// `sending_queue`, without `enabled` and `num_consumers`, which are fixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OrderedQueueConfig {
    /// Capacity, in payloads.
    queue_size: usize,
    /// If the queue is full: true blocks the pipeline until there is room, false drops and counts the payload.
    block_on_overflow: bool,
}

// === impl OrderedQueueConfig ===

impl Default for OrderedQueueConfig {
    fn default() -> Self {
        let QueueConfig { queue_size, block_on_overflow, .. } = QueueConfig::default();
        Self { queue_size, block_on_overflow }
    }
}

impl OrderedQueueConfig {
    pub(crate) fn queue(&self) -> QueueConfig {
        let Self { queue_size, block_on_overflow } = *self;
        QueueConfig { enabled: true, num_consumers: 1, queue_size, block_on_overflow }
    }

    pub(crate) fn validate(&self, problems: &mut Problems) {
        if self.queue_size == 0 {
            problems.at("sending_queue::queue_size", "must be positive");
        }
    }
}
