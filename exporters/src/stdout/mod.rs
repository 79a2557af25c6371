//! Exporter `stdout`: a table for people, lines for people and `grep`, JSON for programs. Only data goes there.
//!
//! Every payload is written whole and in order by one thread of its own, so that a reader that stands still (`| less`) holds up
//! neither the pipeline nor the process's end. When the reader is gone, the process ends.

mod json;
mod screen;
mod table;
mod text;
mod units;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use longwave_pipeline::component::{
    About, ComponentConfig, ComponentError, DeliveryConfig, Exporter, ExporterContext, ExporterFactory,
    Payload, Problems, Pusher, RetryConfig, Signal, Stability,
};
use longwave_pipeline::model::Batch;
use serde::{Deserialize, Serialize};

use crate::ordered_queue::OrderedQueue;
use screen::Screen;
use writer::Writer;

/// Settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Config {
    format: Format,
    sending_queue: OrderedQueue,
}

/// What the output looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// On a terminal `table` for metrics and `text` for logs; else `json`.
    #[default]
    Auto,
    /// One table per window.
    Table,
    /// One line per record or series.
    Text,
    /// One JSON object per record or series.
    Json,
}

/// Encodes.
struct Stdout {
    format: Format,
    queue: OrderedQueue,
    screen: Screen,
    writer: Arc<Writer>,
}

/// The exporter's factory.
pub fn factory() -> ExporterFactory {
    let about = About {
        component_type: "stdout",
        aliases: &[],
        stability: Stability::Beta,
        description: "Writes a table, access-log lines or JSON to the standard output",
        signals: &[Signal::Metrics, Signal::Logs],
        flow: None,
    };
    ExporterFactory::new(about, |config: &Config, context: ExporterContext| {
        let screen = Screen::of_stdout();
        let format = config.format.resolve(&context, &screen)?;
        let writer = Arc::new(Writer::to_stdout());
        Ok(Box::new(Stdout { format, queue: config.sending_queue.clone(), screen, writer })
            as Box<dyn Exporter>)
    })
}

// === impl Config ===

impl ComponentConfig for Config {
    fn validate(&self, problems: &mut Problems) {
        self.sending_queue.validate(problems);
    }
}

// === impl Format ===

impl Format {
    fn resolve(self, context: &ExporterContext, screen: &Screen) -> Result<Self, ComponentError> {
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

// === impl Stdout ===

impl Exporter for Stdout {
    fn encode(&mut self, batch: &Batch) -> Result<Vec<Payload>, ComponentError> {
        let mut out = Vec::new();
        match (batch, self.format) {
            (Batch::PassEnd(_), _) => {}
            (Batch::Records(records), Format::Json | Format::Auto) => {
                records.iter().for_each(|record| json::log(record, &mut out));
            }
            (Batch::Records(records), Format::Text | Format::Table) => {
                records.iter().for_each(|record| text::log(record, &mut out));
            }
            (Batch::Window(window), Format::Json | Format::Auto) => {
                window.series.iter().for_each(|series| json::series(window, series, &mut out));
            }
            (Batch::Window(window), Format::Text) => {
                window.series.iter().for_each(|series| text::series(window, series, &mut out));
            }
            (Batch::Window(window), Format::Table) => {
                out = table::draw(window, &self.screen.view()).into_bytes();
            }
        }
        if out.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![Payload { bytes: out.into(), items: batch.items(), traffic_bytes: batch.traffic_bytes() }])
    }

    fn delivery(&self) -> DeliveryConfig {
        DeliveryConfig {
            timeout: Duration::ZERO,
            retry: RetryConfig { enabled: false, ..RetryConfig::default() },
            queue: self.queue.settings(),
        }
    }

    fn pusher(&self) -> Arc<dyn Pusher> {
        Arc::clone(&self.writer) as Arc<dyn Pusher>
    }
}
