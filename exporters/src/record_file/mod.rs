//! Exporter `record_file`: writes connection records to a file that receiver `replay` reads (see [`longwave_pipeline::model::codec`]).
//!
//! Every batch becomes blocks that are readable by themselves, appended as they come: after a crash the file is whole up to the last
//! block. A write that fails half-way (a full disk) is undone before it is tried again. A shutdown writes the end mark and syncs.

mod file;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use longwave_pipeline::component::{
    About, ComponentConfig, ComponentError, DeliveryConfig, Exporter, ExporterContext, ExporterFactory,
    Payload, Problems, Pusher, RetryConfig, Signal, Stability,
};
use longwave_pipeline::model::Batch;
use longwave_pipeline::model::codec::Encoder;
use serde::{Deserialize, Serialize};

use crate::ordered_queue::OrderedQueue;
use file::RecordFile;

/// Settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Config {
    /// The file; made if it does not exist, its directory is not.
    path: PathBuf,
    /// Continue a file that holds records already; otherwise it is refused.
    append: bool,
    retry_on_failure: RetryConfig,
    sending_queue: OrderedQueue,
}

/// Encodes.
struct RecordFileExporter {
    id: String,
    encoder: Encoder,
    config: Config,
    file: Arc<RecordFile>,
}

/// The exporter's factory.
pub fn factory() -> ExporterFactory {
    let about = About {
        component_type: "record_file",
        aliases: &[],
        stability: Stability::Beta,
        description: "Writes connection records to a file that the replay receiver reads",
        signals: &[Signal::Logs],
        flow: None,
    };
    ExporterFactory::new(about, |config: &Config, context: ExporterContext| {
        let host = context.resource.iter().find(|(key, _)| key == "host.name").map(|(_, host)| host.clone());
        let file = RecordFile::new(&context.id, config.path.clone(), config.append, host.unwrap_or_default());
        let exporter = RecordFileExporter {
            id: context.id,
            encoder: Encoder::default(),
            config: config.clone(),
            file: Arc::new(file),
        };
        Ok(Box::new(exporter) as Box<dyn Exporter>)
    })
}

// === impl Config ===

impl ComponentConfig for Config {
    fn validate(&self, problems: &mut Problems) {
        if self.path.as_os_str().is_empty() {
            problems.at("path", "requires a non-empty file name, for example /var/lib/longwave/records.lwr");
        }
        self.retry_on_failure.validate(problems);
        self.sending_queue.validate(problems);
    }
}

// === impl RecordFileExporter ===

impl Exporter for RecordFileExporter {
    fn encode(&mut self, batch: &Batch) -> Result<Vec<Payload>, ComponentError> {
        let mut blocks = Vec::new();
        let encoded = match batch {
            Batch::Records(records) => self.encoder.records(records, &mut blocks),
            Batch::PassEnd(pass_end) => self.encoder.pass_end(*pass_end, &mut blocks),
            Batch::Window(_) => Ok(()),
        };
        encoded.map_err(|fault| {
            ComponentError::new(format!("exporters::{}: cannot encode: {fault}", self.id))
        })?;
        if blocks.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![Payload { bytes: blocks.into(), items: batch.items(), traffic_bytes: batch.traffic_bytes() }])
    }

    fn delivery(&self) -> DeliveryConfig {
        DeliveryConfig {
            timeout: Duration::ZERO,
            retry: self.config.retry_on_failure.clone(),
            queue: self.config.sending_queue.settings(),
        }
    }

    fn pusher(&self) -> Arc<dyn Pusher> {
        Arc::clone(&self.file) as Arc<dyn Pusher>
    }
}
