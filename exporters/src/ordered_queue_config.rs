//! `sending_queue` of exporters that write one stream. Such a queue has one consumer, which keeps the order of the payloads.

use std::time::Duration;

use longwave_config::{ByteSize, GoDuration};
use longwave_pipeline::component::{DeliveryConfig, Problems, QueueConfig, RetryConfig, Sizer};
use serde::{Deserialize, Serialize};

/// `sending_queue`, without `enabled` and `num_consumers`, which are fixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OrderedQueueConfig {
    /// Unit of `queue_size`.
    sizer: Sizer,
    /// Capacity.
    queue_size: u64,
    /// Capacity in bytes, as in [`QueueConfig`].
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes: Option<ByteSize>,
    /// If the queue is full: true blocks the pipeline until there is room, false drops and counts the oldest payload.
    block_on_overflow: bool,
    /// Whether the pipeline waits until the payloads of a batch have been written or dropped.
    wait_for_result: bool,
}

// === impl OrderedQueueConfig ===

impl Default for OrderedQueueConfig {
    fn default() -> Self {
        let QueueConfig { sizer, queue_size, max_bytes, block_on_overflow, wait_for_result, .. } =
            QueueConfig::default();
        Self { sizer, queue_size, max_bytes, block_on_overflow, wait_for_result }
    }
}

impl OrderedQueueConfig {
    pub(crate) fn queue(&self) -> QueueConfig {
        let Self { sizer, queue_size, max_bytes, block_on_overflow, wait_for_result } = *self;
        QueueConfig {
            enabled: true,
            num_consumers: 1,
            sizer,
            queue_size,
            max_bytes,
            block_on_overflow,
            wait_for_result,
            storage: None,
            batch: None,
            // A file and a terminal are not shared by many nodes.
            spread: Some(GoDuration::default()),
        }
    }

    /// Returns how an exporter delivers its stream. A write takes as long as it takes, so there is no time limit.
    pub(crate) fn delivery(&self, retry: RetryConfig) -> DeliveryConfig {
        DeliveryConfig { timeout: Duration::ZERO, retry, queue: self.queue() }
    }

    /// Returns the same for an exporter whose writes are not repeated.
    pub(crate) fn delivery_without_retry(&self) -> DeliveryConfig {
        self.delivery(RetryConfig { enabled: false, ..RetryConfig::default() })
    }

    pub(crate) fn validate(&self, problems: &mut Problems) {
        if self.queue_size == 0 {
            problems.at("sending_queue::queue_size", "must be positive");
        } else {
            self.queue().validate(problems);
        }
    }
}
