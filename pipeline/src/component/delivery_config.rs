//! [`DeliveryConfig`]: `timeout`, `retry_on_failure` and `sending_queue`, with the names and defaults of the Collector.

use std::time::Duration;

use longwave_config::{ByteSize, GoDuration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::backoff::Backoff;
use crate::component::batch_config::{BatchConfig, BatchSizer};
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

/// Retries of failed attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RetryConfig {
    /// Whether failed attempts are retried.
    pub enabled: bool,
    /// Wait before the first retry, but at most `max_interval`.
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

/// The queue between the pipeline and the delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct QueueConfig {
    /// Whether payloads are queued. Otherwise each is delivered before the next is encoded.
    pub enabled: bool,
    /// Maximum number of concurrent deliveries. An exporter that keeps the order of windows delivers only one window's payloads concurrently.
    pub num_consumers: usize,
    /// Unit of `queue_size`.
    pub sizer: Sizer,
    /// Maximum size of the payloads that wait or are being delivered.
    pub queue_size: u64,
    /// Maximum bytes of these payloads, whatever the sizer is. Default: 64 MiB, but at most an eighth of the memory that the process may use.
    /// With `storage`: 1 GiB. The Collector has no such limit.
    #[schemars(example = &"64MiB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<ByteSize>,
    /// Whether the pipeline waits for room. Otherwise the oldest payloads are dropped and counted.
    pub block_on_overflow: bool,
    /// Whether the pipeline waits until the payloads of a batch have been delivered or dropped.
    pub wait_for_result: bool,
    /// Id of the extension that stores the payloads. Default: they are in memory only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"file_storage")]
    pub storage: Option<String>,
    /// How log requests are merged. Default for exporters that send over the network: the defaults of the settings below. With
    /// `wait_for_result` requests are not merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchConfig>,
    /// Time over which the nodes spread the requests of one window, but at most the window's interval; not at all if zero. Default: 5 s. The
    /// Collector has no such setting.
    #[schemars(example = &"5s")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<GoDuration>,
}

/// What `queue_size` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sizer {
    /// Payloads.
    #[default]
    Requests,
    /// Records or points.
    Items,
    /// Bytes of the payloads before compression.
    Bytes,
}

/// Largest `num_consumers`. Each consumer is a task, and may have a request of up to 2 MiB in delivery.
const MAX_CONSUMERS: usize = 1000;
/// Largest `queue_size`, in any unit.
const MAX_QUEUE_SIZE: u64 = 1_000_000_000_000;
/// Largest `max_bytes`.
const MAX_QUEUE_BYTES: ByteSize = ByteSize(1 << 40);
/// Smallest `max_bytes`: twice a request of the usual size.
const MIN_QUEUE_BYTES: ByteSize = ByteSize::mib(4);
/// Value of `max_bytes` if the process may use much memory.
const DEFAULT_QUEUE_BYTES: ByteSize = ByteSize::mib(64);
/// Value of `max_bytes` if the payloads are stored.
const DEFAULT_STORED_BYTES: ByteSize = ByteSize::mib(1024);
/// Value of `spread` if it is not set: the usual interval of windows.
const DEFAULT_SPREAD: GoDuration = GoDuration::from_secs(5);
/// Longest `spread`.
const MAX_SPREAD: GoDuration = GoDuration::from_secs(3600);
/// Longest time limit of an attempt.
const MAX_TIMEOUT: GoDuration = GoDuration::from_secs(3600);
/// Longest interval, and longest time limit: 30 days.
const MAX_TIME: GoDuration = GoDuration::from_secs(30 * 24 * 3600);
/// Largest `multiplier`. With more, the second wait would be `max_interval` anyway.
const MAX_MULTIPLIER: f64 = 1000.0;

// === impl DeliveryConfig ===

impl DeliveryConfig {
    /// Returns the delivery of an exporter that has taken a batch as soon as it has encoded it: without a queue, a retry and a time limit.
    pub fn immediate() -> Self {
        Self {
            timeout: Duration::ZERO,
            retry: RetryConfig { enabled: false, ..RetryConfig::default() },
            queue: QueueConfig { enabled: false, ..QueueConfig::default() },
        }
    }

