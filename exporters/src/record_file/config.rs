//! Settings of `record_file`.

use std::path::PathBuf;

use longwave_pipeline::component::{ComponentConfig, Problems, RetryConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ordered_queue_config::OrderedQueueConfig;

/// Section of a `record_file` exporter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RecordFileConfig {
    /// The file that is written. It is created if it does not exist, and its directory must exist.
    #[schemars(example = &"/var/lib/longwave/records.lwr")]
    pub(super) path: PathBuf,
    /// True appends to a file that already contains records. Otherwise such a file is refused.
    pub(super) append: bool,
    /// Retries of failed writes.
    pub(super) retry_on_failure: RetryConfig,
    /// The queue before the file.
    pub(super) sending_queue: OrderedQueueConfig,
}

// === impl RecordFileConfig ===

impl ComponentConfig for RecordFileConfig {
    /// Only a file that is appended to can be opened again. Another one is refused, and the former exporter continues.
    fn exclusive(&self) -> Vec<String> {
        if self.append { vec![format!("file {}", self.path.display())] } else { Vec::new() }
    }

    fn validate(&self, problems: &mut Problems) {
        if self.path.as_os_str().is_empty() {
            problems.at("path", "requires a non-empty file name, for example /var/lib/longwave/records.lwr");
        }
        self.retry_on_failure.validate(problems);
        self.sending_queue.validate(problems);
    }
}
