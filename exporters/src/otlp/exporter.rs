//! [`OtlpExporter`]: the exporter of both protocols, which differ only in their pusher.

use std::sync::Arc;

use longwave_pipeline::component::{
    BatchConfig, ComponentError, DeliveryConfig, Exporter, ExporterContext, Payload, Pusher, Signal, Storage,
};
use longwave_pipeline::model::{Batch, UnixNanos};

use super::ClientConfig;
use super::encode::{LogsEncoder, MAX_REQUEST_BYTES, MetricsEncoder};

pub(crate) struct OtlpExporter {
    encoder: Encoder,
    delivery: DeliveryConfig,
    pusher: Arc<dyn Pusher>,
    storage: Option<Arc<dyn Storage>>,
}

enum Encoder {
    Metrics(Box<MetricsEncoder>),
    Logs(LogsEncoder),
}

impl OtlpExporter {
    pub(crate) fn new(context: &ExporterContext, config: &ClientConfig, pusher: Arc<dyn Pusher>) -> Self {
        let mut delivery = config.delivery();
        delivery.queue.batch = delivery.queue.batch.or(context.batch);
        let (max_items, max_bytes) =
            delivery.queue.batch.map_or((u64::MAX, u64::MAX), |batch| (batch.max_items(), batch.max_bytes()));
        let limit = usize::try_from(max_bytes).unwrap_or(usize::MAX).min(MAX_REQUEST_BYTES);
        let encoder = match context.signal {
            Signal::Metrics => {
                // The requests of a window are not merged with others.
                delivery.queue.batch = None;
                let encoder = MetricsEncoder::with_limit(&context.resource, config.temporality, limit);
                let encoder = encoder.with_max_points(max_items).observed_since(UnixNanos::now());
                Encoder::Metrics(Box::new(encoder))
            }
            Signal::Logs => {
                let encoder = LogsEncoder::with_limit(&context.resource, limit).with_max_items(max_items);
                Encoder::Logs(encoder.with_edits(Arc::clone(&context.log_edits)))
            }
        };
        Self { encoder, delivery, pusher, storage: None }
    }

    /// Sets the storage of the queue.
    ///
    /// # Errors
    /// The extension does not store payloads.
    pub(crate) fn with_storage(
        self,
        context: &ExporterContext,
        config: &ClientConfig,
    ) -> Result<Self, ComponentError> {
        let Some(id) = &config.sending_queue.storage else { return Ok(self) };
        let storage = context.storages.get(id);
        let storage =
            storage.map_err(|error| ComponentError::new(format!("exporters::{}: {error}", context.id)))?;
        Ok(Self { storage: Some(storage), ..self })
    }

    /// Merges log requests, unless the configuration says how or that they are not merged.
    pub(crate) fn with_merged_logs(mut self) -> Self {
        if matches!(self.encoder, Encoder::Logs(_)) && self.delivery.queue.enabled {
            self.delivery.queue.batch.get_or_insert_with(BatchConfig::default);
        }
        self
    }
}

impl Exporter for OtlpExporter {
    fn encode(&mut self, batch: &Batch) -> Result<Vec<Payload>, ComponentError> {
        match (&mut self.encoder, batch) {
            (Encoder::Metrics(encoder), Batch::Window(window)) => Ok(encoder.encode(window)),
            (Encoder::Logs(encoder), Batch::Records(records)) => Ok(encoder.encode(records)),
            (_, Batch::PassEnd(_)) => Ok(Vec::new()),
            // The graph is typed, so these are faults of the program, not of its configuration.
            (Encoder::Metrics(_), Batch::Records(_)) => {
                Err(ComponentError::new("otlp: a metrics exporter received connection records"))
            }
            (Encoder::Logs(_), Batch::Window(_)) => {
                Err(ComponentError::new("otlp: a logs exporter received windows"))
            }
        }
    }

    fn delivery(&self) -> DeliveryConfig {
        self.delivery.clone()
    }

    /// Cumulative sums must not arrive before earlier ones. A receiver that adds up delta sums needs the same order.
    fn is_ordered(&self) -> bool {
        matches!(self.encoder, Encoder::Metrics(_))
    }

    /// The payloads are protobuf without compression. So a later instance with other settings can send stored payloads, too.
    fn storage(&self) -> Option<Arc<dyn Storage>> {
        self.storage.clone()
    }

    fn pusher(&self) -> Arc<dyn Pusher> {
        Arc::clone(&self.pusher)
    }
}
