//! [`PageExporter`]: gives windows to the page. The server delivers them when a browser asks for them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use longwave_pipeline::component::{
    ComponentError, ComponentMeter, DeliveryConfig, Exporter, ExporterContext, Payload, PushError, Pushed,
    Pusher, QueueConfig, RetryConfig,
};
use longwave_pipeline::model::Batch;

use super::config::PageConfig;
use super::server::Server;
use super::state::State;

pub(super) struct PageExporter {
    state: Arc<State>,
    server: Arc<Server>,
}

// === impl PageExporter ===

impl PageExporter {
    pub(super) fn new(config: &PageConfig, context: &ExporterContext) -> Self {
        let state = Arc::new(State::new(host_name(context)));
        let meter = ComponentMeter::new(&context.meter, [("exporter", &context.id)]);
        meter.observe(&state).gauge(
            "longwave_exporter_page_clients",
            "{client}",
            "Browsers that receive each new window.",
            |state| state.clients() as u64,
        );
        Self { server: Arc::new(Server::new(config, context, Arc::clone(&state))), state }
    }
}

#[cfg(test)]
impl PageExporter {
    pub(super) fn server(&self) -> Arc<Server> {
        Arc::clone(&self.server)
    }
}

impl Exporter for PageExporter {
    /// Makes the window the last one. The payload has no bytes; it only accounts for the window's points.
    fn encode(&mut self, batch: &Batch) -> Result<Vec<Payload>, ComponentError> {
        let Batch::Window(window) = batch else { return Ok(Vec::new()) };
        self.state.add(window);
        let (items, traffic_bytes) = (batch.items(), batch.traffic_bytes());
        Ok(vec![Payload { bytes: Default::default(), items, traffic_bytes }])
    }

    /// Without a queue, because the page has the window already.
    fn delivery(&self) -> DeliveryConfig {
        DeliveryConfig {
            timeout: Duration::ZERO,
            retry: RetryConfig { enabled: false, ..RetryConfig::default() },
            queue: QueueConfig { enabled: false, ..QueueConfig::default() },
        }
    }

    fn pusher(&self) -> Arc<dyn Pusher> {
        Arc::clone(&self.server) as Arc<dyn Pusher>
    }
}

/// Returns the host's name: `k8s.node.name` or `host.name` of the resource; empty if it has neither.
fn host_name(context: &ExporterContext) -> String {
    let of = |wanted| context.resource.iter().find(|(key, _)| key == wanted);
    of("k8s.node.name").or_else(|| of("host.name")).map(|(_, value)| value.clone()).unwrap_or_default()
}

#[async_trait]
impl Pusher for Server {
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
