//! [`PageExporter`]: passes windows to the page. The server renders them when a browser requests them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use longwave_pipeline::component::{
    ComponentError, ComponentMeter, DeliveryConfig, Exporter, ExporterContext, Payload, PushError, Pushed,
    Pusher,
};
use longwave_pipeline::model::Batch;

use super::config::PageConfig;
use super::server::Server;
use super::state::PageState;

pub(super) struct PageExporter {
    state: Arc<PageState>,
    server: Arc<Server>,
}

// === impl PageExporter ===

impl PageExporter {
    pub(super) fn new(config: &PageConfig, context: &ExporterContext) -> Self {
        let name = ["k8s.node.name", "host.name"].into_iter().find_map(|key| context.resource_attribute(key));
        let state = Arc::new(PageState::new(name.unwrap_or_default().to_owned()));
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
    /// Stores the window as the last one. The payload has no bytes. It only counts the window's points.
    fn encode(&mut self, batch: &Batch) -> Result<Vec<Payload>, ComponentError> {
        let Batch::Window(window) = batch else { return Ok(Vec::new()) };
        self.state.add(window);
        Ok(vec![Payload::of_batch(batch, Bytes::new())])
    }

    /// Returns a delivery without a queue, because the page already has the window.
    fn delivery(&self) -> DeliveryConfig {
        DeliveryConfig::immediate()
    }

    fn pusher(&self) -> Arc<dyn Pusher> {
        Arc::clone(&self.server) as Arc<dyn Pusher>
    }
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
