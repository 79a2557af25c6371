//! [`PrometheusExporter`]: adds windows to the store. The endpoint delivers them when it is scraped.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use longwave_pipeline::component::{
    ComponentError, ComponentMeter, DeliveryConfig, Exporter, ExporterContext, Payload, PushError, Pushed,
    Pusher,
};
use longwave_pipeline::model::{Batch, UnixNanos};
use opentelemetry::metrics::Counter;

use super::config::PrometheusConfig;
use super::endpoint::Endpoint;

pub(super) struct PrometheusExporter {
    endpoint: Arc<Endpoint>,
    meter: ComponentMeter,
    expired_early: Counter<u64>,
}

// === impl PrometheusExporter ===

impl PrometheusExporter {
    pub(super) fn new(config: &PrometheusConfig, context: &ExporterContext) -> Self {
        let endpoint = Arc::new(Endpoint::new(config, context, UnixNanos::now()));
        let meter = ComponentMeter::new(&context.meter, [("exporter", &context.id)]);
        let expired_early = meter.counter(
            "longwave_exporter_prometheus_expired_early_series",
            "{series}",
            "Series that were removed before their last value could be scraped twice, because too many had ended.",
        );
        expired_early.add(0, meter.attributes());
        meter.observe(&endpoint).gauge(
            "longwave_exporter_prometheus_series",
            "{series}",
            "Series of the page.",
            |endpoint| endpoint.series() as u64,
        );
        meter.observe(&endpoint).counter(
            "longwave_exporter_prometheus_scrapes",
            "{request}",
            "Scrapes that were answered.",
            |endpoint| endpoint.scrapes(),
        );
        Self { endpoint, meter, expired_early }
    }
}

#[cfg(test)]
impl PrometheusExporter {
    pub(super) fn endpoint(&self) -> Arc<Endpoint> {
        Arc::clone(&self.endpoint)
    }
}

impl Exporter for PrometheusExporter {
    /// Adds a window to the store. The payload has no bytes; it only accounts for the window's points.
    fn encode(&mut self, batch: &Batch) -> Result<Vec<Payload>, ComponentError> {
        let Batch::Window(window) = batch else { return Ok(Vec::new()) };
        let expired_early = self.endpoint.add(window, Instant::now());
        self.expired_early.add(expired_early, self.meter.attributes());
        Ok(vec![Payload::of_batch(batch, Bytes::new())])
    }

    /// Without a queue, because the store has taken everything already.
    fn delivery(&self) -> DeliveryConfig {
        DeliveryConfig::immediate()
    }

    fn pusher(&self) -> Arc<dyn Pusher> {
        Arc::clone(&self.endpoint) as Arc<dyn Pusher>
    }
}

#[async_trait]
impl Pusher for Endpoint {
    async fn start(&self) -> Result<(), ComponentError> {
        self.listen().await
    }

    async fn push(&self, _: &Payload) -> Result<Pushed, PushError> {
        Ok(Pushed::default())
    }

    async fn shutdown(&self) -> Result<(), ComponentError> {
        self.close().await;
        Ok(())
    }
}
