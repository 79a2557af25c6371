//! [`DeliveryConfig`]: `timeout`, `retry_on_failure` and `sending_queue`, with the names and defaults of the Collector.

use std::time::Duration;

use longwave_config::GoDuration;
use serde::{Deserialize, Serialize};

use crate::component::backoff::Backoff;
use crate::component::config::Problems;

/// How an exporter's payloads are delivered.
///
/// An exporter's configuration has the three fields itself, because `#[serde(flatten)]` loses the paths of errors.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryConfig {
    /// Time limit of one attempt; no limit if zero.
    pub timeout: Duration,
    /// `retry_on_failure`.
    pub retry: RetryConfig,
    /// `sending_queue`.
    pub queue: QueueConfig,
}

/// `retry_on_failure`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetryConfig {
    /// Whether failed attempts are retried.
    pub enabled: bool,
    /// Wait before the first retry.
    pub initial_interval: GoDuration,
    /// Fraction, within [0, 1], by which each wait may be shorter or longer.
    pub randomization_factor: f64,
    /// Factor from one wait to the next; at least 1.
    pub multiplier: f64,
    /// Longest wait.
    pub max_interval: GoDuration,
    /// Time after which a payload is dropped, from its first attempt; never if zero.
    pub max_elapsed_time: GoDuration,
}

/// `sending_queue`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueConfig {
    /// Whether payloads are queued. Otherwise each is delivered before the next is encoded.
    pub enabled: bool,
    /// Maximum number of concurrent deliveries. An exporter that keeps the order of windows delivers only one window's payloads concurrently.
    pub num_consumers: usize,
    /// Maximum number of payloads in the queue.
    pub queue_size: usize,
    /// Whether the pipeline waits for room. Otherwise a payload without room is dropped and counted.
    pub block_on_overflow: bool,
}

// === impl RetryConfig ===

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            initial_interval: GoDuration::from_secs(5),
            randomization_factor: 0.5,
            multiplier: 1.5,
            max_interval: GoDuration::from_secs(30),
            max_elapsed_time: GoDuration::from_secs(300),
        }
    }
}

impl RetryConfig {
    /// Returns the waits between the attempts of one payload.
    pub(crate) fn backoff(&self) -> Backoff {
        Backoff {
            first: self.initial_interval.get(),
            multiplier: self.multiplier,
            longest: self.max_interval.get(),
            randomization: self.randomization_factor,
        }
    }

    /// Reports invalid values below `retry_on_failure`.
    pub fn validate(&self, problems: &mut Problems) {
        if !(0.0..=1.0).contains(&self.randomization_factor) {
            problems.at("retry_on_failure::randomization_factor", "must be within [0, 1]");
        }
        if self.multiplier < 1.0 || !self.multiplier.is_finite() {
            problems.at("retry_on_failure::multiplier", "must be at least 1, or the waits would shrink");
        }
        if self.enabled && self.initial_interval.is_zero() {
            problems.at(
                "retry_on_failure::initial_interval",
                "must be positive; to turn retries off, set enabled: false",
            );
        }
        let (first, longest) = (self.initial_interval, self.max_interval);
        if self.enabled && longest < first {
            problems.at(
                "retry_on_failure::max_interval",
                format!("{longest} is less than initial_interval {first}"),
            );
        }
    }
}

// === impl QueueConfig ===

impl Default for QueueConfig {
    fn default() -> Self {
        Self { enabled: true, num_consumers: 10, queue_size: 1000, block_on_overflow: false }
    }
}

impl QueueConfig {
    /// Reports invalid values below `sending_queue`.
    pub fn validate(&self, problems: &mut Problems) {
        if self.enabled && self.num_consumers == 0 {
            problems.at("sending_queue::num_consumers", "must be positive");
        }
        if self.enabled && self.queue_size == 0 {
            problems.at(
                "sending_queue::queue_size",
                "must be positive; to send without a queue, set enabled: false",
            );
        }
    }
}
