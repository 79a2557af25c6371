//! Settings of `batch`.

use longwave_config::{GoDuration, Value};
use longwave_pipeline::component::{BatchConfig, BatchSizer, ComponentConfig, ExporterChanges, Problems};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `batch`, with the names of the Collector's processor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BatchProcessorConfig {
    /// Number of log records at which a request is sent without waiting for more.
    pub send_batch_size: u64,
    /// Longest time that a request waits for others; zero: requests are not merged.
    pub timeout: GoDuration,
    /// Maximum number of log records or points of a request; 0: that of the exporter.
    pub send_batch_max_size: u64,
    /// Not supported, whatever it is.
    #[serde(skip_serializing)]
    #[schemars(skip)]
    pub(super) metadata_keys: Option<Value>,
    /// Not supported, whatever it is.
    #[serde(skip_serializing)]
    #[schemars(skip)]
    pub(super) metadata_cardinality_limit: Option<Value>,
}

/// Largest size.
const MAX_SIZE: u64 = 1_000_000_000;
/// Longest wait.
const MAX_TIMEOUT: GoDuration = GoDuration::from_secs(300);

// === impl BatchProcessorConfig ===

impl Default for BatchProcessorConfig {
    fn default() -> Self {
        Self {
            send_batch_size: 8192,
            // The Collector's 200 ms would not merge what the receiver reports every 200 ms.
            timeout: GoDuration::from_secs(1),
            send_batch_max_size: 0,
            metadata_keys: None,
            metadata_cardinality_limit: None,
        }
    }
}

impl ComponentConfig for BatchProcessorConfig {
    fn validate(&self, problems: &mut Problems) {
        problems.at_most("timeout", self.timeout, MAX_TIMEOUT);
        problems.at_most("send_batch_size", self.send_batch_size, MAX_SIZE);
        problems.at_most("send_batch_max_size", self.send_batch_max_size, MAX_SIZE);
        if self.send_batch_max_size > 0 && self.send_batch_max_size < self.send_batch_size {
            problems.at(
                "send_batch_max_size",
                format!(
                    "{} is less than send_batch_size {}: increase it, or lower send_batch_size",
                    self.send_batch_max_size, self.send_batch_size
                ),
            );
        }
        for (key, value) in [
            ("metadata_keys", &self.metadata_keys),
            ("metadata_cardinality_limit", &self.metadata_cardinality_limit),
        ] {
            if value.is_some() {
                let message = "is not supported: records come from the kernel and not from clients with metadata; remove this setting";
                problems.at(key, message);
            }
        }
    }

    fn exporter_changes(&self) -> ExporterChanges {
        let batch = BatchConfig {
            enabled: !self.timeout.is_zero(),
            flush_timeout: self.timeout,
            min_size: self.send_batch_size,
            max_size: self.send_batch_max_size,
            sizer: BatchSizer::Items,
        };
        ExporterChanges { batch: Some(batch), ..ExporterChanges::default() }
    }
}
