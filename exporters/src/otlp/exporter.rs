//! [`OtlpExporter`]: the exporter of both protocols, which differ only in their pusher.

use std::sync::Arc;

use longwave_pipeline::component::{
    ComponentError, DeliveryConfig, Exporter, ExporterContext, Payload, Pusher, Signal,
};
use longwave_pipeline::model::{Batch, UnixNanos};

use super::ClientConfig;
use super::encode::{LogsEncoder, MetricsEncoder};

pub(crate) struct OtlpExporter {
    encoder: Encoder,
    delivery: DeliveryConfig,
    pusher: Arc<dyn Pusher>,
}

enum Encoder {
    Metrics(Box<MetricsEncoder>),
    Logs(LogsEncoder),
}

impl OtlpExporter {
    pub(crate) fn new(context: &ExporterContext, config: &ClientConfig, pusher: Arc<dyn Pusher>) -> Self {
        let encoder = match context.signal {
            Signal::Metrics => {
                let encoder = MetricsEncoder::new(&context.resource, config.temporality);
                Encoder::Metrics(Box::new(encoder.observed_since(UnixNanos::now())))
            }
            Signal::Logs => {
                let encoder = LogsEncoder::new(&context.resource);
                Encoder::Logs(encoder.with_edits(Arc::clone(&context.log_edits)))
            }
        };
        Self { encoder, delivery: config.delivery(), pusher }
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

    fn pusher(&self) -> Arc<dyn Pusher> {
        Arc::clone(&self.pusher)
    }
}
