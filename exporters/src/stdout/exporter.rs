//! [`StdoutExporter`] encodes batches in the configured format.

use std::sync::Arc;

use longwave_pipeline::component::{
    AttributeEdits, ComponentError, DeliveryConfig, Exporter, ExporterContext, Payload, Pusher, Signal,
};
use longwave_pipeline::model::Batch;

use super::config::{Format, StdoutConfig};
use super::screen::Screen;
use super::table::Table;
use super::writer::Writer;
use super::{json, text};
use crate::ordered_queue_config::OrderedQueueConfig;

pub(super) struct StdoutExporter {
    format: Format,
    queue: OrderedQueueConfig,
    screen: Screen,
    log_edits: Arc<AttributeEdits>,
    table: Table,
    writer: Arc<Writer>,
}

// === impl StdoutExporter ===

impl StdoutExporter {
    /// Creates the exporter, with the format for this signal and terminal.
    ///
    /// # Errors
    /// The format does not fit the signal.
    pub(super) fn new(config: &StdoutConfig, context: &ExporterContext) -> Result<Self, ComponentError> {
        let screen = Screen::of_stdout();
        let format = config.format.resolve(context, &screen)?;
        let log_edits = Arc::clone(&context.log_edits);
        let id = &context.id;
        let readable = if context.signal == Signal::Metrics { "table" } else { "text" };
        let hint = (config.format == Format::Auto && !screen.is_terminal()).then(|| {
            format!("stdout is no terminal: writing JSON lines (--set exporters.{id}.format={readable} prints text for people)")
        });
        let writer = Arc::new(Writer::to_stdout().with_hint(hint));
        let table = Table::new(config.table.clone());
        Ok(Self { format, queue: config.sending_queue.clone(), screen, log_edits, table, writer })
    }
}

impl Exporter for StdoutExporter {
    fn encode(&mut self, batch: &Batch) -> Result<Vec<Payload>, ComponentError> {
        let mut out = Vec::new();
        match (batch, self.format) {
            (Batch::PassEnd(_), _) => {}
            (Batch::Records(records), Format::Json | Format::Auto) => {
                records.iter().for_each(|record| json::log(record, &self.log_edits, &mut out));
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
                out = self.table.draw(window, &self.screen.view()).into_bytes();
            }
        }
        if out.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![Payload::of_batch(batch, out.into())])
    }

    fn delivery(&self) -> DeliveryConfig {
        self.queue.delivery_without_retry()
    }

    fn pusher(&self) -> Arc<dyn Pusher> {
        Arc::clone(&self.writer) as Arc<dyn Pusher>
    }
}
