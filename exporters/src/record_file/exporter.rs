//! [`RecordFileExporter`] encodes batches as blocks of a record file.

use std::sync::Arc;
use std::time::Duration;

use longwave_pipeline::component::{
    ComponentError, DeliveryConfig, Exporter, ExporterContext, Payload, Pusher,
};
use longwave_pipeline::model::Batch;
use longwave_pipeline::model::codec::Encoder;

use super::config::RecordFileConfig;
use super::file::RecordFile;

pub(super) struct RecordFileExporter {
    id: String,
    encoder: Encoder,
    config: RecordFileConfig,
    file: Arc<RecordFile>,
}

// === impl RecordFileExporter ===

impl RecordFileExporter {
    pub(super) fn new(config: &RecordFileConfig, context: &ExporterContext) -> Self {
        let host = context.resource.iter().find(|(key, _)| key == "host.name").map(|(_, host)| host.clone());
        let file = RecordFile::new(&context.id, config.path.clone(), config.append, host.unwrap_or_default());
        Self {
            id: context.id.clone(),
            encoder: Encoder::default(),
            config: config.clone(),
            file: Arc::new(file),
        }
    }
}

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
            queue: self.config.sending_queue.queue(),
        }
    }

    fn pusher(&self) -> Arc<dyn Pusher> {
        Arc::clone(&self.file) as Arc<dyn Pusher>
    }
}
