//! Settings of `stdout`.

use longwave_pipeline::component::{ComponentConfig, ComponentError, ExporterContext, Problems, Signal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::screen::Screen;
use crate::ordered_queue_config::OrderedQueueConfig;

/// Section of a `stdout` exporter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct StdoutConfig {
    /// Format of the output.
    pub(super) format: Format,
    /// Settings of the format `table`.
    pub(super) table: TableConfig,
    /// The queue before the output.
    pub(super) sending_queue: OrderedQueueConfig,
}

/// Settings of the format `table`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct TableConfig {
    /// Whether to explain the columns before the first table.
    pub(super) legend: bool,
    /// Whether a flow between two workloads of this host has a row for each end.
    pub(super) both_ends: bool,
}

/// Format of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// On a terminal `table` for metrics and `text` for logs, otherwise `json`.
    #[default]
    Auto,
    /// One table for each window.
    Table,
    /// One line for each record or series.
    Text,
    /// One JSON object for each record or series.
    Json,
}

// === impl StdoutConfig ===

impl ComponentConfig for StdoutConfig {
    fn validate(&self, problems: &mut Problems) {
        self.sending_queue.validate(problems);
    }
}

// === impl Format ===

impl Format {
    /// Replaces `Auto`, and refuses a table of records.
    pub(super) fn resolve(self, context: &ExporterContext, screen: &Screen) -> Result<Self, ComponentError> {
        match (self, context.signal) {
            (Self::Table, Signal::Logs) => Err(ComponentError::new(format!(
                "exporters::{}: format: a table shows windows, but in a logs pipeline there are single records: \
                 use text or json, or a metrics pipeline with a window processor",
                context.id
            ))),
            (Self::Auto, Signal::Metrics) if screen.is_terminal() => Ok(Self::Table),
            (Self::Auto, Signal::Logs) if screen.is_terminal() => Ok(Self::Text),
            (Self::Auto, _) => Ok(Self::Json),
            (format, _) => Ok(format),
        }
    }
}
