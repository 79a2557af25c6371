//! Configuration of `static`.

use std::time::Duration;

use longwave_config::GoDuration;
use longwave_pipeline::component::{ComponentConfig, Problems};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Shortest interval. Polling more often has no benefit.
const MIN_INTERVAL: Duration = Duration::from_millis(10);
/// Longest interval.
const MAX_INTERVAL: GoDuration = GoDuration::from_secs(24 * 3600);

/// `static: {file: /etc/longwave/names.yaml}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StaticConfig {
    /// The file of rules.
    #[schemars(example = &"/etc/longwave/names.yaml")]
    pub file: String,
    /// How often the file is polled for a change.
    pub reload_interval: GoDuration,
}

// === impl StaticConfig ===

impl Default for StaticConfig {
    fn default() -> Self {
        Self { file: String::new(), reload_interval: GoDuration::from_secs(1) }
    }
}

impl ComponentConfig for StaticConfig {
    fn validate(&self, problems: &mut Problems) {
        if self.file.is_empty() {
            problems.at(
                "file",
                "must be set to the path of the file of rules, for example /etc/longwave/names.yaml",
            );
        }
        if self.reload_interval.get() < MIN_INTERVAL {
            problems.at("reload_interval", "must be at least 10ms (the default is 1s)");
        }
        problems.at_most("reload_interval", self.reload_interval, MAX_INTERVAL);
    }
}
