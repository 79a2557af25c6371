//! [`LiveExporter`] encodes batches as blocks, if a client is connected.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use longwave_pipeline::component::{
    ComponentError, DeliveryConfig, Exporter, ExporterContext, Payload, PushError, Pushed, Pusher,
};
use longwave_pipeline::model::Batch;

use super::clients::Clients;
use super::config::LiveConfig;
use super::server::Server;
use super::telemetry;
use crate::ordered_queue_config::OrderedQueueConfig;
use crate::record_blocks::RecordBlocks;

pub(super) struct LiveExporter {
    blocks: RecordBlocks,
    queue: OrderedQueueConfig,
    clients: Arc<Clients>,
    pusher: Arc<LivePusher>,
}

/// Passes blocks to the clients' queues.
struct LivePusher {
    clients: Arc<Clients>,
    server: Server,
}

// === impl LiveExporter ===

impl LiveExporter {
    pub(super) fn new(config: &LiveConfig, context: &ExporterContext) -> Self {
        let clients = Arc::new(Clients::new(config.max_clients, config.max_client_bytes.get()));
        telemetry::register(&context.meter, &context.id, &clients);
        let server = Server::new(config, context, Arc::clone(&clients));
        Self {
            blocks: RecordBlocks::new(&context.id),
            queue: config.sending_queue.clone(),
            pusher: Arc::new(LivePusher { clients: Arc::clone(&clients), server }),
            clients,
        }
    }
}

impl Exporter for LiveExporter {
    fn encode(&mut self, batch: &Batch) -> Result<Vec<Payload>, ComponentError> {
        if self.clients.len() == 0 {
            // The items are counted as delivered to all clients.
            return Ok(if batch.items() == 0 {
                Vec::new()
            } else {
                vec![Payload::of_batch(batch, Bytes::new())]
            });
        }
        let blocks = self.blocks.encode(batch)?;
        Ok(if blocks.is_empty() { Vec::new() } else { vec![Payload::of_batch(batch, blocks.into())] })
    }

    fn delivery(&self) -> DeliveryConfig {
        self.queue.delivery_without_retry()
    }

    fn pusher(&self) -> Arc<dyn Pusher> {
        Arc::clone(&self.pusher) as Arc<dyn Pusher>
    }
}

// === impl LivePusher ===

#[async_trait]
impl Pusher for LivePusher {
    async fn start(&self) -> Result<(), ComponentError> {
        self.server.start().await
    }

    async fn push(&self, payload: &Payload) -> Result<Pushed, PushError> {
        if !payload.bytes.is_empty() {
            self.clients.send(&payload.bytes, payload.items);
        }
        Ok(Pushed::default())
    }

    async fn shutdown(&self) -> Result<(), ComponentError> {
        self.server.stop().await;
        Ok(())
    }
}
