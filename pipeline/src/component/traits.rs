//! The traits of components: [`Extension`], [`Receiver`], [`Processor`] and [`Exporter`].
//!
//! Components have no queues, retries or counters of items. The runtime provides them in the same way for all.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::component::authenticator::Authenticator;
use crate::component::delivery_config::DeliveryConfig;
use crate::component::directory::Directory;
use crate::component::error::ComponentError;
use crate::component::output::RecordOutput;
use crate::component::payload::{Payload, PushError, Pushed};
use crate::component::storage::Storage;
use crate::model::Batch;

/// The future of a started component. It resolves after a stop or at the end of the component's input. An error stops the process.
pub type Running = BoxFuture<'static, Result<(), ComponentError>>;

/// A component that is not part of a pipeline and serves other components. There is one instance for all pipelines. It starts before the
/// other components and stops after them.
#[async_trait]
pub trait Extension: Send {
    /// Returns the directory, if the extension resolves names. Called before the start. Answers are pending until names are known.
    fn directory(&self) -> Option<Arc<dyn Directory>> {
        None
    }

    /// Returns the authenticator, if the extension authenticates requests of exporters. Called before the start.
    fn authenticator(&self) -> Option<Arc<dyn Authenticator>> {
        None
    }

    /// Returns the storage, if the extension stores the payloads of sending queues. Called before the start, and used after it.
    fn storage(&self) -> Option<Arc<dyn Storage>> {
        None
    }

    /// Starts the extension and returns the future that runs until `stop` fires.
    ///
    /// # Errors
    /// The extension cannot start. A server that cannot be reached yet is not an error; the extension retries.
    async fn start(self: Box<Self>, stop: CancellationToken) -> Result<Running, ComponentError>;
}

/// Produces records.
#[async_trait]
pub trait Receiver: Send {
    /// Starts the receiver (loads, attaches, opens, …) and returns the future that sends records until `stop` fires. After a stop, the
    /// future sends pending records and a last [`PassEnd`](crate::model::PassEnd), and resolves.
    ///
    /// # Errors
    /// The receiver cannot start.
    async fn start(
        self: Box<Self>,
        output: RecordOutput,
        stop: CancellationToken,
    ) -> Result<Running, ComponentError>;
}

/// Transforms batches. It runs in its own task and must not block.
pub trait Processor: Send {
    /// Processes one batch and pushes the results to `out` in order. Passes a watermark ([`Batch::PassEnd`]) on, unless the processor turns
    /// records into windows.
    ///
    /// # Errors
    /// The processor cannot continue. The graph stops.
    fn process(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Result<(), ComponentError>;

    /// Pushes all remaining results to `out`, because the input has ended.
    ///
    /// # Errors
    /// As for [`Self::process`].
    fn finish(&mut self, out: &mut Vec<Batch>) -> Result<(), ComponentError>;
}

/// Encodes batches as payloads and defines how they are delivered.
pub trait Exporter: Send {
    /// Encodes one batch as payloads, which together have the batch's items. Returns none if the batch has nothing for this exporter.
    ///
    /// Called once for each batch in order, regardless of the number of delivery attempts. State that depends on the order (cumulative
    /// sums) belongs here.
    ///
    /// # Errors
    /// The batch cannot be encoded. It is dropped and counted.
    fn encode(&mut self, batch: &Batch) -> Result<Vec<Payload>, ComponentError>;

    /// Returns the configuration of the queue, the retries and the time limit.
    fn delivery(&self) -> DeliveryConfig;

    /// Returns whether the payloads of a batch wait until those of all earlier batches have been delivered or dropped. Payloads of one batch
    /// are delivered concurrently. Exporters of windows need this, because a server that receives the windows of a series in another order
    /// takes the older sum for a reset, or refuses it.
    fn is_ordered(&self) -> bool {
        false
    }

    /// Returns the storage of the queue. `None` if its payloads are in memory only. A stored payload may be delivered by a later instance of
    /// the exporter with other settings.
    fn storage(&self) -> Option<Arc<dyn Storage>> {
        None
    }

    /// Returns the pusher, which delivers the payloads.
    fn pusher(&self) -> Arc<dyn Pusher>;
}

/// Delivers payloads. Several pushes run concurrently if [`DeliveryConfig`] allows it.
#[async_trait]
pub trait Pusher: Send + Sync {
    /// Prepares the delivery.
    ///
    /// # Errors
    /// The process cannot start. A server that cannot be reached yet is not an error.
    async fn start(&self) -> Result<(), ComponentError> {
        Ok(())
    }

    /// Returns the endpoint for messages, for example a URL. Empty if the id of the exporter says enough.
    fn endpoint(&self) -> String {
        String::new()
    }

    /// Attempts to deliver a payload once. The caller applies the time limit.
    ///
    /// # Errors
    /// The attempt failed. The error determines whether it is retried.
    async fn push(&self, payload: &Payload) -> Result<Pushed, PushError>;

    /// Flushes and closes the output. No payload follows.
    ///
    /// # Errors
    /// The output cannot be flushed or closed.
    async fn shutdown(&self) -> Result<(), ComponentError> {
        Ok(())
    }
}
