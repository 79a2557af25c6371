//! `sending_queue` of exporters that write one stream. Such a queue has one consumer, which keeps the order of the payloads.

use longwave_pipeline::component::Problems;
use longwave_pipeline::delivery::QueueSettings;
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
        let QueueSettings { queue_size, block_on_overflow, .. } = QueueSettings::default();
        Self { queue_size, block_on_overflow }
    }
}

impl OrderedQueueConfig {
    pub(crate) fn queue(&self) -> QueueSettings {
        let Self { queue_size, block_on_overflow } = *self;
        QueueSettings { enabled: true, num_consumers: 1, queue_size, block_on_overflow }
    }

    pub(crate) fn validate(&self, problems: &mut Problems) {
        if self.queue_size == 0 {
            problems.at("sending_queue::queue_size", "must be positive");
        }
    }
}