    /// Reports an invalid `timeout`.
    pub fn validate_timeout(timeout: GoDuration, problems: &mut Problems) {
        problems.at_most("timeout", timeout, MAX_TIMEOUT);
    }
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
        } else {
            problems.at_most("retry_on_failure::multiplier", self.multiplier, MAX_MULTIPLIER);
        }
        for (key, time) in [
            ("initial_interval", self.initial_interval),
            ("max_interval", self.max_interval),
            ("max_elapsed_time", self.max_elapsed_time),
        ] {
            problems.at_most(&format!("retry_on_failure::{key}"), time, MAX_TIME);
        }
        if self.enabled && self.initial_interval.is_zero() {
            problems.at(
                "retry_on_failure::initial_interval",
                "must be positive; to turn retries off, set enabled: false",
            );
        }
        self.validate_elapsed_time(problems);
    }

    /// Reports a `max_elapsed_time` that is over before a wait can be.
    fn validate_elapsed_time(&self, problems: &mut Problems) {
        let limit = self.max_elapsed_time;
        if !self.enabled || limit.is_zero() {
            return;
        }
        let intervals = [("initial_interval", self.initial_interval), ("max_interval", self.max_interval)];
        if let Some((key, interval)) = intervals.into_iter().find(|(_, interval)| limit < *interval) {
            problems.at(
                "retry_on_failure::max_elapsed_time",
                format!("{limit} is less than {key} {interval}: increase it, or decrease {key}"),
            );
        }
    }
}

// === impl QueueConfig ===

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            num_consumers: 10,
            sizer: Sizer::Requests,
            queue_size: 1000,
            max_bytes: None,
            block_on_overflow: false,
            wait_for_result: false,
            storage: None,
            batch: None,
            spread: None,
        }
    }
}

impl QueueConfig {
    /// Reports invalid values below `sending_queue`.
    pub fn validate(&self, problems: &mut Problems) {
        if self.enabled && self.num_consumers == 0 {
            problems.at("sending_queue::num_consumers", "must be positive");
        }
        problems.at_most("sending_queue::num_consumers", self.num_consumers, MAX_CONSUMERS);
        if self.enabled && self.queue_size == 0 {
            problems.at(
                "sending_queue::queue_size",
                "must be positive; to send without a queue, set enabled: false",
            );
        }
        problems.at_most("sending_queue::queue_size", self.queue_size, MAX_QUEUE_SIZE);
        if self.storage.as_ref().is_some_and(String::is_empty) {
            problems.at("sending_queue::storage", "must be the id of an extension, for example file_storage");
        } else if self.storage.is_some() && !self.enabled {
            problems
                .at("sending_queue::storage", "stores the queue, but enabled is false: set enabled: true");
        }
        if let Some(batch) = &self.batch {
            batch.validate(problems);
            let is_same_unit = matches!(
                (self.sizer, batch.sizer),
                (Sizer::Items, BatchSizer::Items) | (Sizer::Bytes, BatchSizer::Bytes)
            );
            if batch.enabled && is_same_unit && batch.min_size > self.queue_size {
                problems.at(
                    "sending_queue::batch::min_size",
                    format!(
                        "{} is larger than queue_size {}: lower it, or increase queue_size",
                        batch.min_size, self.queue_size
                    ),
                );
            }
            if !self.enabled && batch.enabled {
                problems.at(
                    "sending_queue::batch",
                    "merges what is queued, but enabled is false: set enabled: true, or remove batch",
                );
            }
        }
        if self.max_bytes.is_some_and(|bytes| !(MIN_QUEUE_BYTES..=MAX_QUEUE_BYTES).contains(&bytes)) {
            problems.at(
                "sending_queue::max_bytes",
                format!(
                    "must be between {MIN_QUEUE_BYTES} (two requests of the usual size) and {MAX_QUEUE_BYTES}"
                ),
            );
        }
        problems.at_most("sending_queue::spread", self.spread.unwrap_or(DEFAULT_SPREAD), MAX_SPREAD);
    }

    /// Returns the effective `spread`.
    pub(crate) fn spread(&self) -> Duration {
        self.spread.unwrap_or(DEFAULT_SPREAD).get()
    }

    /// Returns the extension that the queue uses, as [`ComponentConfig::extensions`](crate::component::ComponentConfig::extensions) does.
    pub fn extension(&self) -> Option<(&'static str, String)> {
        self.storage.clone().filter(|id| !id.is_empty()).map(|id| ("sending_queue::storage", id))
    }

    /// Returns the effective `max_bytes`. `memory_limit` is the memory that the process may use, in bytes, if known.
    pub(crate) fn max_bytes(&self, memory_limit: Option<u64>) -> u64 {
        if self.storage.is_some() {
            return self.max_bytes.unwrap_or(DEFAULT_STORED_BYTES).get();
        }
        let share = memory_limit.map_or(DEFAULT_QUEUE_BYTES, |limit| ByteSize(limit / 8));
        self.max_bytes.unwrap_or(share.clamp(MIN_QUEUE_BYTES, DEFAULT_QUEUE_BYTES)).get()
    }
}

#[cfg(test)]
mod tests;
