//! [`RecordFileExporter`] encodes batches as blocks of a record file.

use std::sync::Arc;

use longwave_pipeline::component::{
    ComponentError, DeliveryConfig, Exporter, ExporterContext, Payload, Pusher,
};
use longwave_pipeline::model::Batch;

use super::config::RecordFileConfig;
use super::file::RecordFile;
use crate::record_blocks::{self, RecordBlocks};

pub(super) struct RecordFileExporter {
    blocks: RecordBlocks,
    config: RecordFileConfig,
    file: Arc<RecordFile>,
}

// === impl RecordFileExporter ===

impl RecordFileExporter {
    pub(super) fn new(config: &RecordFileConfig, context: &ExporterContext) -> Self {
        let host = record_blocks::host_name(context);
        let file = RecordFile::new(&context.id, config.path.clone(), config.append, host);
        Self { blocks: RecordBlocks::new(&context.id), config: config.clone(), file: Arc::new(file) }
    }
}

impl Exporter for RecordFileExporter {
    fn encode(&mut self, batch: &Batch) -> Result<Vec<Payload>, ComponentError> {
        let blocks = self.blocks.encode(batch)?;
        if blocks.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![Payload::of_batch(batch, blocks.into())])
    }

    fn delivery(&self) -> DeliveryConfig {
        self.config.sending_queue.delivery(self.config.retry_on_failure.clone())
    }

    fn pusher(&self) -> Arc<dyn Pusher> {
        Arc::clone(&self.file) as Arc<dyn Pusher>
    }
}
