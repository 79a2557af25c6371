//! [`BatchConfig`]: `sending_queue::batch`, with the names of the Collector.

use longwave_config::GoDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::config::Problems;

/// How log requests are merged before they are queued, and how large a request may be.
///
/// Requests of windows are never merged, because each window is already encoded as few requests. `max_size` applies to them, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BatchConfig {
    /// Whether requests are merged.
    pub enabled: bool,
    /// Longest time that a request waits for others.
    pub flush_timeout: GoDuration,
    /// Size at which a request waits no longer.
    pub min_size: u64,
    /// Maximum size of a request; 0: that of the exporter.
    pub max_size: u64,
    /// Unit of the sizes.
    pub sizer: BatchSizer,
}

/// Unit of the sizes of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BatchSizer {
    /// Records or points.
    #[default]
    Items,
    /// Bytes of the request before compression.
    Bytes,
}

/// Largest size, in any unit.
const MAX_SIZE: u64 = 1_000_000_000;
/// Longest wait. Longer ones would only delay records.
const MAX_FLUSH_TIMEOUT: GoDuration = GoDuration::from_secs(300);

// === impl BatchConfig ===

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            flush_timeout: GoDuration::from_secs(1),
            min_size: 8192,
            max_size: 0,
            sizer: BatchSizer::default(),
        }
    }
}

impl BatchConfig {
    /// Reports invalid values below `sending_queue::batch`.
    pub(crate) fn validate(&self, problems: &mut Problems) {
        if self.enabled && self.flush_timeout.is_zero() {
            problems.at(
                "sending_queue::batch::flush_timeout",
                "must be positive; to send each request as it is, set enabled: false",
            );
        }
        problems.at_most("sending_queue::batch::flush_timeout", self.flush_timeout, MAX_FLUSH_TIMEOUT);
        problems.at_most("sending_queue::batch::min_size", self.min_size, MAX_SIZE);
        problems.at_most("sending_queue::batch::max_size", self.max_size, MAX_SIZE);
        if self.max_size > 0 && self.max_size < self.min_size {
            problems.at(
                "sending_queue::batch::max_size",
                format!(
                    "{} is less than min_size {}: increase it, or lower min_size",
                    self.max_size, self.min_size
                ),
            );
        }
    }

    /// Returns the size of a request.
    pub(crate) fn size(&self, items: u64, bytes: u64) -> u64 {
        match self.sizer {
            BatchSizer::Items => items,
            BatchSizer::Bytes => bytes,
        }
    }

    /// Returns the maximum number of items of a request.
    pub fn max_items(&self) -> u64 {
        if self.sizer == BatchSizer::Items && self.max_size > 0 { self.max_size } else { u64::MAX }
    }

    /// Returns the maximum bytes of a request.
    pub fn max_bytes(&self) -> u64 {
        if self.sizer == BatchSizer::Bytes && self.max_size > 0 { self.max_size } else { u64::MAX }
    }
}
