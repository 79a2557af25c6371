//! Settings of `debug`, with the names and defaults of the Collector's exporter.

use std::time::Duration;

use longwave_config::{GoDuration, Value};
use longwave_pipeline::component::{ComponentConfig, Problems, RetryConfig};
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::ordered_queue_config::OrderedQueueConfig;
use crate::otlp::{ClientConfig, Temporality};

/// Section of a `debug` exporter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct DebugConfig {
    /// How much of a request is shown.
    pub(super) verbosity: Verbosity,
    /// Number of requests that are shown in each second.
    pub(super) sampling_initial: u64,
    /// Of the requests after the first `sampling_initial` ones of a second, one of this number is shown. 1: all, 0: none.
    pub(super) sampling_thereafter: u64,
    /// Whether the text goes to the log. Otherwise it goes to the standard output.
    pub(super) use_internal_logger: bool,
    /// Temporality of sums and histograms.
    pub(super) temporality: Temporality,
    /// The queue before the output.
    pub(super) sending_queue: OrderedQueueConfig,
    /// Not supported, whatever it is.
    #[serde(skip_serializing)]
    #[schemars(skip)]
    pub(super) output: Option<Value>,
    /// Not supported, whatever it is.
    #[serde(skip_serializing)]
    #[schemars(skip)]
    pub(super) output_paths: Option<Value>,
}

/// How much of a request is shown. As in the Collector, upper and lower case are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verbosity {
    /// Counts.
    #[default]
    Basic,
    /// About one line for each point or log record.
    Normal,
    /// All fields.
    Detailed,
}

// === impl Verbosity ===

impl<'de> Deserialize<'de> for Verbosity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.to_ascii_lowercase().as_str() {
            "basic" => Ok(Self::Basic),
            "normal" => Ok(Self::Normal),
            "detailed" => Ok(Self::Detailed),
            _ => Err(D::Error::unknown_variant(&text, &["basic", "normal", "detailed"])),
        }
    }
}

// === impl DebugConfig ===

impl Default for DebugConfig {
    fn default() -> Self {
        Self {
            verbosity: Verbosity::default(),
            sampling_initial: 2,
            sampling_thereafter: 1,
            use_internal_logger: true,
            temporality: Temporality::default(),
            sending_queue: OrderedQueueConfig::default(),
            output: None,
            output_paths: None,
        }
    }
}

impl DebugConfig {
    /// Returns the settings that the OTLP exporter reads.
    pub(super) fn client(&self) -> ClientConfig {
        ClientConfig {
            timeout: GoDuration::from(Duration::ZERO),
            retry_on_failure: RetryConfig { enabled: false, ..RetryConfig::default() },
            sending_queue: self.sending_queue.queue(),
            temporality: self.temporality,
            ..ClientConfig::default()
        }
    }
}

impl ComponentConfig for DebugConfig {
    fn validate(&self, problems: &mut Problems) {
        if self.output.is_some() {
            let message =
                "is not supported: all fields of a request are shown; to remove attributes, use a processor";
            problems.at("output", message);
        }
        if self.output_paths.is_some() {
            let message = "is not supported: set use_internal_logger to false for the standard output, or use the exporter file";
            problems.at("output_paths", message);
        }
        self.sending_queue.validate(problems);
    }
}
